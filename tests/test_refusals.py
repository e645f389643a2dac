"""What is hardly ever meant is refused, with advice that leads out."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    LOSSES,
    SCHEDULES,
    arrays_of,
    assert_equal_arrays,
    random_features,
    random_interactions,
    run_python,
)

import lightfm_clone
from lightfm_clone import (
    Dataset,
    FitWarning,
    LightFM,
    auc_score,
    evaluate,
    precision_at_k,
    random_train_test_split,
)

N_USERS, N_ITEMS = 30, 20
TRAIN = random_interactions(0, (N_USERS, N_ITEMS))
FEATURES = {
    "user_features": random_features(N_USERS, 40, seed=1),
    "item_features": random_features(N_ITEMS, 7, seed=2),
}


@pytest.fixture
def model() -> LightFM:
    return LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2)


@pytest.fixture
def hybrid() -> LightFM:
    return LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2, **FEATURES)


# Arrays of pairs


IDS = np.random.default_rng(0).integers(0, [300, 40], (200, 2))


@pytest.mark.parametrize(
    "pairs",
    [
        IDS,
        IDS.astype(np.int32),
        IDS.astype(np.float64),
        np.column_stack([IDS, np.arange(200) % 5 + 1]),
        np.column_stack([IDS, np.linspace(0, 1, 200)]),
        IDS[:3],
        np.array([[0, 1], [0, 2], [1, 3], [2, 0]]),
    ],
)
def test_pairs_of_ids_are_no_matrix(model, pairs):
    before = arrays_of(model)
    for method in (LightFM().fit, model.fit, model.fit_partial):
        with pytest.raises(ValueError, match=r"looks like rows of \(user, item.*coo_matrix"):
            method(pairs)
    assert_equal_arrays(arrays_of(model), before)
    users, items = pairs[:, :2].astype(int).T
    made = sp.coo_matrix((np.ones(len(pairs)), (users, items)))
    assert LightFM(loss="warp").fit(made).item_biases.shape == (items.max() + 1,)
    dataset = Dataset()
    dataset.fit(users, items)
    assert len(LightFM(loss="warp").fit(dataset.build_interactions(pairs)[0]).user_biases) == len(
        set(users.tolist())
    )
    assert LightFM(loss="warp").fit(sp.coo_matrix(pairs)).item_biases.shape == (pairs.shape[1],)


@pytest.mark.parametrize(
    "table",
    [
        np.eye(9, 2),
        np.eye(9, 3, dtype=int),
        np.eye(9, 3) * -1,
        np.eye(9, 3) > 0,
        np.array([[1.0, 0.0]]),
        np.array([[5.0, 0.0, 3.0], [0.0, 4.0, 1.0], [2.0, 2.0, 0.0]]),
        np.random.default_rng(0).random((50, 3)),
        np.random.default_rng(0).integers(0, 9, (50, 4)),
    ],
)
def test_tables_that_are_no_pairs(table):
    assert LightFM().fit(table).item_biases.shape == (table.shape[1],)


# Divergence


@pytest.mark.parametrize("rate", [1e3, 1e6, 1e30])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_no_fit_ends_out_of_bounds_without_a_word(loss, schedule, rate):
    """Either all is finite and the loss has not left all bounds, or it is told."""
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0)
    model.fit(TRAIN, epochs=2)
    before, history = arrays_of(model), len(model.history_)
    model.learning_rate = rate
    try:
        model.fit_partial(TRAIN, epochs=5)
    except ValueError as error:
        assert "diverged in epoch" in str(error) and "smaller learning_rate" in str(error)
        assert_equal_arrays(arrays_of(model), before)
        assert len(model.history_) == history
    else:
        for name in ("embeddings", "biases"):  # states may overflow: that parameter rests
            assert np.isfinite(getattr(model, f"item_{name}")).all()
            assert np.isfinite(getattr(model, f"user_{name}")).all()
        assert all(abs(record["loss"]) < 1e16 for record in model.history_)


def test_values_that_blow_up():
    big = TRAIN.copy()
    big.data = np.where(big.data > 0, 1e15, -1e15)
    with pytest.raises(ValueError, match="diverged in epoch"):
        LightFM(loss="mse", learning_schedule="sgd", random_state=0).fit(big, epochs=5)


@pytest.mark.parametrize("alpha", [1.0, 1000.0])
@pytest.mark.parametrize("loss", ["logistic", "bpr", "warp", "warp-kos"])
def test_strong_l2_is_no_divergence(loss, alpha):
    model = LightFM(loss=loss, item_alpha=alpha, user_alpha=alpha, random_state=0)
    model.fit(TRAIN, epochs=10)
    assert np.isfinite(model.item_embeddings).all()


# Slices


@pytest.mark.parametrize("side", ["user", "item"])
def test_sliced_interactions_beside_unsliced_features(hybrid, side):
    sliced = TRAIN.tocsr()[10:] if side == "user" else TRAIN.tocsc()[:, 5:]
    for call in (hybrid.predict_rank, lambda test, **of: auc_score(hybrid, test, **of)):
        with pytest.warns(FitWarning, match=f"slice {side}_features alike") as caught:
            call(sliced, **FEATURES)
        assert len(caught) == 1 and caught[0].filename == __file__
    alike = dict(FEATURES)
    name = f"{side}_features"
    alike[name] = alike[name][10:] if side == "user" else alike[name][5:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranks = hybrid.predict_rank(sliced, **alike)
    whole = hybrid.predict_rank(TRAIN, **FEATURES)
    if side == "user":
        assert (ranks != whole[10:]).nnz == 0


# A model of features that is asked without them


def refused(hybrid: LightFM, side: str):
    """Calls without one of the matrices, all of which are refused."""
    other = "item" if side == "user" else "user"
    given = {f"{other}_features": FEATURES[f"{other}_features"]}
    yield lambda: hybrid.recommend([0], **given)
    yield lambda: hybrid.explain(0, 0, **given)
    yield lambda: hybrid.score_vectors(**given)
    yield getattr(hybrid, f"get_{side}_representations")
    yield getattr(hybrid, f"similar_{side}s")
    if side == "item":
        yield lambda: hybrid.fold_in_users(TRAIN)
    yield lambda: hybrid.fold_in_items(TRAIN.tocsr()[:, :2], **given)


@pytest.mark.parametrize("side", ["user", "item"])
def test_one_rule_for_models_of_features(hybrid, side):
    for call in refused(hybrid, side):
        with pytest.raises(ValueError, match=f"^{side}_features must be given") as refusal:
            call()
        assert f"identity({len(getattr(hybrid, f'{side}_biases'))}" in str(refusal.value)


def test_the_identity_asks_about_features(hybrid):
    own = sp.identity(40, format="csr")
    biases, embeddings = hybrid.get_user_representations(own)
    np.testing.assert_array_equal(embeddings, hybrid.user_embeddings)
    np.testing.assert_array_equal(biases, hybrid.user_biases)
    assert hybrid.similar_users(3, user_features=own)[0].max() < 40


def test_lightfms_own_methods_warn(hybrid):
    given = {"item_features": FEATURES["item_features"]}
    for call in (
        lambda: hybrid.predict(0, [1, 2], **given),
        lambda: hybrid.fit_partial(sp.coo_matrix((40, N_ITEMS)), epochs=0, **given),
    ):
        with pytest.warns(FitWarning, match="fitted with user_features and is used without") as w:
            call()
        assert [warning.filename for warning in w] == [__file__]


# Words of other libraries


def test_texts_name_what_numbers_them(model):
    dataset = Dataset()
    dataset.fit(["ann", "bob"], ["tea"])
    for ids in ("ann", ["ann", "bob"], np.array(["ann"], dtype=object), np.array(["ann"])):
        with pytest.raises(ValueError, match=r"row numbers.*Dataset\.users_to_ids|users_to_ids"):
            model.predict(ids, [0])
        with pytest.raises(ValueError, match=r"users_to_ids"):
            model.recommend(ids)
        with pytest.raises(ValueError, match=r"items_to_ids"):
            model.predict(0, ids)
    assert model.predict(dataset.users_to_ids(["bob"]), [0]).shape == (1,)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_name_from_frame(model, library):
    module = pytest.importorskip(library)
    columns = {"u": ["ann", "bob"], "i": ["tea", "rum"]}
    make = module.table if library == "pyarrow" else module.DataFrame
    with pytest.raises(ValueError, match=r"Dataset\.from_frame"):
        LightFM().fit(make(columns))
    made = Dataset.from_frame(make(columns), user="u", item="i")
    LightFM(loss="bpr").fit(made.interactions)
    pivoted = (
        module.DataFrame({"tea": [1.0, 0.0, 1.0], "rum": [0.0, 1.0, 0.0]})
        if (library == "pandas")
        else None
    )
    if pivoted is not None:
        with pytest.raises(ValueError, match=r"coo_matrix\(table\.to_numpy\(\)\)"):
            LightFM().fit(pivoted)
        LightFM(loss="bpr").fit(sp.coo_matrix(pivoted.to_numpy()))


def test_a_pivoted_table_with_nan():
    table = np.where(TRAIN.toarray() > 0, TRAIN.toarray(), np.nan)
    for given in (table, sp.coo_matrix(table)):
        with pytest.raises(ValueError, match="NaN.*nan_to_num"):
            LightFM(loss="warp").fit(given)
    LightFM(loss="warp").fit(np.nan_to_num(table))


def test_a_matrix_in_the_place_of_k(model):
    with pytest.raises(ValueError, match="exclude=matrix"):
        model.recommend(3, TRAIN)
    with pytest.raises(ValueError, match="exclude=matrix"):
        model.recommend(TRAIN)
    assert model.recommend(3, exclude=TRAIN)[0].shape == (1, 10)


@pytest.mark.parametrize(
    ("call", "ours"),
    [
        (lambda m: LightFM(n_components=5), "no_components"),
        (lambda m: LightFM(factors=5), "no_components"),
        (lambda m: LightFM(seed=5), "random_state"),
        (lambda m: LightFM(lr=0.1), "learning_rate"),
        (lambda m: m.fit(TRAIN, n_jobs=2), "num_threads"),
        (lambda m: m.fit(TRAIN, weights=TRAIN), "sample_weight"),
        (lambda m: m.fit(TRAIN, features=TRAIN), "user_features or item_features"),
        (lambda m: m.fit(TRAIN, n_epochs=3), "epochs"),
        (lambda m: m.fit_partial(TRAIN, iterations=3), "epochs"),
        (lambda m: m.predict(0, [1], n_jobs=2), "num_threads"),
        (lambda m: m.recommend(3, N=5), "k"),
        (lambda m: m.recommend(3, train_interactions=TRAIN), "exclude"),
        (lambda m: m.similar_items(3, N=5), "k"),
        (lambda m: m.similar_users(3, top_k=5), "k"),
        (lambda m: m.predict_rank(TRAIN, n_jobs=2), "num_threads"),
        (lambda m: m.fold_in_users(TRAIN, weights=TRAIN), "sample_weight"),
        (lambda m: m.fit(TRAIN, epoch=3), "epochs"),
        (lambda m: precision_at_k(m, TRAIN, N=3), "k"),
        (lambda m: evaluate(m, TRAIN, n_jobs=2), "num_threads"),
        (lambda m: random_train_test_split(TRAIN, test_size=0.2), "test_percentage"),
        (lambda m: random_train_test_split(TRAIN, seed=1), "random_state"),
    ],
)
def test_keywords_of_other_libraries(model, call, ours):
    with pytest.raises(TypeError, match=rf"unexpected keyword .*it is called {ours} here"):
        call(model)


def test_a_keyword_like_no_other(model):
    with pytest.raises(TypeError, match="'zebra'; the arguments are .*num_threads"):
        model.fit(TRAIN, zebra=1)


# The package


def test_what_people_import_first_is_at_the_top():
    for name in lightfm_clone.__all__:
        assert getattr(lightfm_clone, name) is not None
    assert lightfm_clone.Dataset is lightfm_clone.data.Dataset
    assert lightfm_clone.evaluate is lightfm_clone.evaluation.evaluate


def test_sources_that_are_not_built_say_so(tmp_path):
    here = Path(lightfm_clone.__file__).parent
    built = shutil.ignore_patterns("_core*.so", "_core*.pyd", "__pycache__")
    shutil.copytree(here, tmp_path / "lightfm_clone", ignore=built)
    # An editable installation would lend its compiled module.
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'ditable' not in repr(f)];"
        f"sys.path.insert(0, {str(tmp_path)!r}); import lightfm_clone"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode != 0
    assert "is not built" in done.stderr and "pip install ." in done.stderr
    assert "circular" not in done.stderr
