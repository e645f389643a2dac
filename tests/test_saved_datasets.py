"""Saved datasets come back as they were."""

from __future__ import annotations

import datetime
import enum
import math
import os
import re
from collections import namedtuple
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved import assert_same, small_dataset

from lightfm_clone.data import Dataset

PLAIN = (
    st.text(st.characters(exclude_categories=()), max_size=4)
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.binary(max_size=4)
    | st.booleans()
    | st.none()
)
IDS = st.lists(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple)))
ALIKE = st.sampled_from(
    [
        st.text(st.characters(exclude_categories=()), max_size=4),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(),
        st.floats(allow_nan=False),
        st.binary(max_size=4),
        st.booleans(),
    ]
).flatmap(st.lists)


@given(
    fits=st.lists(st.tuples(*[IDS | ALIKE] * 4), max_size=3),
    flags=st.tuples(st.booleans(), st.booleans()),
)
@settings(deadline=None, max_examples=40)
def test_any_ids(tmp_path_factory, fits, flags):
    dataset = Dataset(*flags)
    for ids in fits:
        dataset.fit_partial(*ids)
    file = tmp_path_factory.mktemp("any") / "dataset"
    dataset.save(file)
    loaded = Dataset.load(file)
    assert_same(dataset, loaded)
    for each in (dataset, loaded):
        each.fit_partial(["new", 5], [6], ["more"], [(1,)])
    assert_same(dataset, loaded)


def test_a_pair_of_surrogates_is_no_character(path):
    """As escapes in JSON they would come back as one."""
    dataset = Dataset()
    dataset.fit(["\ud83d\ude00", "\U0001f600", "\udcff"], [("\ud83d", "\ude00\0"), None, "\ud83d"])
    dataset.save(path)
    assert_same(dataset, Dataset.load(path))


def test_loaded_datasets_build_the_same_matrices(path):
    dataset = Dataset(item_identity_features=False)
    dataset.fit(["ann", "bob"], [10, 20], item_features=["hot"])
    dataset.fit_partial(users=["cid"], user_features=["old"])
    dataset.save(path)
    loaded = Dataset.load(path)
    pairs = [("cid", 20), ("ann", 10, 2.5)]
    for ours, theirs in zip(
        dataset.build_interactions(pairs), loaded.build_interactions(pairs), strict=True
    ):
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())
    for build, rows in (
        ("build_user_features", [("bob", {"old": 2.0})]),
        ("build_item_features", [(10, ["hot"]), (20, ["hot"])]),
    ):
        ours, theirs = (getattr(each, build)(rows) for each in (dataset, loaded))
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


def test_numpy_scalars_come_back_as_what_they_equal(path):
    dataset = Dataset()
    users = [np.int64(3), np.float32(0.1), np.str_("a"), np.bytes_(b"b"), np.bool_(False)]
    dataset.fit(users, [np.int64(n) for n in (5, 2)], item_features=[(np.int8(1), "x")])
    dataset.save(path)
    loaded = Dataset.load(path)
    assert loaded.mapping() == dataset.mapping()
    assert [*map(type, loaded.mapping()[0])] == [int, float, str, bytes, bool]
    assert [*map(type, loaded.mapping()[2])] == [int, int]


class Colour(str, enum.Enum):
    RED = "red"


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "wrong",
    [
        frozenset({1}),
        datetime.date(2020, 1, 2),
        Decimal("1.5"),
        1j,
        Colour.RED,
        Point(1, 2),
        (1, (2, frozenset())),
        np.datetime64("2020-01-01", "ns"),
        np.longdouble(1.5),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("among", [[], ["a", 1], ["a"]], ids=["alone", "mixed", "strings"])
def test_ids_that_cannot_be_saved(path, wrong, among):
    for place, noun in enumerate(("user id", "item id", "user feature", "item feature")):
        dataset = Dataset(False, False)
        dataset.fit_partial(*([*among, wrong] if at == place else [] for at in range(4)))
        said = f"the {noun} {wrong!r} of type {type(wrong).__name__} cannot be saved"
        with pytest.raises(TypeError, match=re.escape(said) + ".*str.*before Dataset.fit"):
            dataset.save(path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("wrong", [math.nan, (1, math.nan), np.float32("nan")], ids=str)
@pytest.mark.parametrize("among", [[], [1.5], ["a"]], ids=str)
def test_nan_is_no_id(path, wrong, among):
    dataset = Dataset()
    dataset.fit([*among, "x"], [])
    dataset._user_id_mapping[wrong] = dataset._user_id_mapping.pop("x")  # as older versions did
    with pytest.raises(ValueError, match="the user id .*nan.* cannot be saved.*missing"):
        dataset.save(path)


def test_mappings_changed_from_outside(path):
    dataset = small_dataset()
    del dataset.mapping()[2][7]
    with pytest.raises(ValueError, match="item ids must number them 0, 1, 2"):
        dataset.save(path)


def test_identity_features_are_stored_once(path):
    """And share their memory with the ids once they are loaded."""
    ids = [f"a rather long name of user {n}" for n in range(1000)]
    dataset = Dataset()
    dataset.fit(ids, [], ["old"])
    dataset.fit_partial(["one who came later"])
    dataset.save(path)
    assert path.stat().st_size < 1.5 * sum(map(len, ids))
    loaded = Dataset.load(path)
    assert_same(dataset, loaded)
    users, features = (list(mapping) for mapping in loaded.mapping()[:2])
    assert all(user is feature for user, feature in zip(users[:1000], features, strict=False))


class Shop(Dataset):
    def __init__(self, name):
        super().__init__()


def test_subclasses_of_datasets(path):
    dataset = Shop("here")
    dataset.fit(["ann"], ["tea"])
    dataset.save(path)
    loaded = Shop.load(path)
    assert_same(dataset, loaded)
    assert type(Dataset.load(path)) is Dataset


def test_files_of_an_earlier_version():
    path = Path(__file__).parent / "fixtures" / "earlier-version" / "dataset"
    assert_same(small_dataset(), Dataset.load(path))
