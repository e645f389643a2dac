"""LightFM in scikit-learn's searches and in Optuna's; most of it needs neither."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import arrays_of, assert_equal_arrays

from lightfm_clone import LightFM
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import auc_score, ndcg_at_k, precision_at_k, reciprocal_rank
from lightfm_clone.search import InteractionEstimator

CATALOGUE = synthetic_catalogue(200, 120, 4_000)
TRAIN, TEST = random_train_test_split(CATALOGUE.interactions, random_state=0)


def samples(*columns):
    return np.column_stack(columns)


X_TRAIN, X_TEST = (samples(part.row, part.col) for part in (TRAIN, TEST))


def estimator(**parameters):
    return InteractionEstimator(TRAIN.shape, **{"loss": "warp", "random_state": 0, **parameters})


# The estimator, without scikit-learn -----------------------------------------------------------


def test_fit_is_that_of_lightfm():
    features = {"user_features": CATALOGUE.user_features, "item_features": CATALOGUE.item_features}
    given = {"loss": "bpr", "no_components": 7, "learning_rate": 0.02, "random_state": 4}
    fitted = estimator(**given, **features, epochs=3).fit(X_TRAIN)
    model = LightFM(**given).fit(TRAIN, **features, epochs=3)
    assert_equal_arrays(arrays_of(fitted.model_), arrays_of(model))


def test_weights_and_values():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, TRAIN.nnz)
    values = rng.choice([-1, 1], TRAIN.nnz)
    entries = (TRAIN.row, TRAIN.col)
    interactions, sample_weight = (
        sp.coo_matrix((data, entries), shape=TRAIN.shape) for data in (values, weights)
    )
    model = LightFM(random_state=0).fit(interactions, sample_weight=sample_weight, epochs=2)
    fitted = estimator(loss="logistic", epochs=2).fit(samples(*entries, weights), values)
    assert_equal_arrays(arrays_of(fitted.model_), arrays_of(model))


@pytest.mark.parametrize(
    ("metric", "function"),
    [
        ("ndcg@10", ndcg_at_k),
        ("precision@3", lambda *args: precision_at_k(*args, k=3)),
        ("auc", auc_score),
        ("mrr", reciprocal_rank),
    ],
)
def test_score_is_the_metric_of_what_was_held_out(metric, function):
    fitted = estimator(metric=metric).fit(X_TRAIN)
    score = fitted.score(X_TEST)
    assert isinstance(score, float)
    assert score == pytest.approx(function(fitted.model_, TEST, TRAIN).mean(), abs=1e-6)
    assert fitted.score(X_TEST[::-1], np.ones(len(X_TEST))) == pytest.approx(score)


def test_score_with_features():
    features = {"user_features": CATALOGUE.user_features, "item_features": CATALOGUE.item_features}
    fitted = estimator(metric="auc", **features).fit(X_TRAIN)
    expected = auc_score(fitted.model_, TEST, TRAIN, **features).mean()
    assert fitted.score(X_TEST) == pytest.approx(expected)


def test_what_is_scored_is_not_left_out_of_the_ranking():
    fitted = estimator(metric="auc").fit(X_TRAIN)
    expected = auc_score(fitted.model_, TRAIN).mean()
    assert fitted.score(X_TRAIN) == pytest.approx(expected)
    # A repeated interaction on both sides is ranked among what is not known, and itself.
    both = np.concatenate([X_TEST, X_TRAIN[:1]])
    test, train = (
        sp.coo_matrix((np.ones(len(X)), X.T), shape=TRAIN.shape) for X in (both, X_TRAIN[1:])
    )
    expected = auc_score(fitted.model_, test, train).mean()
    assert fitted.score(both) == pytest.approx(expected)


def test_negatives_are_known_but_no_test_items():
    values = np.where(np.arange(TEST.nnz) % 3, 1, -1)
    fitted = estimator(metric="auc").fit(X_TRAIN)
    score = fitted.score(X_TEST, values)
    assert score == fitted.score(X_TEST[values > 0]) != fitted.score(X_TEST)

    known = np.where(np.arange(TRAIN.nnz) % 3, 1, 0)
    fitted = estimator(metric="auc").fit(X_TRAIN, known)
    assert fitted.score(X_TEST) == pytest.approx(auc_score(fitted.model_, TEST, TRAIN).mean())


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float64", "object"])
def test_forms_of_samples(dtype):
    expected = estimator(epochs=1).fit(X_TRAIN)
    again = estimator(epochs=1).fit(X_TRAIN.astype(dtype))
    assert_equal_arrays(arrays_of(again.model_), arrays_of(expected.model_))
    again.fit(X_TRAIN.tolist())
    assert_equal_arrays(arrays_of(again.model_), arrays_of(expected.model_))
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"user": TRAIN.row, "item": TRAIN.col, "weight": np.ones(TRAIN.nnz)})
    again.fit(frame, pd.Series(np.ones(TRAIN.nnz), index=frame.index[::-1]))
    assert_equal_arrays(arrays_of(again.model_), arrays_of(expected.model_))


def test_each_fit_starts_afresh_and_leaves_parameters_alone():
    one = estimator(epochs=2)
    before = one.get_params()
    first = arrays_of(one.fit(X_TRAIN).model_)
    assert_equal_arrays(arrays_of(one.fit(X_TRAIN).model_), first)
    assert one.get_params() == before
    assert one.fit(X_TRAIN) is one


def test_parameters():
    one = InteractionEstimator((3, 4))
    model = LightFM().get_params()
    own = {"shape", "epochs", "num_threads", "user_features", "item_features", "metric"}
    assert set(one.get_params()) == set(model) | own
    assert all(one.get_params()[name] == model[name] for name in set(model) - {"random_state"})
    random_state = np.random.RandomState(0)
    given = {"shape": (5, 6), "no_components": 3, "epochs": 4, "random_state": random_state}
    assert one.set_params(**given) is one
    for name, value in given.items():
        assert one.get_params(deep=False)[name] is getattr(one, name) is value
    assert InteractionEstimator(**one.get_params()).get_params() == one.get_params()


def test_unknown_parameters():
    one = estimator()
    before = one.get_params()
    with pytest.raises(ValueError, match="unknown parameter 'components'; the parameters are"):
        one.set_params(components=3, epochs=5)
    assert one.get_params() == before
    with pytest.raises(TypeError, match="unknown parameter 'components'.*no_components"):
        InteractionEstimator((3, 4), components=3)


def test_representation():
    assert repr(InteractionEstimator((3, 4))) == "InteractionEstimator(shape=(3, 4))"
    text = repr(estimator(item_features=CATALOGUE.item_features, epochs=3))
    assert text == (
        "InteractionEstimator(shape=(200, 120), epochs=3, item_features=..., loss='warp', "
        "random_state=0)"
    )


def test_pickles_and_copies():
    fitted = estimator().fit(X_TRAIN)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert again.score(X_TEST) == fitted.score(X_TEST)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (TRAIN, "X must be an array .*, got coo_matrix; make one with numpy.column_stack"),
        (np.arange(6), r"X must be an array .*, got shape \(6,\)"),
        (np.ones((6, 1)), r"X must be an array .*, got shape \(6, 1\)"),
        (np.ones((6, 4)), r"X must be an array .*, got shape \(6, 4\)"),
        (np.ones((0, 2)), r"X must be an array .*, got shape \(0, 2\)"),
        ([[200, 0]], r"X\[:, 0\] must be below 200, the number of users in shape, got 200"),
        ([[0, 120]], r"X\[:, 1\] must be below 120, the number of items in shape, got 120"),
        ([[-1, 0]], r"X\[:, 0\] must not be negative"),
        ([[0.5, 0]], r"X\[:, 0\] must be whole numbers"),
        ([["ann", "tea"]], r"X\[:, 0\] must be integers, row numbers, got <U3"),
    ],
)
def test_bad_samples(X, message):
    fitted = estimator(epochs=1).fit(X_TRAIN)
    for call in (fitted.fit, fitted.score):
        with pytest.raises(ValueError, match=message):
            call(X)


@pytest.mark.parametrize("y", [np.ones(3), np.ones((2, 1)), ["1", "2"], [1j, 1], 5])
def test_bad_values(y):
    fitted = estimator(epochs=1).fit(X_TRAIN)
    for call in (fitted.fit, fitted.score):
        with pytest.raises(ValueError, match="y must be None or hold a number for each of the 2"):
            call(X_TRAIN[:2], y)


@pytest.mark.parametrize("shape", [None, 5, (5,), (5, 6, 7), "ab", (5.0, 6), (0, 3)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match="shape must be the pair .n_users, n_items.*got"):
        InteractionEstimator(shape).fit([[0, 0]])


def test_bad_parameters_and_weights():
    for bad, message in (
        ({"loss": "hinge"}, "loss must be one of"),
        ({"epochs": -1}, "epochs must be"),
        ({"num_threads": 0}, "num_threads must be"),
        ({"item_features": sp.eye(3)}, "item_features must have a row for each"),
    ):
        with pytest.raises(ValueError, match=message):
            estimator(**bad).fit(X_TRAIN)
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        estimator().fit(samples(TRAIN.row, TRAIN.col, np.full(TRAIN.nnz, np.nan)))
    with pytest.raises(ValueError, match="metrics must be among .*got 'accuracy'"):
        estimator(epochs=1, metric="accuracy").fit(X_TRAIN).score(X_TEST)


def test_score_needs_a_fit_and_positives():
    with pytest.raises(ValueError, match="the estimator is not fitted yet: call fit first"):
        estimator().score(X_TEST)
    fitted = estimator(epochs=1).fit(X_TRAIN)
    with pytest.raises(ValueError, match="test has no entries"):
        fitted.score(X_TEST, np.zeros(TEST.nnz))


def test_nothing_of_scikit_learn_is_imported():
    code = (
        "import sys; import lightfm_clone.search; "
        "bad = {'sklearn', 'optuna', 'pandas'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# In scikit-learn -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sklearn():
    return pytest.importorskip("sklearn")


@pytest.fixture
def selection(sklearn):
    return pytest.importorskip("sklearn.model_selection")


@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)])
def test_clone(sklearn, random_state):
    from sklearn.base import clone

    one = estimator(item_features=CATALOGUE.item_features, epochs=3, random_state=random_state)
    again = clone(one.fit(X_TRAIN))
    assert not hasattr(again, "model_")
    ours, theirs = one.get_params(), again.get_params()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"item_features", "random_state"}:
        assert ours[name] == theirs[name]
    assert (ours["item_features"] != theirs["item_features"]).nnz == 0
    assert type(theirs["random_state"]) is type(random_state)


def test_cross_val_score_holds_out_interactions(selection):
    one = estimator(metric="auc")
    scores = selection.cross_val_score(one, X_TRAIN, cv=3, error_score="raise")
    for score, (train, test) in zip(scores, selection.KFold(3).split(X_TRAIN), strict=True):
        again = estimator(metric="auc").fit(X_TRAIN[train])
        assert score == again.score(X_TRAIN[test]) > 0.6
    assert not hasattr(one, "model_")


def test_every_splitter(selection):
    for splitter in (
        2,
        selection.KFold(2, shuffle=True, random_state=0),
        selection.ShuffleSplit(2, random_state=0),
        selection.TimeSeriesSplit(2),
        selection.PredefinedSplit(np.arange(len(X_TRAIN)) % 2),
        selection.GroupKFold(2),
    ):
        scores = selection.cross_val_score(
            estimator(metric="auc", epochs=2),
            X_TRAIN,
            groups=TRAIN.row if isinstance(splitter, selection.GroupKFold) else None,
            cv=splitter,
            error_score="raise",
        )
        assert scores.shape == (2,) and ((scores > 0.4) & (scores < 1)).all()


def test_values_and_weights_are_split_alike(selection):
    rng = np.random.default_rng(0)
    X = samples(TRAIN.row, TRAIN.col, rng.uniform(0.5, 2, TRAIN.nnz))
    y = rng.choice([-1, 1], TRAIN.nnz, p=[0.2, 0.8])
    one = estimator(loss="logistic", metric="auc", epochs=2)
    folds = selection.ShuffleSplit(2, random_state=0)
    scores = selection.cross_val_score(one, X, y, cv=folds, error_score="raise")
    for score, (train, test) in zip(scores, folds.split(X), strict=True):
        assert score == one.fit(X[train], y[train]).score(X[test], y[test])


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(selection, n_jobs):
    grid = {
        "learning_rate": [0.0001, 0.05],
        "epochs": [1, 8],
        "item_features": [None, CATALOGUE.item_features],
    }
    found = selection.GridSearchCV(
        estimator(), grid, cv=3, n_jobs=n_jobs, return_train_score=True, error_score="raise"
    ).fit(X_TRAIN)
    assert len(found.cv_results_["params"]) == 8
    assert found.best_params_["learning_rate"] == 0.05
    assert found.best_params_["epochs"] == 8
    assert (found.cv_results_["mean_train_score"] > 0).all()
    best = found.best_estimator_
    assert isinstance(best.model_, LightFM)
    again = estimator(**found.best_params_).fit(X_TRAIN)
    assert_equal_arrays(arrays_of(best.model_), arrays_of(again.model_))
    assert found.score(X_TEST) == best.score(X_TEST) > 0.1
    assert "InteractionEstimator(shape=(200, 120)" in repr(found)


def test_random_search_over_distributions(selection):
    from scipy.stats import loguniform, randint

    space = {
        "loss": ["warp", "bpr", "warp-kos"],
        "learning_rate": loguniform(0.01, 0.1),
        "no_components": randint(4, 16),
        "max_sampled": randint(3, 12),
        "user_alpha": loguniform(1e-7, 1e-4),
    }
    found = selection.RandomizedSearchCV(
        estimator(metric="auc"), space, n_iter=6, cv=2, random_state=0, error_score="raise"
    ).fit(X_TRAIN)
    assert found.best_score_ > 0.65
    model = found.best_estimator_.model_
    assert {name: model.get_params()[name] for name in space} == found.best_params_


def test_halving_over_epochs(sklearn, selection):
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401

    found = selection.HalvingGridSearchCV(
        estimator(),
        {"learning_rate": [0.0001, 0.001, 0.01, 0.05]},
        resource="epochs",
        min_resources=1,
        max_resources=9,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X_TRAIN)
    assert found.best_params_["learning_rate"] >= 0.01
    assert found.n_resources_ == [1, 2, 4]


def test_a_fold_that_fails_says_why(selection):
    with pytest.warns(UserWarning, match="Scoring failed"):
        scores = selection.cross_val_score(estimator(metric="accuracy", epochs=1), X_TRAIN, cv=2)
    assert np.isnan(scores).all()
    with pytest.raises(ValueError, match="metrics must be among"):
        selection.cross_val_score(
            estimator(metric="accuracy", epochs=1), X_TRAIN, cv=2, error_score="raise"
        )
