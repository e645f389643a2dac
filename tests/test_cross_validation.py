"""The splits: none loses, doubles or leaks an entry, and each holds out what it says."""

from __future__ import annotations

import datetime
import inspect

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import cross_validation
from lightfm_clone.cross_validation import (
    cold_item_split,
    cold_user_split,
    k_fold,
    leave_last_out,
    random_train_test_split,
    time_split,
)

# Each split as a function of a matrix, one time stamp per entry, and what it takes besides.
SPLITS = {
    "random_train_test_split": lambda X, t, **more: random_train_test_split(X, 0.3, 1, **more),
    "time_split": lambda X, t, **more: time_split(X, t, 0.3, **more),
    "leave_last_out": lambda X, t, **more: leave_last_out(X, t, 2, **more),
    "k_fold": lambda X, t, **more: next(k_fold(X, 4, 1, **more)),
    "cold_user_split": lambda X, t, **more: cold_user_split(X, 0.3, 1, **more),
    "cold_item_split": lambda X, t, **more: cold_item_split(X, 0.3, 1, **more),
}
each_split = pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
each_cold_split = pytest.mark.parametrize(
    ("split", "side"), [(cold_user_split, "row"), (cold_item_split, "col")], ids=["user", "item"]
)


def numbered(n_entries=200, seed=0, shape=(30, 20), n_times=50):
    """Entries in no order, duplicates among them, each with its number as value; time stamps."""
    rng = np.random.default_rng(seed)
    row, col = (rng.integers(0, size, n_entries) for size in shape)
    X = sp.coo_matrix((np.arange(n_entries, dtype=np.float64), (row, col)), shape=shape)
    return X, rng.integers(0, n_times, n_entries)


data = st.builds(
    numbered,
    n_entries=st.integers(0, 80),
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    n_times=st.sampled_from([1, 2, 5, 1000]),
)
shares = st.floats(0, 1) | st.sampled_from([0, 1, 0.1, 0.2, 1 / 3])
seeds = st.integers(0, 2**32 - 1)


def as_type(X, dtype):
    """X with values of another type; astype would sum duplicates."""
    return sp.coo_matrix((X.data.astype(dtype), (X.row, X.col)), shape=X.shape)


def numbers(part):
    """Numbers of the entries of a part."""
    return part.data.astype(int)


def check_parts(X, *parts):
    """Every entry is in exactly one part, as it was; returns the numbers of each part."""
    for part in parts:
        assert part.shape == X.shape and part.dtype == X.dtype
        np.testing.assert_array_equal(part.row, X.row[numbers(part)])
        np.testing.assert_array_equal(part.col, X.col[numbers(part)])
    assert sorted(np.concatenate([part.data for part in parts])) == list(range(X.nnz))
    return [numbers(part) for part in parts]


def in_order(part):
    return (np.diff(part) > 0).all()


# What each split holds out --------------------------------------------------------------------


@settings(deadline=None)
@given(data, shares)
def test_time_split_never_trains_on_the_future(given, share):
    X, times = given
    train, test = check_parts(X, *time_split(X, times, share))
    assert in_order(train) and in_order(test)
    if len(train) and len(test):
        assert times[train].max() < times[test].min()
    # The same size, or the nearest that keeps entries of the same time together; then the larger.
    allowed = {0, X.nnz} | {int((times >= moment).sum()) for moment in times}
    wanted = X.nnz - int((1 - share) * X.nnz)
    assert len(test) == min(allowed, key=lambda n: (abs(n - wanted), -n))


def test_time_split_of_distinct_times_holds_out_the_very_share():
    X, _ = numbered(1000)
    times = np.random.default_rng(1).permutation(1000)
    train, test = time_split(X, times, 0.2)
    assert set(times[numbers(test)]) == set(range(800, 1000))
    assert train.nnz == 800
    assert time_split(X, times)[1].nnz == 200  # a fifth is the default


@settings(deadline=None)
@given(data, st.integers(1, 4))
def test_leave_last_out_holds_out_the_last_of_each_user(given, n):
    X, times = given
    train, test = check_parts(X, *leave_last_out(X, times, n))
    assert in_order(train) and in_order(test)
    last = set()
    for user in range(X.shape[0]):
        own = [entry for entry in range(X.nnz) if X.row[entry] == user]
        if len(own) > n:
            last |= set(sorted(own, key=lambda entry: (times[entry], entry))[-n:])
    assert set(test) == last
    assert set(X.row[test]) <= set(X.row[train])


def test_leave_last_out_of_users_with_few_entries():
    X = sp.coo_matrix((np.arange(6.0), ([0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2])), shape=(4, 3))
    times = [5, 9, 1, 3, 2, 1]
    assert set(numbers(leave_last_out(X, times)[1])) == {1, 3}
    assert set(numbers(leave_last_out(X, times, n=2)[1])) == {3, 4}
    assert leave_last_out(X, times, n=3)[1].nnz == 0
    assert leave_last_out(X, times, n=10**12)[1].nnz == 0


@settings(deadline=None)
@given(data, st.integers(2, 6), seeds)
def test_k_fold_tests_every_entry_once(given, n_splits, seed):
    X, _ = given
    if n_splits > X.nnz:
        with pytest.raises(ValueError, match="n_splits must be an integer from 2 to"):
            k_fold(X, n_splits, seed)
        return
    folds = [check_parts(X, *parts) for parts in k_fold(X, n_splits, seed)]
    assert len(folds) == n_splits
    assert all(in_order(part) for parts in folds for part in parts)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(X.nnz))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


def test_k_fold_is_random_and_makes_five_by_default():
    X, _ = numbered(1000)
    folds = [numbers(test) for _, test in k_fold(X, random_state=3)]
    assert len(folds) == 5
    for test in folds:  # neither blocks nor every fifth
        assert test.max() - test.min() > 900
        assert len(set(np.diff(test))) > 5


@each_cold_split
@settings(deadline=None)
@given(given=data, share=shares, seed=seeds)
def test_cold_splits_share_no_user_or_item(split, side, given, share, seed):
    X, _ = given
    train, test = check_parts(X, *split(X, share, seed))
    assert in_order(train) and in_order(test)
    ids = getattr(X, side)
    trained, tested = set(ids[train]), set(ids[test])
    assert not trained & tested
    assert len(trained) == int((1 - share) * len(trained | tested))


@each_cold_split
def test_cold_splits_draw_every_id_alike(split, side):
    X = sp.coo_matrix(np.ones((10, 10)))
    drawn = [getattr(split(X, 0.2, seed)[1], side) for seed in range(500)]
    counts = np.bincount(np.concatenate([np.unique(ids) for ids in drawn]), minlength=10)
    assert counts.sum() == 1000
    assert ((70 < counts) & (counts < 130)).all()  # 100 each, give or take three deviations


# What they have in common ---------------------------------------------------------------------


@each_split
@settings(deadline=None, max_examples=30)
@given(given=data, n_also=st.integers(0, 3))
def test_further_matrices_are_split_alike(split, given, n_also):
    X, times = given
    if X.nnz < 4:  # too few for four folds
        return
    also = tuple(
        sp.coo_matrix((X.data + 1000, (X.row, X.col)), shape=X.shape, dtype=dtype)
        for dtype in ("float32", "int64", "complex64")[:n_also]
    )
    train, test, *pairs = split(X, times, also=also)
    check_parts(X, train, test)
    assert len(pairs) == n_also
    for matrix, pair in zip(also, pairs, strict=True):
        assert isinstance(pair, tuple)
        for part, of_matrix in zip((train, test), pair, strict=True):
            assert of_matrix.shape == X.shape and of_matrix.dtype == matrix.dtype
            np.testing.assert_array_equal(of_matrix.row, part.row)
            np.testing.assert_array_equal(of_matrix.col, part.col)
            np.testing.assert_array_equal(of_matrix.data, part.data + 1000)
    without = split(X, times)
    assert len(without) == 2
    for part, again in zip((train, test), without, strict=True):
        np.testing.assert_array_equal(part.data, again.data)


def test_further_matrices_when_the_shuffle_is_long(monkeypatch):
    monkeypatch.setattr(cross_validation, "_PLAIN_SHUFFLE", 4)
    X, times = numbered(5000)
    for split in SPLITS.values():
        train, test, (again_train, again_test) = split(X, times, also=[as_type(X, np.int16)])
        check_parts(X, train, test)
        np.testing.assert_array_equal(again_train.data, train.data)
        np.testing.assert_array_equal(again_test.data, test.data)


@each_split
def test_nothing_is_shared_or_changed(split):
    X, times = numbered()
    weights = X * 2
    before = [X.copy(), weights.copy(), times.copy()]
    train, test, (w_train, w_test) = split(X, times, also=(weights,))
    matrices = [X, weights, train, test, w_train, w_test]
    arrays = [getattr(matrix, name) for matrix in matrices for name in ("row", "col", "data")]
    for i, array in enumerate(arrays[6:], start=6):
        assert array.flags.writeable
        assert not any(np.shares_memory(array, other) for other in arrays[:i])
    for matrix, copy in zip((X, weights), before, strict=False):
        assert (matrix.row == copy.row).all() and (matrix.col == copy.col).all()
        assert (matrix.data == copy.data).all()
    assert (times == before[2]).all()


@each_split
def test_values_keep_their_type(split):
    X, times = numbered()
    for dtype in ("bool", "int8", "int32", "float32", "float64", "complex128"):
        for part in split(as_type(X, dtype), times):
            assert part.dtype == dtype


@pytest.mark.parametrize(
    ("name", "form", "kind"),
    [
        (name, form, ("matrix", "array")[(i + j) % 2])
        for i, name in enumerate(SPLITS)
        for j, form in enumerate(["coo", "csr", "csc", "lil", "dok"])
    ],
)
def test_every_sparse_format(name, form, kind):
    split = SPLITS[name]
    X = getattr(sp, f"{form}_{kind}")(sp.random(30, 20, density=0.3, random_state=0))
    coo = X.tocoo()
    expected = split(coo, coo.data)
    other = sp.coo_matrix((coo.data, (coo.row, coo.col)), shape=X.shape)  # of the other kind
    train, test, pair = split(X, coo.data, also=(other,))
    for part, wanted, of_other in zip((train, test), expected, pair, strict=True):
        assert type(part) is (sp.coo_matrix if kind == "matrix" else sp.coo_array)
        assert type(of_other) is sp.coo_matrix
        assert (part.row == wanted.row).all() and (part.col == wanted.col).all()
        assert (part.data == wanted.data).all()


@each_split
def test_stored_zeros_are_entries(split):
    X, times = numbered()
    X.data[:] = 0
    assert sum(part.nnz for part in split(X, times)) == 200


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0), (0, 0)])
def test_no_entries(shape):
    X = sp.coo_matrix(shape, dtype=np.int32)
    for name, split in SPLITS.items():
        if name != "k_fold":
            for part in split(X, []):
                assert part.shape == shape and part.nnz == 0 and part.dtype == np.int32


@pytest.mark.parametrize(
    "split",
    [k_fold, cold_user_split, cold_item_split, random_train_test_split],
    ids=lambda function: function.__name__,
)
def test_seeds(split):
    X, _ = numbered()

    def test_set(seed):
        parts = split(X, random_state=seed)
        _, test = next(parts) if split is k_fold else parts
        return test.data.tolist()

    assert test_set(3) == test_set(3) == test_set(np.int64(3)) == test_set(np.random.RandomState(3))
    assert test_set(3) != test_set(4)
    shared = np.random.RandomState(3)
    assert test_set(shared) != test_set(shared)
    assert test_set(None) != test_set(None)
    with pytest.raises(ValueError, match="random_state"):
        test_set("seed")


# Time stamps ----------------------------------------------------------------------------------

SECONDS = np.random.default_rng(5).permutation(200) + 1_600_000_000


def forms_of_time():
    times = SECONDS.astype("datetime64[s]")
    yield "list", SECONDS.tolist()
    for dtype in ("int32", "uint32", "int64", "uint64", "float64"):
        yield dtype, SECONDS.astype(dtype)
    yield "not contiguous", np.repeat(SECONDS, 2)[::2]
    yield "big-endian", SECONDS.astype(">i8")
    for unit in ("s", "ms", "ns"):
        yield f"datetime64[{unit}]", times.astype(f"datetime64[{unit}]")
    yield "timedelta64", times - times.min()
    pd = pytest.importorskip("pandas")
    shuffled = np.random.default_rng(0).permutation(200)
    yield "Series", pd.Series(SECONDS, index=shuffled)
    yield "Series of datetime64", pd.Series(times, index=shuffled)
    yield "Series with a time zone", pd.Series(times).dt.tz_localize("UTC").dt.tz_convert("CET")
    yield "DatetimeIndex", pd.DatetimeIndex(times)


def test_every_form_of_time_stamps():
    X, _ = numbered()
    for split in (time_split, leave_last_out):
        expected = split(X, SECONDS)[1].data
        for name, times in forms_of_time():
            assert (split(X, times)[1].data == expected).all(), name


def test_time_stamps_of_any_sign_and_size():
    X, _ = numbered(4)
    for times in ([-np.inf, -1.5, 0, np.inf], [-(2**63), -1, 0, 2**63 - 1], [-4, -3, -2, -1]):
        assert time_split(X, times, 0.25)[1].data.tolist() == [3]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (range(199), r"timestamps must be.*one for each of the 200 stored entries.*\(199,\)"),
        (np.zeros((200, 1)), r"timestamps must be one-dimensional.*\(200, 1\)"),
        (1.5, "timestamps must be one-dimensional"),
        (["2020-01-01"] * 200, "timestamps must be numbers or datetime64.*pandas.to_datetime"),
        ([datetime.datetime(2020, 1, 1)] * 200, "timestamps must be numbers or datetime64"),
        (None, "timestamps must be numbers or datetime64"),
        ([1j] * 200, "timestamps must be numbers or datetime64"),
        ([0.0] * 199 + [np.nan], "timestamps must not be NaN or NaT, got 1 of them"),
        (np.array(["NaT"] * 200, "datetime64[s]"), "timestamps must not be.*got 200"),
    ],
)
def test_bad_time_stamps(times, message):
    X, _ = numbered()
    for split in (time_split, leave_last_out):
        with pytest.raises(ValueError, match=message):
            split(X, times)


# Bad input ------------------------------------------------------------------------------------


@each_split
def test_bad_matrices(split):
    X, times = numbered()
    for bad in (np.eye(3), [[1, 0]], None):
        with pytest.raises(ValueError, match="interactions must be a scipy.sparse matrix or array"):
            split(bad, times)
        with pytest.raises(ValueError, match=r"also\[1\] must be a scipy.sparse matrix or array"):
            split(X, times, also=(X, bad))
    with pytest.raises(ValueError, match=r"write also=\(weights,\)"):
        split(X, times, also=X)

    def like(row, col, shape=X.shape):
        return sp.coo_matrix((np.ones(len(row)), (row, col)), shape=shape)

    for bad, message in (
        (like(X.row, X.col, (31, 20)), r"the shape of interactions, \(30, 20\), got \(31, 20\)"),
        (like(X.row[::-1], X.col[::-1]), "the entries of interactions in the same order"),
        (like(X.row[1:], X.col[1:]), "its 199 rows and columns differ from their 200"),
        (like(X.row, X.col).tocsr(), "the entries of interactions in the same order"),
        (like(X.row, (X.col + 1) % 20), "the entries of interactions in the same order"),
    ):
        with pytest.raises(ValueError, match=rf"also\[0\] must have.*{message}"):
            split(X, times, also=(bad,))


@pytest.mark.parametrize("share", [-0.1, 1.1, 20, np.nan, "0.2", None])
def test_impossible_shares(share):
    X, times = numbered()
    with pytest.raises(ValueError, match="test_percentage must be a share between 0 and 1.*got"):
        time_split(X, times, share)
    for split in (cold_user_split, cold_item_split):
        with pytest.raises(ValueError, match="test_percentage must be a share.*got"):
            split(X, share)


@pytest.mark.parametrize("n", [0, -1, 1.5, "1", None])
def test_impossible_numbers_to_hold_out(n):
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got"):
        leave_last_out(*numbered(), n)


@pytest.mark.parametrize("n_splits", [0, 1, -3, 201, 2.5, "5", None])
def test_impossible_numbers_of_folds(n_splits):
    with pytest.raises(ValueError, match="n_splits must be an integer from 2 to .* 200, got"):
        k_fold(numbered()[0], n_splits)  # at the call, before the first fold is asked for


# The random split, against the law in its plainest words ---------------------------------------


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
def test_every_sparse_format_of_the_random_split(form, kind):
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


def test_seeds_of_the_random_split():
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
def test_impossible_shares_of_the_random_split(share):
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
