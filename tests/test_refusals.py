"""Input that looks right and is not: what is refused names the way out, and the way leads there."""

from __future__ import annotations

import inspect
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    random_features,
    random_interactions,
    run_python,
)

import lightfm_clone
from lightfm_clone import Dataset, FitWarning, LightFM, cross_validation, evaluation
from lightfm_clone.search import InteractionEstimator

N_USERS, N_ITEMS = 30, 20
PAIRS = np.array([(u, i) for u in range(N_USERS) for i in range(u % 3, N_ITEMS, 3)])


def fitted(loss: str = "warp", **options: Any) -> LightFM:
    return LightFM(loss=loss, random_state=0).fit(random_interactions(), epochs=2, **options)


def message_of(function: Any, *args: Any, error: type = ValueError, **kwargs: Any) -> str:
    with pytest.raises(error) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# Rows of ids in place of a matrix

RNG = np.random.default_rng(0)
WEIGHTS = RNG.random((len(PAIRS), 1)) + 0.5
TIMES = RNG.integers(874_724_710, 893_286_638, (len(PAIRS), 1))
ROWS_OF_IDS = {
    "pairs": PAIRS,
    "float": PAIRS.astype(float),
    "float32": PAIRS.astype(np.float32),
    "uint8": PAIRS.astype(np.uint8),
    "big-endian": PAIRS.astype(">i4"),
    "Fortran order": np.asfortranarray(PAIRS),
    "backwards": PAIRS[::-1],
    "large ids": PAIRS * 1000 + 7,
    "two pairs": PAIRS[-2:],
    "from a subclass": PAIRS.view(np.memmap),
    "ratings": np.hstack([PAIRS, RNG.integers(1, 6, (len(PAIRS), 1))]),
    "weights": np.hstack([PAIRS, WEIGHTS]),
    "negative weights": np.hstack([PAIRS, -WEIGHTS]),
    "times": np.hstack([PAIRS, TIMES]),
    "a log": np.hstack([PAIRS, RNG.integers(1, 6, (len(PAIRS), 1)), TIMES]),
    "a log of floats": np.hstack([PAIRS, WEIGHTS, TIMES]),
}


@pytest.mark.parametrize("kind", ROWS_OF_IDS)
def test_rows_of_ids_are_no_matrix(kind):
    rows = ROWS_OF_IDS[kind]
    model = LightFM(loss="warp", random_state=0)
    for refuse in (model.fit, model.fit_partial, fitted().fold_in_users, fitted().fold_in_items):
        text = message_of(refuse, rows)
        assert text.startswith("interactions must be a matrix [n_users, n_items], got an array of")
        assert f"shape {rows.shape}" in text
        what = ["user", "item", "weight", "time"][: rows.shape[1]]
        assert f"rows of ({', '.join(what)})" in text
        assert "Dataset.build_interactions" in text and "scipy.sparse.coo_matrix" in text
    assert model.item_embeddings is None


def test_what_makes_a_matrix_of_rows_of_ids():
    for name in ("pairs", "float", "large ids", "weights"):
        rows = ROWS_OF_IDS[name]
        dataset = Dataset()
        dataset.fit(users=rows[:, 0], items=rows[:, 1])
        matrix, _ = dataset.build_interactions(rows)
        LightFM(loss="warp").fit(matrix)
        assert matrix.shape == (N_USERS, N_ITEMS)
    users, items = PAIRS.T
    matrix = sp.coo_matrix((np.ones(len(PAIRS)), (users, items)))
    assert LightFM(loss="warp").fit(matrix).user_biases.shape == (N_USERS,)
    # And where it is a table of two items after all:
    assert LightFM(loss="bpr").fit(sp.coo_matrix(PAIRS % 2)).item_biases.shape == (2,)


TABLES = {
    "likes": RNG.integers(0, 2, (50, 2)),
    "likes of three": RNG.integers(0, 2, (50, 3)).astype(np.float32),
    "booleans": RNG.random((50, 3)) < 0.5,
    "likes and dislikes": RNG.integers(-1, 2, (50, 2)),
    "shares": RNG.random((50, 3)),
    "stars": RNG.integers(1, 6, (50, 3)).astype(np.float32),
    "half stars": RNG.integers(1, 11, (50, 2)) / 2,
    "one user": np.array([[3, 4]]),
    "four items": RNG.integers(0, 6, (50, 4)),
    "many items": RNG.integers(0, 6, (50, 5)),
    "nothing": np.zeros((50, 2)),
    "nobody": np.zeros((0, 2)),
    "no items": np.zeros((3, 0)),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.filterwarnings("ignore::lightfm_clone.FitWarning")
def test_small_tables_are_matrices(kind):
    table = TABLES[kind]
    dense = LightFM(random_state=0).fit(table)
    sparse = LightFM(random_state=0).fit(sp.coo_matrix(table))
    assert_equal_arrays(arrays_of(dense), arrays_of(sparse))


@pytest.mark.filterwarnings("ignore::lightfm_clone.FitWarning")
def test_sparse_matrices_of_two_items_are_matrices():
    for make in (sp.coo_matrix, sp.csr_matrix, sp.lil_matrix, sp.coo_array):
        assert LightFM().fit(make(PAIRS)).item_biases.shape == (2,)


# Tables and texts in place of matrices


def tables() -> dict[str, Any]:
    found = {}
    columns = {"user": ["a", "b", "a"], "item": ["x", "x", "y"]}
    for name, make in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "table")):
        try:
            found[name] = getattr(__import__(name), make)(columns)
        except ImportError:
            pass
    return found


TABLES_OF_LIBRARIES = tables()


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables(library):
    pytest.importorskip(library)
    table = TABLES_OF_LIBRARIES[library]
    for refuse in (
        LightFM().fit,
        fitted().fold_in_users,
        fitted().predict_rank,
        lambda given: evaluation.auc_score(fitted(), given),
        lambda given: fitted().recommend(exclude=given),
    ):
        assert "lightfm_clone.data.Dataset.from_frame" in message_of(refuse, table)
    built = Dataset.from_frame(table, user="user", item="item")
    assert LightFM(loss="bpr").fit(built.interactions).user_biases.shape == (2,)

    text = message_of(LightFM().fit, built.interactions, item_features=table)
    assert text.startswith("item_features must be") and "from_frame takes such a table as" in text
    make = __import__(library).table if library == "pyarrow" else type(table)
    about = make({"item": ["x", "y"], "colour": ["red", "blue"]})
    built = Dataset.from_frame(table, user="user", item="item", item_features=about)
    LightFM(loss="bpr").fit(built.interactions, item_features=built.item_features)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_with_a_column_for_each_item(library):
    """The code that the message has makes a matrix of them."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip(library)
    values = RNG.integers(0, 2, (5, 6)).astype(float)
    table = pandas.DataFrame(values, columns=[f"item {i}" for i in range(6)])
    if library == "polars":
        table = __import__(library).DataFrame(values)
    elif library == "pyarrow":
        table = __import__(library).Table.from_pandas(table)
    code = re.search(r"scipy\.sparse\.(coo_matrix\(.*\)\)) of", message_of(LightFM().fit, table))
    matrix = eval(code[1], {"table": table, "coo_matrix": sp.coo_matrix})
    np.testing.assert_array_equal(matrix.toarray(), values)
    LightFM(loss="bpr").fit(matrix)


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.coo_matrix])
def test_nan_for_pairs_that_are_missing(as_matrix):
    table = np.where(RNG.random((20, 8)) < 0.4, 1.0, np.nan)
    text = message_of(LightFM(loss="warp").fit, as_matrix(table))
    assert "interactions must be finite" in text and "numpy.nan_to_num(table)" in text
    model = LightFM(loss="warp").fit(as_matrix(np.nan_to_num(table)))
    evaluation.auc_score(model, as_matrix(np.nan_to_num(table)))
    assert "test_interactions must be finite" in message_of(model.predict_rank, as_matrix(table))


def test_texts_and_objects():
    texts = np.array([("ann", "tea"), ("bob", "rum")])
    for given in (texts, texts.astype(object), texts.astype("S"), texts.tolist()):
        text = message_of(LightFM().fit, given)
        assert "Dataset.build_interactions" in text and "astype" not in text
        text = message_of(LightFM().fit, random_interactions(), user_features=given)
        assert "Dataset.build_user_features" in text and "astype" not in text
    numbers = np.eye(4).astype(object)
    assert "convert it with astype('float32')" in message_of(LightFM().fit, numbers)
    LightFM(loss="warp").fit(numbers.astype("float32"))


# The caller's own ids in place of row numbers


def lists_of_texts() -> list[Any]:
    given: list[Any] = [["ann"], ("ann",), np.array(["ann"]), np.array(["ann"], object), [b"ann"]]
    given += [[None], ["7"], [("ann",)[0], 3]]
    for name in ("pandas", "polars"):
        try:
            given.append(__import__(name).Series(["ann"]))
        except ImportError:
            pass
    return given


@pytest.mark.parametrize("given", ["ann", b"ann", *lists_of_texts()], ids=repr)
def test_ids_of_the_caller(given):
    model = fitted()
    for ask, side in (
        (lambda: model.predict(given, [1]), "user"),
        (lambda: model.predict(0, given), "item"),
        (lambda: model.recommend(given), "user"),
        (lambda: model.recommend(0, items=given), "item"),
        (lambda: model.similar_users(given), "user"),
        (lambda: model.similar_items(given), "item"),
        (lambda: model.similar_items(0, among=given), "item"),
    ):
        assert f"Dataset.{side}s_to_ids gives the row numbers of your own ids" in message_of(ask)


def test_row_numbers_of_the_callers_ids():
    dataset = Dataset()
    dataset.fit(users=["ann", "bob"], items=["tea", "rum", "ale"])
    interactions, _ = dataset.build_interactions([("ann", "tea"), ("bob", "rum")])
    model = LightFM(loss="warp").fit(interactions)
    users, items = dataset.users_to_ids(["ann"]), dataset.items_to_ids(["ale"])
    assert model.predict(users, items).shape == (1,)
    assert model.recommend(users, items=items)[0][0, 0] == 2


@pytest.mark.parametrize("given", [random_interactions(), random_interactions().toarray()])
def test_known_items_given_by_position(given):
    model = fitted()
    for arguments in ((3, given), (None, given), (given,), (given, 5)):
        assert "pass exclude=matrix" in message_of(model.recommend, *arguments)
    model.recommend(3, exclude=given)


def test_a_table_given_by_position():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(random_interactions().toarray())
    assert "pass exclude=matrix" in message_of(fitted().recommend, 3, table)


# Names of arguments

UNKNOWN = [
    (LightFM, {"factors": 5}, "no_components"),
    (LightFM, {"n_components": 5}, "no_components"),
    (LightFM, {"num_factors": 5}, "no_components"),
    (LightFM, {"learning_rat": 5}, "learning_rate"),
    (LightFM, {"regularization": 5}, "item_alpha or user_alpha"),
    (LightFM, {"seed": 5}, "random_state"),
    *[
        (function, {"n_jobs": 2}, "num_threads")
        for function in (
            LightFM.fit,
            LightFM.fit_partial,
            LightFM.predict,
            LightFM.predict_rank,
            LightFM.recommend,
            LightFM.similar_items,
            LightFM.similar_users,
            LightFM.fold_in_users,
            LightFM.fold_in_items,
            evaluation.evaluate,
            evaluation.precision_at_k,
            evaluation.recall_at_k,
            evaluation.auc_score,
            evaluation.reciprocal_rank,
            evaluation.ndcg_at_k,
        )
    ],
    *[
        (function, {"N": 5}, "k")
        for function in (
            LightFM.recommend,
            LightFM.similar_items,
            LightFM.similar_users,
            evaluation.precision_at_k,
            evaluation.hit_rate_at_k,
        )
    ],
    (LightFM.recommend, {"n": 5}, "k"),
    (LightFM.recommend, {"num_items": 5}, "k"),
    (LightFM.recommend, {"filter_items": 5}, "exclude"),
    (LightFM.recommend, {"train_interactions": 5}, "exclude"),
    (LightFM.fit, {"weights": 5}, "sample_weight"),
    (LightFM.fit_partial, {"sample_weights": 5}, "sample_weight"),
    (LightFM.fold_in_users, {"weights": 5}, "sample_weight"),
    (LightFM.fit, {"iterations": 5}, "epochs"),
    *[
        (function, {"features": 5}, "user_features or item_features")
        for function in (
            LightFM.fit,
            LightFM.predict,
            LightFM.predict_rank,
            LightFM.recommend,
            LightFM.explain,
            LightFM.score_vectors,
            evaluation.auc_score,
            evaluation.evaluate,
        )
    ],
    (LightFM.similar_items, {"features": 5}, "item_features"),
    (LightFM.fold_in_users, {"features": 5}, "item_features"),
    (LightFM.get_item_representations, {"item_features": 5}, "features"),
    (LightFM.resize, {"n_item_feature": 5}, "n_item_features"),
    (LightFM.predict_rank, {"train": 5}, "train_interactions"),
    (evaluation.auc_score, {"test": 5}, "test_interactions"),
    (evaluation.novelty, {"train": 5}, "train_interactions"),
    (cross_validation.random_train_test_split, {"test_size": 0.2}, "test_percentage"),
    (cross_validation.k_fold, {"seed": 0}, "random_state"),
]


@pytest.mark.parametrize(
    "function, given, ours", UNKNOWN, ids=[f"{f.__qualname__} {[*g][0]}" for f, g, _ in UNKNOWN]
)
def test_unknown_keywords_name_ours(function, given, ours):
    (name,) = given
    text = message_of(function, error=TypeError, **given)
    called = "LightFM.__init__" if function is LightFM else function.__qualname__
    assert text.startswith(f"{called}() got an unexpected keyword argument {name!r}; ")
    assert text.endswith(f"; it is called {ours} here")
    for one in ours.split(" or "):
        assert one in inspect.signature(function).parameters


@pytest.mark.parametrize(
    "function, name, not_ours",
    [
        (LightFM.similar_items, "user_features", "item_features"),
        (LightFM.similar_users, "item_ids", "user_ids"),
        (LightFM.fold_in_users, "user_features", "item_features"),
        (LightFM, "N", "k"),
        (LightFM, "epochs", "epsilon"),
        (LightFM, "user_features", "user_alpha"),
        (LightFM.fit, "learning_rate", "learning"),
        (LightFM.fit, "k", "k"),
    ],
)
def test_names_that_are_none_of_ours_get_no_false_one(function, name, not_ours):
    text = message_of(function, error=TypeError, **{name: 1})
    assert f"it is called {not_ours}" not in text and "the arguments are " in text


def test_what_has_been_given_already_is_no_proposal():
    text = message_of(fitted().fold_in_users, 1, train_interactions=2, error=TypeError)
    assert "it is called interactions" not in text
    text = message_of(fitted().fit, 1, sample_weight=1, weights=2, error=TypeError)
    assert "it is called sample_weight" not in text


def test_names_that_belong_elsewhere():
    assert "num_threads, as it is called, belongs elsewhere" in message_of(
        LightFM, n_jobs=4, error=TypeError
    )


def test_unknown_parameters_name_ours():
    assert "it is called no_components here" in message_of(LightFM().set_params, factors=3)
    text = message_of(InteractionEstimator, (3, 4), factors=3, error=TypeError)
    assert "it is called no_components here" in text


def test_every_public_function_knows_its_names():
    functions = [
        function
        for name, function in inspect.getmembers(LightFM, inspect.isfunction)
        if not name.startswith("_") and name not in ("get_params", "set_params", "save")
    ]
    functions += [getattr(evaluation, name) for name in evaluation.__all__ if name.islower()]
    functions += [
        function
        for name, function in inspect.getmembers(cross_validation, inspect.isfunction)
        if function.__module__ == cross_validation.__name__ and not name.startswith("_")
    ]
    assert len(functions) > 25
    for function in functions:
        text = message_of(function, error=TypeError, no_such_name=1)
        assert "'no_such_name'; the arguments are " in text, function


# Features that were there in the fit

TAGS, GROUPS = random_features(N_ITEMS, 6), random_features(N_USERS, 5)
FEATURES = {"user_features": GROUPS, "item_features": TAGS}
NEW = random_interactions(1, (4, N_ITEMS), 20)
NEW_ITEMS = random_interactions(1, (N_USERS, 4), 20)
# By the side that is missing: what a model fitted with a matrix refuses to answer without.
STRICT = {
    "user": {
        "similar_users": lambda model, **given: model.similar_users([0], **given),
        "score_vectors": lambda model, **given: model.score_vectors(**given),
        "recommend": lambda model, **given: model.recommend(0, **given),
        "recommend all": lambda model, **given: model.recommend(**given),
        "explain": lambda model, **given: model.explain(0, 0, **given),
        "fold_in_items": lambda model, **given: model.fold_in_items(NEW_ITEMS, **given),
        "representations": lambda model, **given: model.get_user_representations(*given.values()),
    },
    "item": {
        "similar_items": lambda model, **given: model.similar_items([0], **given),
        "score_vectors": lambda model, **given: model.score_vectors(**given),
        "recommend": lambda model, **given: model.recommend(0, **given),
        "prepare": lambda model, **given: model.prepare(**given),
        "explain": lambda model, **given: model.explain(0, 0, **given),
        "fold_in_users": lambda model, **given: model.fold_in_users(NEW, **given),
        "fold_in_items": lambda model, **given: model.fold_in_items(NEW_ITEMS, **given),
        "representations": lambda model, **given: model.get_item_representations(*given.values()),
    },
}


@pytest.mark.parametrize("side, method", [(s, m) for s in STRICT for m in STRICT[s]])
@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_without_the_features_of_the_fit(side, method, loss):
    name = f"{side}_features"
    n_features = FEATURES[name].shape[1]
    model = fitted(loss, **{name: FEATURES[name]})
    ask = STRICT[side][method]
    text = message_of(ask, model)
    assert f"{name} must be given, because the model was fitted with them" in text
    assert f"its rows are {n_features} features, and not {side}s" in text
    assert f"scipy.sparse.identity({n_features}, format='csr')" in text
    ask(model, **{name: FEATURES[name]})  # the first remedy
    if not method.startswith("fold_in"):  # these have as many features as users or items
        ask(model, **{name: sp.identity(n_features, format="csr")})  # the second one
    ask(fitted(loss))  # a model of ids alone


@pytest.mark.parametrize("side", ["user", "item"])
def test_features_themselves_by_the_identity(side):
    name = f"{side}_features"
    model = fitted(**{name: FEATURES[name]})
    n = FEATURES[name].shape[1]
    identity = sp.identity(n, format="csr")
    biases, embeddings = getattr(model, f"get_{side}_representations")(identity)
    np.testing.assert_array_equal(biases, getattr(model, f"{side}_biases"))
    np.testing.assert_array_equal(embeddings, getattr(model, f"{side}_embeddings"))
    similar = getattr(model, f"similar_{side}s")
    ids, _ = similar(k=n - 1, **{name: identity})
    assert ids.shape == (n, n - 1) and (np.sort(ids) >= 0).all()


@pytest.mark.parametrize("side", ["user", "item"])
def test_lightfms_own_methods_warn(side):
    """As many features as users and items, so that there is an answer."""
    n = {"user": N_USERS, "item": N_ITEMS}[side]
    name = f"{side}_features"
    features = {name: random_features(n, n)}
    interactions = random_interactions()
    model = fitted(**features)
    for ask in (
        lambda **given: model.predict(0, [1], **given),
        lambda **given: model.predict_rank(interactions, **given),
        lambda **given: evaluation.auc_score(model, interactions, **given),
        lambda **given: model.fit_partial(interactions, **given),
    ):
        with pytest.warns(FitWarning, match=f"fitted with {name} and is used without") as caught:
            ask()
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert f"pass the {name} of the fit" in str(caught[0].message)
        with warnings.catch_warnings():
            warnings.simplefilter("error", FitWarning)
            ask(**features)


# Divergence


def values_of(model: LightFM) -> list[np.ndarray]:
    return [getattr(model, name) for name in ARRAYS if name.endswith(("embeddings", "biases"))]


def is_far(model: LightFM) -> bool:
    return not all(abs(values).max() <= 1e6 for values in values_of(model))


@pytest.mark.parametrize("rate", [10, 1e3, 1e6])
@pytest.mark.parametrize("loss, schedule", [(x, y) for x in LOSSES for y in ("adagrad", "sgd")])
def test_no_loss_leaves_all_bounds_without_a_word(loss, schedule, rate):
    interactions = random_interactions()
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0).fit(interactions)
    live = {name: getattr(model, name) for name in ARRAYS}
    before, history = arrays_of(model), [*model.history_]
    model.learning_rate = rate
    for train in (model.fit_partial, model.fit):
        try:
            train(interactions, epochs=10)
        except ValueError as error:
            assert re.match(
                r"the model diverged in epoch \d+: (some parameters are NaN or infinite|"
                r"the mean loss is [\w.+-]+) with learning_rate=" + str(rate),
                str(error),
            )
            assert "use a smaller learning_rate" in str(error)
            assert all(getattr(model, name) is live[name] for name in ARRAYS)
            assert_equal_arrays(arrays_of(model), before)
            assert model.history_ == history
        else:
            assert max(record["loss"] for record in model.history_) < 1e5
            assert not is_far(model)
            break
    model = LightFM(loss=loss, learning_schedule=schedule, learning_rate=0.02, random_state=0)
    model.fit(interactions, epochs=10)  # the remedy


@pytest.mark.parametrize("rate", [100, 1e3])
@pytest.mark.parametrize("loss", ["warp", "warp-kos", "mse", "logistic", "bpr"])
def test_losses_with_and_without_a_bound_diverge(loss, rate):
    model = LightFM(loss=loss, learning_rate=rate, random_state=0)
    with pytest.raises(ValueError, match="the model diverged in epoch"):
        model.fit(random_interactions(), epochs=10)


@pytest.mark.parametrize("size", [1e6, 1e20, 1e30])
@pytest.mark.parametrize("what", ["values", "weights", "features"])
@pytest.mark.parametrize("loss", LOSSES)
def test_huge_numbers(loss, what, size):
    interactions, options = random_interactions(), {}
    if what == "values":
        interactions.data *= np.float32(size)
    elif what == "weights":
        options["sample_weight"] = interactions.copy()
        options["sample_weight"].data = np.full(interactions.nnz, size)
    else:
        options["user_features"] = sp.identity(N_USERS, format="csr") * size
    model = LightFM(loss=loss, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        try:
            model.fit(interactions, epochs=5, **options)
        except ValueError as error:
            assert "the model diverged in epoch" in str(error)
            assert "smaller values and weights" in str(error)
            assert model.item_embeddings is None and model.history_ == []
        else:
            assert not is_far(model)
            assert model.history_[-1]["loss"] < 1e6 * (size if what == "weights" else 1)


@pytest.mark.parametrize("alpha", [1.0, 100.0, 1000.0])
@pytest.mark.parametrize("schedule", ["adagrad", "adadelta"])
@pytest.mark.parametrize("loss", ["logistic", "bpr", "warp", "warp-kos"])
def test_a_strong_l2_is_no_divergence(loss, schedule, alpha):
    """The losses and schedules of LightFM, which tests them so: large numbers come back."""
    likes, _ = groups_of_taste()
    likes = sp.coo_matrix(likes.toarray() * 2 - 1) if loss == "logistic" else likes
    model = LightFM(
        loss=loss, learning_schedule=schedule, item_alpha=alpha, user_alpha=alpha, random_state=0
    )
    model.fit(likes, epochs=10)
    assert all(np.isfinite(values).all() for values in values_of(model))


@pytest.mark.parametrize("loss", ["warp", "logistic", "mse"])
def test_a_weak_l2_does_not_hide_a_divergence(loss):
    model = LightFM(loss=loss, learning_rate=1e3, item_alpha=1e-6, random_state=0)
    with pytest.raises(ValueError, match="the model diverged in epoch 1"):
        model.fit(random_interactions(), epochs=10)


# What can be imported


def test_imports_from_the_top():
    for name, home in {
        "LightFM": lightfm_clone.lightfm,
        "Dataset": lightfm_clone.data,
        "random_train_test_split": cross_validation,
        "precision_at_k": evaluation,
        "recall_at_k": evaluation,
        "auc_score": evaluation,
        "reciprocal_rank": evaluation,
        "evaluate": evaluation,
        "fetch_movielens": lightfm_clone.datasets,
    }.items():
        assert getattr(lightfm_clone, name) is getattr(home, name)
        assert name in lightfm_clone.__all__
    assert all(hasattr(lightfm_clone, name) for name in lightfm_clone.__all__)


@pytest.mark.parametrize("module", ["lightfm_clone", "lightfm_clone.data", "lightfm_clone.lightfm"])
def test_a_source_folder_without_a_build_says_so(tmp_path, module):
    home = Path(lightfm_clone.__file__).parent
    for file in home.rglob("*.py"):
        copy = tmp_path / home.name / file.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    # Without site, which would find the compiled module of an editable installation.
    done = run_python("-S", "-c", f"import {module}", path=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: lightfm_clone is not built in")
    assert "pip install ." in last and "circular" not in done.stderr
