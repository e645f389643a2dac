"""Every misuse is refused with an error that names the argument and what was given."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import model_with, random_features, random_interactions

from lightfm_clone import LightFM, _core
from lightfm_clone.evaluation import precision_at_k, recall_at_k

N_USERS, N_ITEMS = 30, 20
INTERACTIONS = random_interactions(1, (N_USERS, N_ITEMS))
USER_FEATURES = random_features(N_USERS, 6)
ITEM_FEATURES = random_features(N_ITEMS, 7)
FEATURES = {"user_features": USER_FEATURES, "item_features": ITEM_FEATURES}


@pytest.fixture(scope="module")
def plain() -> LightFM:
    return LightFM().fit(INTERACTIONS)


@pytest.fixture(scope="module")
def hybrid() -> LightFM:
    return LightFM().fit(INTERACTIONS, **FEATURES)


def raises(name: str, *said: object, error: type[Exception] = ValueError):
    """An error whose message has the argument's name, and then all of `said`, in this order."""
    words = (rf"\b{re.escape(name)}\b", *(re.escape(str(word)) for word in said))
    return pytest.raises(error, match="(?s)" + ".*".join(words))


def changed(matrix: sp.spmatrix, value: float) -> sp.spmatrix:
    matrix = matrix.copy()
    matrix.data = matrix.data.astype(np.float64)
    matrix.data[2] = value
    return matrix


# Constructor

BAD_PARAMETERS = [
    *(("no_components", value) for value in (0, -3, 2.5, "10", None)),
    *((name, value) for name in ("k", "n") for value in (0, -1, 0.5, np.nan, "five", None)),
    *(("max_sampled", value) for value in (0, -1, 1.5, 2**31, None)),
    *(("rho", value) for value in (0, 1, -0.1, 1.5, np.nan, None)),
    *(("epsilon", value) for value in (-1e-9, np.inf, "small")),
    *((f"{side}_alpha", value) for side in ("item", "user") for value in (-1e-9, np.nan, None)),
    *(("loss", value) for value in ("hinge", "WARP", None, 1)),
    *(("learning_schedule", value) for value in ("adam", None)),
    *(("learning_rate", value) for value in (np.nan, np.inf, "fast")),
    *(("random_state", value) for value in (-1, 2**32, 1.5, "seed")),
]


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS)
def test_bad_parameters(name, value):
    with raises(name, repr(value)):
        LightFM(**{name: value})
    with raises(name, repr(value)):
        LightFM().set_params(**{name: value})
    if name != "random_state":
        with pytest.raises(AssertionError):  # as LightFM, for callers that catch it
            LightFM(**{name: value})


def test_alternatives_are_named():
    with raises("loss", *map(repr, _core.LOSSES)):
        LightFM(loss="hinge")
    with raises("learning_schedule", *map(repr, _core.SCHEDULES)):
        LightFM(learning_schedule="adam")


def test_unknown_parameters():
    with pytest.raises(TypeError, match="components"):
        LightFM(components=3)
    with raises("components", "no_components"):
        LightFM().set_params(components=3)


@pytest.mark.parametrize(("name", "value"), [("loss", "hinge"), ("k", 0), ("item_alpha", -1.0)])
def test_bad_values_assigned(plain, name, value):
    model = LightFM().fit(INTERACTIONS)
    setattr(model, name, value)
    for method in (model.fit, model.fit_partial):
        with raises(name, repr(value)):
            method(INTERACTIONS)


# fit and fit_partial


def with_bad_index(kind: str) -> sp.spmatrix:
    """A matrix that has been tampered with after it was made."""
    matrix = getattr(sp, kind)(np.eye(N_USERS, N_ITEMS, dtype=np.float32))
    if matrix.format == "coo":
        matrix.col[3] = N_ITEMS
    elif matrix.format == "lil":
        matrix.rows[3] = [N_ITEMS]
    else:
        matrix.indices[3] = 10**6
    return matrix


BAD_MATRICES = {
    "list": [[1, 0], [0, 1]],
    "text": "ratings.csv",
    "nothing": object(),
    "1-D": np.ones(3),
    "3-D": np.ones((2, 2, 2)),
    "complex": sp.coo_matrix(np.eye(N_USERS, N_ITEMS) * 1j),
    "objects": np.array([["a"] * N_ITEMS] * N_USERS, dtype=object),
    "NaN": changed(INTERACTIONS, np.nan),
    "infinity": changed(INTERACTIONS, -np.inf),
    **{f"{kind}_matrix": with_bad_index(f"{kind}_matrix") for kind in ("coo", "csr", "csc", "lil")},
}


@pytest.mark.parametrize("kind", BAD_MATRICES)
def test_bad_matrices(plain, kind):
    """As any of the matrices that there are."""
    bad = BAD_MATRICES[kind]
    with raises("interactions"):
        LightFM().fit(bad)
    for name in ("user_features", "item_features"):
        with raises(name):
            LightFM().fit(sp.coo_matrix((2, 2)), **{name: bad})
        with raises(name):
            plain.predict(range(N_ITEMS), range(N_ITEMS), **{name: bad})
        with raises(name):
            plain.predict_rank(INTERACTIONS, **{name: bad})
    with raises("test_interactions"):
        plain.predict_rank(bad)
    with raises("train_interactions"):
        plain.predict_rank(INTERACTIONS, bad)
    for side in ("user", "item"):
        with raises(f"{side}_features"):
            getattr(plain, f"get_{side}_representations")(bad)


def test_no_interactions():
    with raises("interactions", "NoneType"):
        LightFM().fit(None)


def test_features_beyond_float32():
    with raises("item_features", "infinity"):
        LightFM().fit(INTERACTIONS, item_features=changed(ITEM_FEATURES, 1e300))


def reordered(matrix: sp.coo_matrix, *axes: int) -> sp.coo_matrix:
    """With the row indices (axis 0) or the column indices (axis 1) in reverse order, or both."""
    entries = (x[::-1] if axis in axes else x for axis, x in enumerate((matrix.row, matrix.col)))
    return sp.coo_matrix((matrix.data, tuple(entries)), matrix.shape)


BAD_WEIGHTS = {
    "another shape": (sp.coo_matrix((N_USERS, N_ITEMS + 1)), f"({N_USERS}, {N_ITEMS})"),
    "other entries": (random_interactions(2), "same order"),
    "fewer entries": (sp.coo_matrix((N_USERS, N_ITEMS)), "same order"),
    "another order": (reordered(INTERACTIONS, 0, 1), "same order"),
    "other rows": (reordered(INTERACTIONS, 0), "same order"),
    "other columns": (reordered(INTERACTIONS, 1), "same order"),
    "CSR": (INTERACTIONS.tocsr(), "COO"),
    "dense": (INTERACTIONS.toarray(), "COO"),
    "list": ([1.0, 2.0], "COO"),
    "NaN": (changed(INTERACTIONS, np.nan), "NaN"),
    "infinity": (changed(INTERACTIONS, np.inf), "infinity"),
    "beyond float32": (changed(INTERACTIONS, 1e300), "infinity"),
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_weights(kind):
    bad, said = BAD_WEIGHTS[kind]
    with raises("sample_weight", said):
        LightFM(loss="warp").fit(INTERACTIONS, sample_weight=bad)


@pytest.mark.parametrize("error", [NotImplementedError, ValueError])
@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_weights_with_warp_kos(kind, error):
    """LightFM takes no weights at all there, and code may be prepared for its exception."""
    bad, said = BAD_WEIGHTS[kind]
    with raises("sample_weight", said, error=error):
        LightFM(loss="warp-kos").fit(INTERACTIONS, sample_weight=bad)


def test_too_few_rows_of_features():
    with raises("user_features", N_USERS, "users", N_USERS - 1):
        LightFM().fit(INTERACTIONS, user_features=USER_FEATURES[:-1])
    with raises("item_features", N_ITEMS, "items", 3):
        LightFM().fit(INTERACTIONS, item_features=ITEM_FEATURES[:3])


def test_other_columns_than_fitted(plain, hybrid):
    for name, width in (("user_features", 6), ("item_features", 7)):
        for other in (FEATURES[name][:, :-1], sp.hstack([FEATURES[name], FEATURES[name]])):
            with raises(name, width, other.shape[1]):
                hybrid.fit_partial(INTERACTIONS, **{**FEATURES, name: other})
    with raises("user_features", 6, N_USERS):  # the identity is a feature matrix, too
        hybrid.fit_partial(INTERACTIONS, item_features=ITEM_FEATURES)
    with raises("item_features", N_ITEMS, 7):
        plain.fit_partial(INTERACTIONS, item_features=ITEM_FEATURES)
    with raises("user_features", N_USERS, N_USERS + 5):  # more users than fitted
        plain.fit_partial(sp.coo_matrix((N_USERS + 5, N_ITEMS)))


@pytest.mark.parametrize("epochs", [-1, 1.5, "3", None])
def test_bad_epochs(epochs):
    with raises("epochs", repr(epochs)):
        LightFM().fit(INTERACTIONS, epochs=epochs)


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, "2", 2**31])
def test_bad_num_threads(plain, num_threads):
    for call in (
        lambda: LightFM().fit(INTERACTIONS, num_threads=num_threads),
        lambda: plain.predict(0, [1], num_threads=num_threads),
        lambda: plain.predict_rank(INTERACTIONS, num_threads=num_threads),
        lambda: precision_at_k(plain, INTERACTIONS, num_threads=num_threads),
    ):
        with raises("num_threads", repr(num_threads)):
            call()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("item_embeddings", np.zeros(3)),
        ("user_embeddings", np.zeros((N_USERS, 4))),
        ("item_biases", np.zeros(N_ITEMS - 1)),
        ("user_embedding_gradients", np.zeros((N_USERS + 1, 10))),
        ("item_bias_momentum", np.zeros((N_ITEMS, 1))),
        ("user_biases", None),
        ("user_embeddings", None),
    ],
)
def test_assigned_arrays_that_do_not_fit(name, value):
    model = LightFM().fit(INTERACTIONS)
    setattr(model, name, value)
    with raises(name):
        model.fit_partial(INTERACTIONS)


def test_divergence_names_epoch_and_rate():
    with pytest.raises(ValueError, match=r"diverged in epoch 1.*learning_rate=1e\+30.*smaller"):
        LightFM(learning_rate=1e30).fit(INTERACTIONS, epochs=5)


# Prediction


def test_unfitted():
    model = LightFM()
    for call in (
        lambda: model.predict(0, [1]),
        lambda: model.predict_rank(INTERACTIONS),
        model.get_item_representations,
        model.get_user_representations,
        lambda: precision_at_k(model, INTERACTIONS),
    ):
        with pytest.raises(ValueError, match="not fitted.*call fit"):
            call()


BAD_IDS = {
    "none": [],
    "empty array": np.array([], dtype=np.int32),
    "negative": [0, -1],
    "negative int8": np.array([-1], dtype=np.int8),
    "beyond int32": [2**31],
    "wraps to 0": [2**32],
    "uint64": np.array([2**63], dtype=np.uint64),
    "huge": [2**70],
    "fraction": [0.5],
    "float NaN": np.array([np.nan]),
    "float infinity": np.array([np.inf]),
    "words": ["a", "b"],
    "digits": np.array(["0", "1"]),
    "objects": [object()],
    "half an object": [1, None],
    "2-D": [[0, 1]],
    "ragged": [[0], [0, 1]],
    "bytes": b"01",
    "text": "01",
    "True": [True, False],
    "complex": [1j],
}


@pytest.mark.parametrize("kind", BAD_IDS)
def test_bad_ids(plain, kind):
    bad = BAD_IDS[kind]
    with raises("user_ids"):
        plain.predict(bad, [1] if isinstance(bad, str | bytes) else [1] * len(bad))
    with raises("item_ids"):
        plain.predict(0, bad)
    with raises("item_ids"):
        plain.predict(0, bad, item_features=sp.identity(N_ITEMS))


@pytest.mark.parametrize("user", [-1, 2**31, 0.5, np.nan, "0", None, np.int64(2**40)])
def test_bad_single_users(plain, user):
    with raises("user_ids"):
        plain.predict(user, [1, 2])


def test_lengths_that_differ(plain):
    with raises("user_ids and item_ids", 2, 3):
        plain.predict([0, 1], [0, 1, 2])


def test_ids_beyond_the_rows(plain, hybrid):
    with raises("user_ids", N_USERS, N_USERS):
        plain.predict(N_USERS, [1])
    with raises("item_ids", N_ITEMS, 99):
        plain.predict(0, [1, 99])
    with raises("user_ids", 4, "user_features", 4):
        hybrid.predict([4, 0], [0, 0], user_features=USER_FEATURES[:4])
    with raises("item_ids", 4, "item_features", 5), pytest.warns(UserWarning):
        hybrid.predict(0, [5], item_features=ITEM_FEATURES[:4])


def test_more_columns_than_fitted(plain, hybrid):
    for name, width in (("user_features", 6), ("item_features", 7)):
        wide = sp.hstack([FEATURES[name], FEATURES[name]])
        with raises(name, width, 2 * width):
            hybrid.predict(0, [1], **{**FEATURES, name: wide})
    # Features for a model that was fitted without them.
    wide = random_features(N_ITEMS, N_ITEMS + 1)
    with raises("item_features", N_ITEMS, N_ITEMS + 1):
        plain.predict(0, [1], item_features=wide)


def test_widths_in_ranking_and_representations(plain, hybrid):
    """Here they have to be those of the fit exactly."""
    for name, width in (("user_features", 6), ("item_features", 7)):
        wide = sp.hstack([FEATURES[name], FEATURES[name]])
        for other in (wide, FEATURES[name][:, :-1]):
            with raises(name, width, other.shape[1]):
                hybrid.predict_rank(INTERACTIONS, **{**FEATURES, name: other})
            with raises(name, width, other.shape[1]):
                getattr(hybrid, f"get_{name.removesuffix('_features')}_representations")(other)
    with raises("item_features", N_ITEMS, 7):
        plain.predict_rank(INTERACTIONS, item_features=ITEM_FEATURES)


@pytest.mark.filterwarnings("ignore:the model was fitted with")
def test_shapes_of_ranked_interactions(plain, hybrid):
    for shape in ((N_USERS - 1, N_ITEMS), (N_USERS + 1, N_ITEMS)):
        with raises("test_interactions", shape[0], "users", N_USERS):
            plain.predict_rank(sp.coo_matrix(shape))
    for shape in ((N_USERS, N_ITEMS - 1), (N_USERS, N_ITEMS + 1)):
        with raises("test_interactions", shape[1], "items", N_ITEMS):
            plain.predict_rank(sp.coo_matrix(shape))
    with raises("test_interactions", N_USERS, "users", 6):
        hybrid.predict_rank(INTERACTIONS, item_features=ITEM_FEATURES)
    with raises("test_interactions", N_USERS, "users", 4, "user_features"):
        hybrid.predict_rank(
            INTERACTIONS, user_features=USER_FEATURES[:4], item_features=ITEM_FEATURES
        )
    with raises("train_interactions", (N_USERS, N_ITEMS), (N_USERS, 3)):
        plain.predict_rank(INTERACTIONS, sp.coo_matrix((N_USERS, 3)))


def test_overlap(plain):
    with raises("test_interactions", "train_interactions", "check_intersections=False"):
        plain.predict_rank(INTERACTIONS, INTERACTIONS)
    zeros = INTERACTIONS.copy()
    zeros.data[:] = 0
    plain.predict_rank(INTERACTIONS, zeros)


@pytest.mark.parametrize("metric", [precision_at_k, recall_at_k])
@pytest.mark.parametrize("k", [0, -1])
def test_bad_k(metric, k):
    with raises("k", k):
        metric(model_with([[1.0]], [[1.0]]), sp.coo_matrix([[1.0]]), k=k)


# Arrays that users assign


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_embeddings", np.ones((30, 2), np.float32)),
        ("item_embeddings", np.ones((1, 10), np.float32)),
        ("item_embeddings", None),
        ("user_biases", np.ones(3, np.float32)),
    ],
)
def test_assigned_arrays_are_checked_before_they_are_read(name, value):
    """They would be read beyond their ends."""
    interactions = random_interactions()
    model = LightFM().fit(interactions)
    setattr(model, name, value)
    pattern = "user_embeddings|item_embeddings|not fitted"
    for call in (
        lambda: model.predict([29], [19]),
        lambda: model.predict_rank(interactions),
        lambda: model.fit_partial(interactions) if value is not None else model.predict(0, [1]),
    ):
        with pytest.raises(ValueError, match=pattern):
            call()


def test_assigned_nan():
    """There is no ranking by NaN: precision would come out as 3 and AUC as -143307."""
    interactions = random_interactions()
    model = LightFM().fit(interactions)
    model.item_embeddings[:] = np.nan
    with pytest.raises(ValueError, match="representations of some items"):
        model.predict_rank(interactions)
    with pytest.raises(ValueError, match="item_embeddings must be finite"):
        model.fit_partial(interactions)
