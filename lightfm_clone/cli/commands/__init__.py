"""The commands, a file for each kind."""

from __future__ import annotations
