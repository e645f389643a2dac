"""The synthetic catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from catalogues import check_shapes, same
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import svds

from lightfm_clone.datasets import synthetic, synthetic_catalogue


@pytest.fixture(scope="module")
def catalogue():
    return synthetic_catalogue()


def test_synthetic_default(catalogue):
    check_shapes(catalogue)
    matrix = catalogue.interactions
    assert matrix.shape == (1000, 600) and matrix.nnz == 40_000
    assert np.all(matrix.data == 1)
    assert len(np.unique(matrix.row * 600 + matrix.col)) == 40_000
    assert np.all(np.diff(catalogue.timestamps) >= 0)
    years = catalogue.timestamps.astype("datetime64[s]").astype("datetime64[Y]")
    assert {str(year) for year in years} == {"2020", "2021", "2022", "2023"}


def test_synthetic_metadata_has_names(catalogue):
    assert len(set(catalogue.item_labels)) == 600
    kinds = np.array([label.split(":")[0] for label in catalogue.item_tag_labels])
    per_kind = {
        kind: np.asarray(catalogue.item_tags[:, kinds == kind].sum(axis=1)).ravel()
        for kind in set(kinds)
    }
    assert {kind: (n.min(), n.max()) for kind, n in per_kind.items()} == {
        "genre": (1, 2),
        "theme": (1, 2),
        "decade": (1, 1),
    }
    decades = catalogue.item_tags[:, kinds == "decade"].indices
    labels = catalogue.item_tag_labels[kinds == "decade"]
    for title, decade in zip(catalogue.item_labels, labels[decades], strict=True):
        assert decade == f"decade:{title[-5:-2]}0s"
    assert [label.split(":")[0] for label in catalogue.user_tag_labels] == (
        ["age"] * 6 + ["region"] * 8
    )
    assert np.all(np.asarray(catalogue.user_tags.sum(axis=1)) == 2)


def test_synthetic_titles_stay_distinct_when_combinations_run_out(monkeypatch):
    # With four adjectives about a third more films in the first genre than title combinations.
    monkeypatch.setattr(synthetic, "ADJECTIVES", synthetic.ADJECTIVES[:4])
    titles = synthetic_catalogue(1, 20_000, 0).item_labels
    assert len(np.unique(titles)) == 20_000
    assert any(", Part 2 (" in title for title in titles)


@pytest.mark.parametrize(
    "seed",
    [
        lambda: 7,
        lambda: np.random.RandomState(7),
        lambda: np.random.default_rng(7),
    ],
    ids=["int", "RandomState", "Generator"],
)
def test_synthetic_is_deterministic_by_seed(seed):
    one, two = (synthetic_catalogue(50, 60, 700, random_state=seed()) for _ in range(2))
    for part in ("row", "col"):
        np.testing.assert_array_equal(
            getattr(one.interactions, part), getattr(two.interactions, part)
        )
    np.testing.assert_array_equal(one.timestamps, two.timestamps)
    np.testing.assert_array_equal(one.item_labels, two.item_labels)
    assert same(one.item_features, two.item_features)
    assert same(one.user_features, two.user_features)
    other = synthetic_catalogue(50, 60, 700, random_state=8)
    assert same(one.interactions.tocsr(), other.interactions.tocsr()) is False


@settings(max_examples=60, deadline=None)
@example(n_users=21, n_items=5, fraction=1.0, seed=1)
@example(n_users=1, n_items=1, fraction=1.0, seed=0)
@given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 90),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_synthetic_meets_any_size_exactly(n_users, n_items, fraction, seed):
    most = (n_items + 1) // 2
    n_interactions = round(fraction * n_users * most)
    catalogue = synthetic_catalogue(n_users, n_items, n_interactions, seed)
    check_shapes(catalogue)
    matrix = catalogue.interactions
    assert matrix.shape == (n_users, n_items)
    assert matrix.nnz == n_interactions == matrix.tocsr().nnz
    assert matrix.tocsr().data.max(initial=1) == 1
    assert np.bincount(matrix.row, minlength=n_users).max() <= most


def test_synthetic_in_several_blocks(monkeypatch):
    monkeypatch.setattr(synthetic, "BLOCK_INTERACTIONS", 100)
    matrix = synthetic_catalogue(200, 100, 4000).interactions
    assert matrix.nnz == matrix.tocsr().nnz == 4000
    assert matrix.tocsr().data.max() == 1
    assert np.bincount(matrix.row, minlength=200).min() > 0


def test_synthetic_popularity_and_activity_are_power_laws():
    matrix = synthetic_catalogue(4000, 2000, 200_000, random_state=3).interactions
    for index, n in ((matrix.row, 4000), (matrix.col, 2000)):
        counts = np.sort(np.bincount(index, minlength=n))[::-1]
        # A straight line of counts over ranks where both are logarithmic, and a heavy head.
        rank = np.arange(n // 50, n // 2)
        x, y = np.log(rank), np.log(counts[rank])
        slope = np.polyfit(x, y, 1)[0]
        assert -1.3 < slope < -0.5
        assert np.corrcoef(x, y)[0, 1] < -0.98
        assert 0.3 < counts[: n // 10].sum() / counts.sum() < 0.65
        assert counts[-1] >= 1


def precision_at_10(scores, known, wanted):
    scores = np.where(known.toarray() > 0, -np.inf, scores)
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    hits = np.take_along_axis(wanted.toarray(), best, axis=1).sum(axis=1)
    return hits.mean() / 10


def log_lift(profile, everybody, weight):
    """Log of how much more often than everybody a person meets each tag, smoothed."""
    everybody = everybody / everybody.sum()
    profile = profile + weight * everybody
    return np.log(profile / profile.sum(axis=1, keepdims=True) / np.maximum(everybody, 1e-12))


def test_synthetic_tastes_can_be_learnt_from_tags_and_from_interactions(catalogue):
    matrix = catalogue.interactions
    late = np.arange(matrix.nnz) % 5 == 0
    train, test = (
        sp.csr_matrix((matrix.data[part], (matrix.row[part], matrix.col[part])), matrix.shape)
        for part in (~late, late)
    )
    popularity = np.asarray(train.sum(axis=0)).ravel()
    base = np.tile(np.log(popularity + 1), (1000, 1))
    by_popularity = precision_at_10(base, train, test)

    is_genre = np.char.startswith(catalogue.item_tag_labels, "genre:")
    genres = catalogue.item_tags[:, is_genre].toarray()
    lift = log_lift(train @ genres, popularity @ genres, 2.0)
    by_genres = precision_at_10(base + lift @ genres.T, train, test)

    scale = np.sqrt(popularity + 1)
    left, sizes, right = svds(train @ sp.diags(1 / scale), k=12, v0=np.ones(600))
    factors = (left * sizes) @ right * scale
    by_factors = precision_at_10(factors, train, test)

    assert by_genres > 1.5 * by_popularity
    assert by_factors > 1.5 * by_popularity


def test_synthetic_user_tags_help_with_new_users():
    catalogue = synthetic_catalogue(4000, 600, 120_000)
    seen = catalogue.interactions.tocsr()
    old, new = np.arange(4000) < 3000, np.arange(4000) >= 3000
    popularity = np.asarray(seen[old].sum(axis=0)).ravel()
    base = np.tile(np.log(popularity + 1), (1000, 1))
    by_tag = (catalogue.user_tags[old].T @ seen[old]).toarray()
    lift = catalogue.user_tags[new] @ log_lift(by_tag, popularity, 50.0)
    nothing = sp.csr_matrix((1000, 600))
    by_popularity = precision_at_10(base, nothing, seen[new])
    assert precision_at_10(base + lift, nothing, seen[new]) > 1.1 * by_popularity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_users": 0}, "n_users must be an integer of at least 1, got 0"),
        ({"n_items": 2.5}, "n_items must be an integer of at least 1, got 2.5"),
        ({"n_interactions": -1}, "n_interactions must be an integer of at least 0, got -1"),
        ({"n_interactions": "many"}, "n_interactions must be an integer"),
        ({"n_users": 3, "n_items": 5, "n_interactions": 10}, "at most 9, half of all pairs"),
        ({"random_state": "x"}, "random_state must be"),
    ],
)
def test_synthetic_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic_catalogue(**arguments)
