"""Shared fixtures: where the real data sets lie, and the instruction levels to run at."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from clusters import cluster

from lightfm_clone import _core

collect_ignore = ["fuzz"]  # a program, not tests
ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skip what needs tables where the extra for them is not installed."""
    try:
        return (yield)
    except ImportError as error:
        if "lightfm-clone[tables]" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(params=_core.available_levels())
def level(request) -> Iterator[str]:
    """Run the test once at every instruction level that this machine offers."""
    before = _core.build_info()["instruction level"]
    _core.use_level(request.param)
    yield request.param
    _core.use_level(before)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("LIGHTFM_CLONE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "ml-100k.npz").is_file():
        pytest.skip(f"real data not found in {folder}; set LIGHTFM_CLONE_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def ml_100k(data_dir) -> dict[str, np.ndarray]:
    """Arrays of MovieLens 100K."""
    with np.load(data_dir / "ml-100k.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def ml_1m(data_dir) -> dict[str, np.ndarray]:
    """Arrays of MovieLens 1M."""
    with np.load(data_dir / "ml-1m.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture
def path(tmp_path) -> Path:
    """Where a test may save something, in a folder of its own."""
    return tmp_path / "saved"


@pytest.fixture(scope="session")
def client() -> Iterator[object]:
    """The client of a cluster of two processes, which tests share and leave as it was."""
    with cluster(2) as shared:
        yield shared
