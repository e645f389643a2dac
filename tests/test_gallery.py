"""The pages of the gallery run as scripts, without a display and in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GALLERY = Path(__file__).resolve().parent.parent / "examples" / "gallery"
PAGES = sorted(GALLERY.glob("plot_*.py"))
if not PAGES:
    pytest.skip("the gallery is not here", allow_module_level=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem.removeprefix("plot_"))
def test_form(page):
    """What sphinx-gallery makes a page of: a title, underlined, and cells of text and code."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith('"""')
    title, line = lines[1:3] if lines[0] == '"""' else (lines[0][3:], lines[1])
    assert title and set(line) == {"="} and len(line) >= len(title)
    assert sum(text.startswith("# %%") for text in lines) >= 3
    assert any(text.startswith("import matplotlib") for text in lines)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem.removeprefix("plot_"))
def test_page(page, tmp_path):
    """It ends well, prints something, and warns of nothing; skipped where an extra is missing."""
    for module in re.findall(r"^(?:from|import) (\w+)", page.read_text(encoding="utf-8"), re.M):
        pytest.importorskip(module)
    done = subprocess.run(
        [sys.executable, page],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONUTF8": "1", "OMP_THREAD_LIMIT": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout and "Warning" not in done.stderr, done.stderr
