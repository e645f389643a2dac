"""The random split, against the law in its plainest words."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import cross_validation
from lightfm_clone.cross_validation import random_train_test_split


def random_coo(n_entries, seed=0, shape=(50, 40), dtype=np.float32):
    """Entries in no order, with duplicates and stored zeros."""
    rng = np.random.default_rng(seed)
    row, col = (rng.integers(0, size, n_entries) for size in shape)
    return sp.coo_matrix((rng.integers(0, 6, n_entries).astype(dtype), (row, col)), shape=shape)


def naive_split(interactions, test_percentage, random_state):
    """The fields of the two parts."""
    coo = interactions.tocoo()
    order = np.arange(coo.nnz)
    random_state.shuffle(order)
    n_train = int((1 - test_percentage) * coo.nnz)
    return [
        (coo.row[part], coo.col[part], coo.data[part])
        for part in (order[:n_train], order[n_train:])
    ]


def assert_split(split, expected, interactions):
    for part, fields in zip(split, expected, strict=True):
        assert part.shape == interactions.shape
        assert part.dtype == interactions.dtype
        for actual, field in zip((part.row, part.col, part.data), fields, strict=True):
            np.testing.assert_array_equal(actual, field)


def long_shuffles(monkeypatch):
    """Let short arrays be shuffled the way that long ones are."""
    monkeypatch.setattr(cross_validation, "_PLAIN_SHUFFLE", 4)


@settings(deadline=None)
@given(
    n_entries=st.integers(0, 600),
    seed=st.integers(0, 2**32 - 1),
    test_percentage=st.floats(0, 1) | st.sampled_from([0, 1, 0.1, 0.2, 0.25, 1 / 3]),
    dtype=st.sampled_from(["bool", "int8", "int32", "int64", "float32", "float64", "complex128"]),
    plain=st.booleans(),
)
def test_the_law(n_entries, seed, test_percentage, dtype, plain):
    interactions = random_coo(n_entries, seed=seed, dtype=dtype)
    before = interactions.copy()
    ours, naive = np.random.RandomState(seed), np.random.RandomState(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not plain:
            long_shuffles(monkeypatch)
        split = random_train_test_split(interactions, test_percentage, ours)
    assert_split(split, naive_split(interactions, test_percentage, naive), interactions)
    np.testing.assert_equal(ours.get_state(), naive.get_state())

    train, test = split
    assert train.nnz == int((1 - test_percentage) * n_entries)
    together = sorted(
        zip(
            *(
                np.concatenate([getattr(part, field) for part in split]).tolist()
                for field in ("row", "col")
            ),
            np.concatenate([part.data for part in split]).astype(complex).real.tolist(),
            strict=True,
        )
    )
    entries = (before.row, before.col, before.data.astype(complex).real)
    assert together == sorted(zip(*(field.tolist() for field in entries), strict=True))
    for field in ("row", "col", "data"):
        np.testing.assert_array_equal(getattr(interactions, field), getattr(before, field))


def test_arrays_of_any_layout(monkeypatch):
    long_shuffles(monkeypatch)
    values = np.random.default_rng(0).normal(size=1000)
    unaligned = np.frombuffer(b"x" + values.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    read_only = values.copy()
    read_only.flags.writeable = False
    arrays = [
        *(
            values.astype(dtype)
            for dtype in ("f4", "f8", "f2", "g", ">f4", ">f8", "c8", "c16", "O")
        ),
        *(values.astype("f4").repeat(2)[::2], values[::-1], unaligned, read_only),
        *((100 * values).astype("i8").astype("M8[s]"), values.astype("U5"), values > 0),
    ]
    before = [array.copy() for array in arrays]
    order = np.arange(1000)
    np.random.RandomState(7).shuffle(order)
    for array, old, shuffled in zip(
        arrays,
        before,
        cross_validation._shuffle(arrays, np.random.RandomState(7)),
        strict=True,
    ):
        np.testing.assert_array_equal(shuffled, old[order])
        np.testing.assert_array_equal(array, old)
        assert shuffled.dtype == array.dtype and shuffled.flags.writeable


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 100_000])
def test_the_law_around_the_length_where_the_shuffle_changes(beyond):
    """The state of a RandomState after the split included."""
    interactions = random_coo(cross_validation._PLAIN_SHUFFLE + beyond)
    for seed in range(3):
        ours, naive = np.random.RandomState(seed), np.random.RandomState(seed)
        split = random_train_test_split(interactions, 0.3, ours)
        assert_split(split, naive_split(interactions, 0.3, naive), interactions)
        np.testing.assert_equal(ours.get_state(), naive.get_state())


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.Philox])
def test_a_random_state_over_another_bit_generator(monkeypatch, generator):
    long_shuffles(monkeypatch)
    interactions = random_coo(5000)
    ours, naive = (np.random.RandomState(generator(3)) for _ in range(2))
    split = random_train_test_split(interactions, 0.5, ours)
    assert_split(split, naive_split(interactions, 0.5, naive), interactions)
    assert ours.randint(2**31) == naive.randint(2**31)


def test_values_survive_bit_by_bit(monkeypatch):
    """Values only ever move: NaNs keep their payload, tiny numbers their last bit."""
    long_shuffles(monkeypatch)
    rng = np.random.default_rng(2)
    for unsigned, dtype in ((np.uint32, np.float32), (np.uint64, np.float64)):
        bits = rng.integers(0, np.iinfo(unsigned).max, 3000, dtype=unsigned)
        if dtype == np.float32:  # a signalling NaN, a NaN with a payload, subnormal, minus zero
            bits[:4] = [0x7F800001, 0x7FC00123, 1, 2**31]
        interactions = sp.coo_matrix(
            (bits.view(dtype), (np.arange(3000), np.arange(3000))), shape=(3000, 3000)
        )
        train, test = random_train_test_split(interactions, 0.5, 1)
        for part in (train, test):
            np.testing.assert_array_equal(part.data.view(unsigned), bits[part.row])


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", ["coo", "csr", "csc", "lil", "dok", "dia", "bsr"])
def test_every_sparse_format(form, kind):
    interactions = getattr(sp, f"{form}_{kind}")(random_coo(200))
    split = random_train_test_split(interactions, random_state=7)
    expected = naive_split(interactions, 0.2, np.random.RandomState(7))
    assert_split(split, expected, interactions)
    for part in split:
        assert type(part) is (sp.coo_matrix if kind == "matrix" else sp.coo_array)
        assert part.row.dtype == part.col.dtype == np.int32


def test_the_parts_share_no_memory_with_the_input(monkeypatch):
    for _ in range(2):
        interactions = random_coo(300)
        train, test = random_train_test_split(interactions, random_state=1)
        for field in ("row", "col", "data"):
            fields = [getattr(matrix, field) for matrix in (interactions, train, test)]
            for k in range(3):
                assert not np.shares_memory(fields[k], fields[k - 1])
                assert fields[k].flags.writeable
        long_shuffles(monkeypatch)


def test_weights_are_split_alike():
    interactions = random_coo(1000)
    entries = (interactions.row, interactions.col)
    weights = sp.coo_matrix((np.arange(1000.0), entries), shape=interactions.shape)
    split = random_train_test_split(interactions, random_state=5)
    for part, weight in zip(split, random_train_test_split(weights, random_state=5), strict=True):
        np.testing.assert_array_equal(part.row, weight.row)
        np.testing.assert_array_equal(part.col, weight.col)
        chosen = weight.data.astype(int)
        np.testing.assert_array_equal(part.data, interactions.data[chosen])


def test_seeds():
    interactions = random_coo(1000)

    def rows(seed):
        return random_train_test_split(interactions, random_state=seed)[0].row.tolist()

    assert rows(3) == rows(3) == rows(np.int64(3)) == rows(np.random.RandomState(3)) != rows(4)
    assert rows(np.random.default_rng(3)) == rows(np.random.default_rng(3)) != rows(3)
    assert rows(None) != rows(None)
    shared = np.random.RandomState(3)
    assert rows(shared) != rows(shared)


def test_no_entries_and_no_users():
    for shape in ((3, 4), (0, 4), (0, 0)):
        train, test = random_train_test_split(sp.coo_matrix(shape, dtype=np.int32))
        assert train.shape == test.shape == shape
        assert train.nnz == test.nnz == 0
        assert train.dtype == test.dtype == np.int32


def test_one_entry():
    for test_percentage, in_train in ((0, 1), (0.2, 0), (1, 0)):
        split = random_train_test_split(random_coo(1), test_percentage)
        assert [part.nnz for part in split] == [in_train, 1 - in_train]


def test_arguments_by_position_and_name():
    parameters = inspect.signature(random_train_test_split).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "interactions": inspect.Parameter.empty,
        "test_percentage": 0.2,
        "random_state": None,
        "also": (),
    }
    assert list(parameters) == ["interactions", "test_percentage", "random_state", "also"]
    assert parameters["also"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("given", [np.eye(3), [[1, 0]], None, "interactions"])
def test_only_sparse_matrices(given):
    with pytest.raises(ValueError, match="interactions must be a scipy.sparse matrix or array"):
        random_train_test_split(given)


def test_only_two_dimensions():
    try:
        one = sp.coo_array((np.ones(2), (np.arange(2),)), shape=(5,))
    except TypeError:
        pytest.skip("this SciPy knows no sparse arrays of one dimension")
    with pytest.raises(ValueError, match="interactions must have two dimensions.*got 1"):
        random_train_test_split(one)


@pytest.mark.parametrize("share", [-0.1, 1.1, 20, np.nan, np.inf, "0.2", None, 0.5j, [0.2]])
def test_impossible_shares(share):
    with pytest.raises(ValueError, match=r"test_percentage must be a share between 0 and 1.*got"):
        random_train_test_split(random_coo(10), share)


@pytest.mark.parametrize("share", [np.float32(0.5), np.float64(0.5), 0.5])
def test_shares_of_any_real_type(share):
    train, test = random_train_test_split(random_coo(10), share)
    assert train.nnz == test.nnz == 5


@pytest.mark.parametrize("seed", ["seed", -1, 2**32, 1.5])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="random_state"):
        random_train_test_split(random_coo(10), random_state=seed)
