"""The command line: ``lightfm-clone``, an extra of its own (``pip install "lightfm-clone[cli]"``).

It adds nothing to the library but ways to say and to show things. The path of a command:
`main.main` (errors to exit codes) -> a command of `commands/` -> `settings` (flags over a TOML
file) -> `tables` (files, layouts, splits) -> a `Recommender` -> `show` (tables, progress, JSON).

Exit codes are 0 where all went well, 1 for what is wrong with data or files, 2 for what is wrong
with the command, 70 for a bug in here, 130 after Ctrl-C, 141 where the reader of a pipe has left.
"""

from __future__ import annotations
