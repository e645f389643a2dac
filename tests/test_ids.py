"""Numbers of many ids at a time, against the dictionary that they stand in for."""

from __future__ import annotations

import gc
import signal
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightfm_clone import _core
from lightfm_clone.data import Dataset

# Equal to one another across types, equal in hash alone (0 and the empty text; -1 and -2; numbers
# that differ by the modulus of Python's hash), and some of which no table of texts and integers
# should make anything.
AWKWARD = [
    *("", "a", "1", "\x00", "é", "名", "🎬", "a" * 100, "a" * 99 + "b"),
    *(0, 1, -1, -2, 2**61 - 1, 2**61, 2**64, -(2**200), 10**30),
    *(1.0, 0.0, -0.0, 1.5, float("inf"), True, False, None),
    *((), ("a", 1), b"a", frozenset([1]), np.str_("a"), np.int64(1), np.float64(1.5)),
]
ids = st.lists(
    st.one_of(st.sampled_from(AWKWARD), st.integers(-300, 300), st.text(max_size=2)), max_size=400
)


def numbered(*lists: list) -> dict:
    """What a dictionary makes of the lists."""
    mapping = {}
    for values in lists:
        for value in values:
            mapping.setdefault(value, len(mapping))
    return mapping


def same_keys(mapping: dict, expected: dict) -> bool:
    """Whether they hold the same objects, not only equal ones, and in the same order."""
    return mapping == expected and [*map(id, mapping)] == [*map(id, expected)]


@given(ids, ids, ids)
def test_adding_is_setdefault(known, first, second):
    mapping = numbered(known)
    numbers = _core.Numbers(mapping)
    numbers.add(first)
    numbers.add(second)
    assert same_keys(mapping, numbered(known, first, second))


@given(ids, ids)
def test_looking_up(known, asked):
    mapping = numbered(known)
    before = mapping.copy()
    for numbers in (_core.Numbers(mapping), _core.Numbers({})):
        if numbers.mapping is not mapping:
            numbers.add(known)
        unknown = [value for value in asked if value not in mapping]
        for _ in range(2):
            if unknown:
                with pytest.raises(KeyError) as error:
                    numbers.of(asked)
                assert error.value.args[0] is unknown[0]
            else:
                found = numbers.of(asked)
                assert found.dtype == np.int32
                assert found.tolist() == [mapping[value] for value in asked]
    assert same_keys(mapping, before)


@given(ids, ids, st.data())
def test_rows(users, items, data):
    weights = st.sampled_from([0, 3, -1, -1.0, 2.5, float("nan"), 10**400, True, None, "x"])
    rows = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from(users or [0]), st.sampled_from(items or [0])),
                st.tuples(st.sampled_from(users or [0]), st.sampled_from(items or [0]), weights),
            ),
            max_size=300,
        )
    )
    of_users, of_items = _core.Numbers(numbered(users)), _core.Numbers(numbered(items))
    plain = all(
        type(row[0]) in (str, int)
        and type(row[1]) in (str, int)
        and row[0] in of_users.mapping
        and row[1] in of_items.mapping
        and (len(row) == 2 or type(row[2]) in (int, float) and row[2] != 10**400)
        for row in rows
    )
    found = _core.numbers_of_rows(of_users, of_items, rows)
    assert (found is not None) == plain
    if plain:
        row, col, weight = found
        assert row.tolist() == [of_users.mapping[user] for user, *_ in rows]
        assert col.tolist() == [of_items.mapping[item] for _, item, *_ in rows]
        expected = np.array([[*rest, 1.0][0] for *_, rest in ((*r[:2], r[2:]) for r in rows)])
        np.testing.assert_array_equal(weight, expected.astype(np.float64))


@pytest.mark.parametrize("row", [("a",), ("a", "b", 1.0, 2), ["a", "b"], "ab", None, ()])
@pytest.mark.parametrize("place", [0, 63, 64, 70, 199])
def test_rows_that_are_none(row, place):
    rows = [("a", "b")] * 200
    numbers = _core.Numbers({"a": 0, "b": 1})
    assert _core.numbers_of_rows(numbers, numbers, rows)[1].tolist() == [1] * 200
    rows[place] = row
    assert _core.numbers_of_rows(numbers, numbers, rows) is None


@pytest.mark.parametrize("make", [str, int, lambda n: n << 40, lambda n: f"user-{n:09d}"])
def test_many(make):
    rng = np.random.default_rng(0)
    drawn = (50_000 * rng.random(200_000) ** 2).astype(int).tolist()
    # An object of its own each time, as when they are read from a file.
    numbers = _core.Numbers({})
    numbers.add([make(n) for n in drawn])
    expected = numbered(drawn)
    assert numbers.mapping == {make(n): number for n, number in expected.items()}
    of = np.array([expected[n] for n in drawn])
    np.testing.assert_array_equal(numbers.of([make(n) for n in drawn]), of)
    np.testing.assert_array_equal(_core.Numbers(numbers.mapping).of([make(n) for n in drawn]), of)
    row, col, weights = _core.numbers_of_rows(
        numbers, _core.Numbers(numbers.mapping), [(make(n), make(n), n) for n in drawn]
    )
    np.testing.assert_array_equal([row, col, weights], [of, of, drawn])


def test_nothing_is_kept_or_lost():
    values = [f"user {n}" for n in range(1000)] * 2 + [(1, 2)] * 100
    rows = [(value, value, 0.5) for value in values]
    mapping = numbered(values)

    def work():
        numbers = _core.Numbers({})
        numbers.add(values)
        _core.Numbers(mapping).of(values)
        one, other = _core.Numbers(mapping), _core.Numbers(mapping)
        _core.numbers_of_rows(one, other, rows)
        with pytest.raises(KeyError):
            one.of([*values, "unknown"])
        with pytest.raises(TypeError, match="unhashable"):
            numbers.add([*values, []])

    work()
    gc.collect()
    before = [sys.getrefcount(value) for value in values]
    for _ in range(5):
        work()
    gc.collect()
    assert [sys.getrefcount(value) for value in values] == before


@pytest.mark.parametrize("end", [[], ["more"] * 1000])
def test_an_id_that_changes_the_list(end):
    class Id:
        def __hash__(self):
            values[:] = end
            gc.collect()
            return 7

    values = [str(n) + "x" for n in range(90)]
    values[70] = Id()
    numbers = _core.Numbers({})
    numbers.add(values)
    assert len(numbers.mapping) >= 90
    values[:] = [str(n) + "y" for n in range(90)]
    values[70] = Id()
    with pytest.raises((KeyError, IndexError)):
        _core.Numbers({"more": 0}).of(values)


@pytest.mark.parametrize(
    "mapping", [{"a": None}, {"a": "1"}, {"a": 2**80}, {"a": 2**31}, {"a": -5}]
)
def test_a_mapping_without_numbers(mapping):
    with pytest.raises((TypeError, OverflowError, ValueError)):
        _core.Numbers(mapping).of(["a"])


def test_lists_and_dictionaries_alone():
    for call in (
        lambda: _core.Numbers(None),
        lambda: _core.Numbers([]),
        lambda: _core.Numbers({}).add(("a",)),
        lambda: _core.Numbers({}).of(None),
        lambda: _core.numbers_of_rows(None, _core.Numbers({}), []),
        lambda: _core.numbers_of_rows(_core.Numbers({}), _core.Numbers({}), ()),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_an_interrupt_is_heard():
    values = [str(n) for n in range(1000)] * 20_000
    dataset = Dataset()
    dataset.fit(["ann"], ["tea"])
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(100):
                dataset.fit(values, values)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.perf_counter() - start < 5
    assert dataset.mapping()[0] == {"ann": 0}
