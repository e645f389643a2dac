"""Integer ids through a table over their range, against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightfm_clone.data import columns, dense


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
@given(lengths=st.lists(st.integers(0, 40), max_size=4), seed=st.integers(0, 99))
def test_codes_are_places_by_first_appearance(dtype, lengths, seed):
    rng = np.random.default_rng(seed)
    low = 0 if dtype.startswith("u") else -100
    parts = [rng.integers(low, 101, n).astype(dtype) for n in lengths]
    ids = np.concatenate([*parts, np.empty(0, dtype)]).tolist()
    span = dense.span_of(*parts)
    if not ids:
        assert span is None
        return
    places = {one: place for place, one in enumerate(dict.fromkeys(ids))}
    codes, values = dense.codes(parts, span)
    assert codes.dtype == np.int32
    assert codes.tolist() == [places[one] for one in ids]
    assert values == list(places)
    assert set(map(type, values)) == {int}


def test_more_than_a_block(monkeypatch):
    monkeypatch.setattr(dense, "BLOCK", 7)
    ids = np.random.default_rng(0).integers(-30, 30, 200)
    codes, values = dense.codes([ids[:33], ids[33:]], dense.span_of(ids))
    assert np.array_equal(np.array(values)[codes], ids)
    assert values == list(dict.fromkeys(ids.tolist()))


@pytest.mark.parametrize(
    "parts",
    [
        [np.array(["a"])],
        [np.array([1.5])],
        [np.array([1.0, np.nan])],
        [np.array([0, 2**40])],  # too wide to fill
        [np.array([0]), np.array([2**40])],
        [np.array([2**53 + 2])],
        [],
    ],
)
def test_no_span(parts):
    assert dense.span_of(*parts) is None


@pytest.mark.parametrize("wide", [0, 2**40])  # through the range, and through Arrow
def test_columns_in_chunks(wide):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": pa.chunked_array([[7, 3, wide], [], [3, 9, 7]])})
    codes, values = columns.by_name(table, "events")["a"].codes()
    assert codes.tolist() == [0, 1, 2, 1, 3, 0]
    assert values == [7, 3, wide, 9]


def test_columns_with_missing_values():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": pa.chunked_array([[7, None], [3, 7]])})
    codes, values = columns.by_name(table, "events")["a"].codes()
    assert (codes.tolist(), values) == ([0, -1, 1, 0], [7, 3])
