"""What a fit tells while it runs: `history_`, validation, callbacks, the progress bar."""

from __future__ import annotations

import copy
import json
import pickle
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    SCHEDULES,
    all_scores,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    model_with,
    random_features,
    random_interactions,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone import _checks as checks
from lightfm_clone.evaluation import evaluate

LOSSES = ("logistic", "bpr", "warp", "warp-kos", "mse", "softmax")
TRAIN, HELD_OUT = groups_of_taste()
EVERYTHING = sp.coo_matrix(TRAIN + HELD_OUT)
INTERACTIONS = random_interactions(1)  # 30 users, 20 items, 150 entries of either sign


def new(loss: str = "warp", **parameters: object) -> LightFM:
    return LightFM(**{"loss": loss, "no_components": 4, "random_state": 3, **parameters})


def numbers(model: LightFM) -> list[int]:
    return [record["epoch"] for record in model.history_]


def fails(model: LightFM, record: dict[str, object]) -> None:
    raise RuntimeError("of the callback")


# The records


@pytest.mark.parametrize("loss", LOSSES)
def test_a_record_for_each_epoch(loss):
    model = new(loss).fit(INTERACTIONS, epochs=3)
    keys = ["epoch", "seconds", "loss"]
    if loss.startswith("warp"):
        keys += ["violation_rate", "mean_tries"]
    assert [list(record) for record in model.history_] == 3 * [keys]
    assert numbers(model) == [1, 2, 3]
    for record in model.history_:
        # Plain numbers, which JSON takes.
        assert json.loads(json.dumps(record)) == record
        assert type(record["epoch"]) is int and type(record["loss"]) is float
        assert 0 < record["seconds"] < 10 and 0 < record["loss"] < 100
        assert 0 <= record.get("violation_rate", 0) <= 1
        assert 1 <= record.get("mean_tries", 1) <= model.max_sampled


def test_fit_starts_anew_and_fit_partial_goes_on():
    model = new()
    assert model.history_ == []
    model.fit_partial(INTERACTIONS).fit_partial(INTERACTIONS, epochs=2)
    assert numbers(model) == [1, 2, 3]
    model.fit(INTERACTIONS, epochs=2)
    assert numbers(model) == [1, 2]
    losses = [record["loss"] for record in model.history_]
    at_once = new(random_state=copy.deepcopy(model.random_state)).fit(INTERACTIONS, epochs=2)
    in_parts = new(random_state=copy.deepcopy(model.random_state))
    for _ in range(2):
        in_parts.fit_partial(INTERACTIONS)
    for one, other in zip(at_once.history_, in_parts.history_, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert losses != [record["loss"] for record in at_once.history_]


def test_no_epochs():
    model = new().fit(INTERACTIONS, epochs=0)
    assert model.history_ == []
    model.fit_partial(INTERACTIONS, epochs=2).fit_partial(INTERACTIONS, epochs=0)
    assert numbers(model) == [1, 2]
    assert model.fit(INTERACTIONS, epochs=0).history_ == []


def test_a_list_that_somebody_holds_does_not_change():
    model = new().fit(INTERACTIONS)
    held = model.history_
    model.fit_partial(INTERACTIONS)
    assert [record["epoch"] for record in held] == [1]


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
@pytest.mark.parametrize(
    ("changes", "arguments", "error"),
    [
        ({}, {"epochs": -1}, ValueError),
        ({}, {"user_features": sp.identity(3)}, ValueError),
        ({"learning_rate": 1e39}, {}, ValueError),  # diverges
        ({}, {"callbacks": [fails]}, RuntimeError),
        ({}, {"validation": INTERACTIONS}, ValueError),
        ({}, {"callbacks": [7]}, ValueError),
    ],
    ids=["epochs", "features", "divergence", "callback", "validation", "no callback"],
)
def test_a_refused_fit_leaves_the_history(method, changes, arguments, error):
    model = new("mse").fit(INTERACTIONS, epochs=2)
    before, copied = model.history_, copy.deepcopy(model.history_)
    mean = model.global_mean_
    other = sp.coo_matrix((INTERACTIONS.data + 1, (INTERACTIONS.row, INTERACTIONS.col)))
    vars(model).update(changes)
    with pytest.raises(error):
        getattr(model, method)(other, **{"epochs": 3, **arguments})
    assert model.history_ is before and before == copied and model.global_mean_ == mean


def test_divergence_names_the_epoch_of_the_history():
    model = new().fit(INTERACTIONS, epochs=4)
    model.learning_rate = 1e39
    with pytest.raises(ValueError, match=r"diverged in epoch 5.*learning_rate=1e\+39"):
        model.fit_partial(INTERACTIONS, epochs=4)
    with pytest.raises(ValueError, match=r"diverged in epoch 1"):
        model.fit(INTERACTIONS, epochs=4)


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
def test_an_interrupt_leaves_the_epochs_that_were_run(method):
    def interrupt(model: LightFM, record: dict[str, object]) -> None:
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    model = new()
    with pytest.raises(KeyboardInterrupt):
        getattr(model, method)(TRAIN, epochs=9, callbacks=[interrupt])
    assert numbers(model) == [1, 2, 3]
    assert_equal_arrays(arrays_of(model), arrays_of(new().fit(TRAIN, epochs=3)))
    model.fit_partial(TRAIN)
    assert numbers(model) == [1, 2, 3, 4]


# The numbers in them


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_falls_where_there_is_something_to_learn(loss, schedule):
    interactions = EVERYTHING
    if loss in ("logistic", "mse"):
        interactions = sp.coo_matrix(2 * EVERYTHING.toarray() - 1)
    model = new(loss, learning_schedule=schedule, epsilon=1e-4, k=2, n=4)
    losses = [record["loss"] for record in model.fit(interactions, epochs=20).history_]
    assert max(losses[9], losses[19]) < losses[0] / 2
    assert losses[19] < 0.5 * losses[0]


def test_violations_grow_rare_and_tries_many():
    first, *_, last = new(learning_rate=0.01).fit(EVERYTHING, epochs=20).history_
    assert first["violation_rate"] > 0.9 > 0.1 > last["violation_rate"]
    assert first["mean_tries"] < 4 < 9 < last["mean_tries"]


def frozen(loss: str, user_features: sp.csr_matrix, item_features: sp.csr_matrix) -> LightFM:
    """A model of random parameters that training does not move."""
    model = new(loss, learning_rate=0.0)
    model.fit(INTERACTIONS, user_features, item_features, epochs=0)
    rng = np.random.default_rng(0)
    for name in ("item_embeddings", "user_embeddings", "item_biases", "user_biases"):
        setattr(model, name, rng.normal(size=getattr(model, name).shape).astype(np.float32))
    return model


@pytest.mark.parametrize("num_threads", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["logistic", "mse"])
def test_mean_loss_of_all_entries(loss, weighted, num_threads):
    """Recomputed from the scores, which do not move."""
    features = random_features(30, 6, seed=2), random_features(20, 7, seed=3)
    model = frozen(loss, *features)
    weights = np.ones(150)
    matrix = None
    if weighted:
        weights = np.random.default_rng(1).uniform(0, 3, 150).astype(np.float32)
        matrix = sp.coo_matrix((weights, (INTERACTIONS.row, INTERACTIONS.col)), (30, 20))
    model.fit_partial(INTERACTIONS, *features, matrix, 2, num_threads)
    pairs = INTERACTIONS.row, INTERACTIONS.col
    scores = model.predict(*pairs, user_features=features[0], item_features=features[1])
    scores = scores.astype(np.float64)
    if loss == "mse":
        losses = 0.5 * weights * (scores - INTERACTIONS.data) ** 2
    else:
        losses = weights * np.log1p(np.exp(np.where(INTERACTIONS.data > 0, -scores, scores)))
    for record in model.history_:
        assert record["loss"] == pytest.approx(losses.mean(), rel=1e-5)


@given(
    value=st.floats(-5, 5, width=32),
    weight=st.floats(0, 4, width=32),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("loss", ["logistic", "mse"])
def test_loss_of_the_only_entry(loss, value, weight, seed):
    entry = sp.coo_matrix(([value], ([0], [0])), shape=(1, 1))
    weights = sp.coo_matrix(([weight], ([0], [0])), shape=(1, 1))
    model = LightFM(loss=loss, random_state=seed).fit(entry, sample_weight=weights, epochs=0)
    score = float(model.predict(0, [0])[0])
    model.fit_partial(entry, sample_weight=weights)
    if loss == "mse":
        expected = weight / 2 * (score - value) ** 2
    else:
        expected = weight * np.log1p(np.exp(-score if value > 0 else score))
    assert model.history_[0]["loss"] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("weight", [None, 0.5, 30.0])
@pytest.mark.parametrize("loss", ["bpr", "warp", "warp-kos"])
def test_loss_of_the_only_pair(loss, weight):
    """User 0 likes item 0; the items that may be its negatives all score the same."""
    entries = ([1.0, 0.0, 0.0], ([0, 1, 1], [0, 1, 2]))
    if loss == "warp-kos":  # would take the other entries for positives, too
        entries = ([1.0], ([0], [0]))
    interactions = sp.coo_matrix(entries, shape=(2, 9))
    weights = None
    if weight is not None:
        weights = interactions.copy()
        weights.data[:] = weight
    seen = set()
    for seed in range(20):
        model = model_with(np.zeros((2, 2)), np.zeros((9, 2)), None, [0.2, *8 * [-0.1]])
        model.set_params(loss=loss, random_state=seed)
        model.fit_partial(interactions, sample_weight=weights)
        (record,) = model.history_
        if loss == "bpr":
            expected = (weight or 1) * np.log1p(np.exp(-0.1 - 0.2))
        else:
            assert record["violation_rate"] == 1.0
            tries = int(record["mean_tries"])
            assert tries == record["mean_tries"]
            seen.add(tries)
            g = min(10.0, (weight or 1) * np.log(max(1, 8 // tries)))
            expected = g * (1 - 0.2 - 0.1)
        assert record["loss"] == pytest.approx(expected, rel=1e-5)
    assert loss == "bpr" or len(seen) > 1


def test_searches_in_vain_count():
    """As examples, with all their tries and no loss."""
    interactions = sp.coo_matrix(([1.0, -1.0], ([0, 0], [0, 1])), shape=(1, 30))
    model = model_with(np.zeros((1, 2)), np.zeros((30, 2)), None, [5.0, *29 * [0.0]])
    model.set_params(loss="warp", max_sampled=7).fit_partial(interactions)
    (record,) = model.history_
    assert (record["loss"], record["violation_rate"], record["mean_tries"]) == (0, 0, 7)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_to_train_on(loss):
    """An epoch without an example has a record, too."""
    keys = ("loss", "violation_rate", "mean_tries")
    for nothing in (sp.coo_matrix((4, 5)), sp.coo_matrix((0, 0))):
        model = new(loss).fit(nothing, epochs=2)
        assert numbers(model) == [1, 2]
        assert all(record.get(key, 0) == 0 for record in model.history_ for key in keys)
    if loss in ("bpr", "warp", "warp-kos"):  # a user who knows all
        model = new(loss).fit(sp.coo_matrix(np.ones((1, 6))))
        assert [model.history_[0].get(key, 0) for key in keys] == [0, 0, 0]


@pytest.mark.parametrize("loss", LOSSES)
def test_threads_share_out_the_counts(loss):
    """Every thread adds to sums of its own; the total is that of one thread.

    For the pointwise losses to the last entry, for the others but for their draws.
    """
    interactions = random_interactions(5, (300, 200), 6_000)
    records = []
    for num_threads in (1, 2, 3, 8):
        model = new(loss, learning_rate=0.0).fit(interactions, epochs=2, num_threads=num_threads)
        records += model.history_
    pointwise = loss in ("logistic", "mse")
    for record in records[1:]:
        assert record["loss"] == pytest.approx(records[0]["loss"], rel=1e-5 if pointwise else 0.03)
        if loss.startswith("warp"):
            assert record["violation_rate"] == records[0]["violation_rate"] == 1.0
            assert record["mean_tries"] == pytest.approx(records[0]["mean_tries"], rel=0.03)


# Validation


def evaluated(model: LightFM, train: object = TRAIN, metrics: object = "ndcg@10", **features):
    return dict(evaluate(model, HELD_OUT, train, metrics, **features))


def test_validation_after_each_epoch():
    expected = []

    def look(model: LightFM, record: dict[str, object]) -> None:
        expected.append(evaluated(model))

    model = new().fit(TRAIN, epochs=4, validation=HELD_OUT, callbacks=[look])
    assert [{"ndcg@10": record["ndcg@10"]} for record in model.history_] == expected
    assert expected[3]["ndcg@10"] == evaluated(model)["ndcg@10"] > expected[0]["ndcg@10"]
    assert [type(record["ndcg@10"]) for record in model.history_] == 4 * [float]
    assert list(model.history_[0])[-1] == "ndcg@10"


def test_validation_changes_nothing_of_the_training():
    model = new().fit(TRAIN, epochs=3, validation=HELD_OUT)
    other = new().fit(TRAIN, epochs=3)
    assert_equal_arrays(arrays_of(model), arrays_of(other))
    assert model.random_state.randint(2**31) == other.random_state.randint(2**31)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_array", "dense"])
def test_validation_of_any_format(kind):
    given = HELD_OUT.toarray() if kind == "dense" else getattr(sp, kind)(HELD_OUT)
    expected = new().fit(TRAIN, validation=HELD_OUT).history_[0]["ndcg@10"]
    assert new().fit(TRAIN, validation=given).history_[0]["ndcg@10"] == expected
    given = {"interactions": given, "exclude": given * 0}
    assert new().fit(TRAIN, validation=given).history_[0]["ndcg@10"] < expected


def test_what_is_left_out_of_the_rankings():
    """The interactions of this call, unless another matrix or None is given."""

    def value(**given: object) -> float:
        validation = {"interactions": HELD_OUT, **given}
        return new().fit(TRAIN, epochs=9, validation=validation).history_[-1]["ndcg@10"]

    model = new().fit(TRAIN, epochs=9)
    some = sp.coo_matrix((TRAIN.data[::2], (TRAIN.row[::2], TRAIN.col[::2])), TRAIN.shape)
    assert value() == value(exclude=TRAIN) == evaluated(model)["ndcg@10"]
    assert value(exclude=None) == evaluated(model, None)["ndcg@10"]
    assert value(exclude=some) == evaluated(model, some)["ndcg@10"]
    assert value() > value(exclude=some) > value(exclude=None)

    model.fit_partial(some, validation=HELD_OUT)
    assert model.history_[-1]["ndcg@10"] == evaluated(model, some)["ndcg@10"]


def test_features_of_the_validation():
    """Those of the fit, unless others are given."""
    n_users, n_items = TRAIN.shape
    features = {
        "user_features": random_features(n_users, 6, seed=2),
        "item_features": random_features(n_items, 7, seed=3),
    }
    others = {"user_features": features["user_features"][::-1]}
    model = new().fit(TRAIN, **features, epochs=2, validation=HELD_OUT)
    assert model.history_[-1]["ndcg@10"] == evaluated(model, **features)["ndcg@10"]
    validation = {"interactions": HELD_OUT, **others}
    model = new().fit(TRAIN, **features, epochs=2, validation=validation)
    expected = evaluated(model, **{**features, **others})["ndcg@10"]
    assert model.history_[-1]["ndcg@10"] == expected


def test_validation_on_cold_users():
    """Other users, with rows of their own and nothing to leave out."""
    groups = sp.csr_matrix(np.arange(120)[:, None] % 2 == np.arange(2), dtype=np.float32)
    cold = sp.coo_matrix([[1.0, 0.0] * 30, [0.0, 1.0] * 30])
    validation = {"interactions": cold, "exclude": None, "user_features": groups[:2]}
    model = new().fit(TRAIN, user_features=groups, epochs=5, validation=validation)
    assert model.history_[-1]["ndcg@10"] == 1.0


@pytest.mark.parametrize(
    ("given", "needed", "expected"),
    [
        ({}, (), ["ndcg@10"]),
        ({"metrics": ["auc", "mrr@3"]}, (), ["auc", "mrr@3"]),
        ({"metrics": "recall@5"}, (), ["recall@5"]),
        ({"metrics": None}, (), ["ndcg@10"]),
        ({}, ["auc"], ["auc"]),
        ({}, "auc", ["auc"]),
        ({"metrics": ["auc", "mrr"]}, ["map@7", "auc"], ["auc", "mrr", "map@7"]),
    ],
)
def test_which_metrics(given, needed, expected):
    """What was asked for, then what callbacks need; the usual one if that is nothing."""

    def callback(model: LightFM, record: dict[str, object]) -> None:
        assert list(record)[5:] == expected

    callback.metrics = needed
    validation = {"interactions": HELD_OUT, **given}
    model = new().fit(TRAIN, epochs=2, validation=validation, callbacks=[callback])
    result = evaluated(model, metrics=expected)
    assert {name: model.history_[-1][name] for name in expected} == result


HALF = sp.coo_matrix(HELD_OUT.toarray()[:60])
BAD_VALIDATION = {
    "name": ("ua.test", "validation must be a scipy sparse matrix"),
    "keys": ({"interactions": HELD_OUT, "train": TRAIN}, "validation must be .* 'train'"),
    "no interactions": ({"exclude": TRAIN}, r"validation must be .* got the keys \['exclude'\]"),
    "metric": ({"interactions": HELD_OUT, "metrics": ["ndgc@10"]}, "metrics must be .*'ndgc@10'"),
    "shape": (HALF, r"validation must have the shape of interactions.*\(120, 60\).*\(60, 60\)"),
    "exclude": (
        {"interactions": HELD_OUT, "exclude": HALF},
        r"validation must have the shape of validation\['exclude'\].*\(60, 60\).*\(120, 60\)",
    ),
    "overlap": (TRAIN, "validation must not share entries with interactions"),
    "overlap with exclude": (
        {"interactions": HELD_OUT, "exclude": HELD_OUT},
        r"validation must not share entries with validation\['exclude'\]",
    ),
    "nothing": (sp.coo_matrix(TRAIN.shape), "validation must hold interactions"),
    "NaN": (HELD_OUT * np.nan, "validation must be finite"),
}


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
@pytest.mark.parametrize("kind", BAD_VALIDATION)
def test_bad_validation_is_refused_before_training(kind, method):
    given, message = BAD_VALIDATION[kind]
    model = new().fit(TRAIN)
    before, draws = arrays_of(model), copy.deepcopy(model.random_state)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(TRAIN, validation=given)
    assert_equal_arrays(arrays_of(model), before)
    assert model.random_state.randint(2**31) == draws.randint(2**31)


def test_training_entries_stored_as_zero_are_no_overlap():
    """They are left out of the rankings all the same."""
    zeros = sp.coo_matrix(
        (np.r_[TRAIN.data, 0 * HELD_OUT.data[:5]],
         (np.r_[TRAIN.row, HELD_OUT.row[:5]], np.r_[TRAIN.col, HELD_OUT.col[:5]])),
        TRAIN.shape,
    )  # fmt: skip
    model = new().fit(zeros, epochs=2, validation=HELD_OUT)
    assert model.history_[-1]["ndcg@10"] == evaluated(model, zeros)["ndcg@10"]


def test_validation_leaves_its_arguments_as_they_are():
    validation = {"interactions": HELD_OUT.copy(), "exclude": TRAIN.copy(), "metrics": ["auc"]}
    before = pickle.dumps(validation)
    new().fit(TRAIN, epochs=2, validation=validation)
    assert pickle.dumps(validation) == before


# Callbacks


def test_order_of_the_calls():
    calls = []

    class Noted:
        def __init__(self, name: str, stop_at: int = 99) -> None:
            self.name, self.stop_at = name, stop_at

        def on_fit_begin(self, model: LightFM) -> None:
            calls.append((self.name, "begin", len(model.history_)))

        def __call__(self, model: LightFM, record: dict[str, object]) -> bool:
            calls.append((self.name, record["epoch"]))
            return record["epoch"] >= self.stop_at

        def on_fit_end(self, model: LightFM) -> None:
            calls.append((self.name, "end"))

    def plain(model: LightFM, record: dict[str, object]) -> None:
        calls.append(("plain", record["epoch"]))

    model = new().fit(TRAIN)
    callbacks = [Noted("a", stop_at=3), plain, Noted("b")]
    model.fit_partial(TRAIN, epochs=7, callbacks=callbacks)
    # The others still hear of the epoch that "a" makes the last one.
    epochs = [(name, epoch) for epoch in (2, 3) for name in ("a", "plain", "b")]
    begin, end = [("a", "begin", 1), ("b", "begin", 1)], [("a", "end"), ("b", "end")]
    assert calls == [*begin, *epochs, *end]
    assert numbers(model) == [1, 2, 3]

    calls.clear()
    model.fit(TRAIN, epochs=0, callbacks=callbacks)
    assert calls == []
    with pytest.raises(RuntimeError):
        model.fit(TRAIN, epochs=2, callbacks=[*callbacks, fails])
    assert calls[-1] == ("b", 1)  # no end: the fit was refused


@pytest.mark.parametrize("stops", [True, 1, "yes", [0], np.bool_(True), np.array([1])], ids=repr)
def test_a_true_value_stops(stops):
    assert numbers(new().fit(TRAIN, epochs=5, callbacks=[lambda model, record: stops])) == [1]


@pytest.mark.parametrize("goes_on", [False, 0, None, "", np.bool_(False)], ids=repr)
def test_others_do_not(goes_on):
    model = new().fit(TRAIN, epochs=3, callbacks=[lambda model, record: goes_on])
    assert numbers(model) == [1, 2, 3]


def test_forms_of_callbacks():
    """One that is no sequence, a generator, or none at all."""
    seen = []

    def note(model: LightFM, record: dict[str, object]) -> None:
        seen.append(record["epoch"])

    new().fit(TRAIN, epochs=2, callbacks=note)
    new().fit(TRAIN, epochs=2, callbacks=(each for each in [note]))
    new().fit(TRAIN, epochs=2, callbacks=())
    assert seen == [1, 2, 1, 2]


@pytest.mark.parametrize("callbacks", [7, None, ["loss"], [new, None], "loss"], ids=range(5))
def test_bad_callbacks(callbacks):
    with pytest.raises(ValueError, match="callbacks must be"):
        new().fit(TRAIN, callbacks=callbacks)


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
@pytest.mark.parametrize("at", [1, 3])
def test_an_error_in_a_callback_puts_all_back(method, at):
    """Even the contents of arrays that somebody holds."""

    def fail(model: LightFM, record: dict[str, object]) -> None:
        if len(seen := [*model.history_]) and record["epoch"] >= at + before_epochs[method]:
            raise RuntimeError(f"after {len(seen)}")

    model = new().fit(TRAIN, epochs=2)
    before_epochs = {"fit": 0, "fit_partial": 2}
    live = {name: getattr(model, name) for name in arrays_of(model)}
    before = arrays_of(model)
    with pytest.raises(RuntimeError):
        getattr(model, method)(TRAIN, epochs=5, callbacks=[fail], validation=HELD_OUT)
    assert all(getattr(model, name) is array for name, array in live.items())
    assert_equal_arrays(live, before)
    assert numbers(model) == [1, 2]

    unfitted = new()
    with pytest.raises(RuntimeError):
        unfitted.fit_partial(TRAIN, epochs=5, callbacks=[fails])
    assert unfitted.item_embeddings is None and unfitted.history_ == []


def test_divergence_after_callbacks_puts_the_contents_back():
    """Callbacks had seen good epochs in the very arrays."""

    def speed_up(model: LightFM, record: dict[str, object]) -> None:
        model.learning_rate = 1e39

    model = new().fit(TRAIN)
    live, before = model.item_embeddings, arrays_of(model)
    with pytest.raises(ValueError, match="diverged in epoch 3"):
        model.fit_partial(TRAIN, epochs=3, callbacks=[speed_up])
    assert model.item_embeddings is live
    assert_equal_arrays(arrays_of(model), before)


def test_what_a_callback_sets_is_used_in_the_next_epoch():
    rates = [0.3, 0.02, 0.1]

    def anneal(model: LightFM, record: dict[str, object]) -> None:
        if record["epoch"] < 3:
            model.learning_rate = rates[record["epoch"]]
            model.max_sampled = 3

    model = new(learning_rate=rates[0]).fit(TRAIN, epochs=3, callbacks=[anneal])
    expected = new(learning_rate=rates[0]).fit(TRAIN)
    for expected.learning_rate in rates[1:]:
        expected.max_sampled = 3
        expected.fit_partial(TRAIN)
    assert_equal_arrays(arrays_of(model), arrays_of(expected))


def test_a_bad_value_set_by_a_callback():
    model = new().fit(TRAIN)
    before = arrays_of(model)
    with pytest.raises(ValueError, match="item_alpha must be"):
        model.fit_partial(
            TRAIN, epochs=3, callbacks=[lambda model, _: setattr(model, "item_alpha", -1)]
        )
    assert_equal_arrays(arrays_of(model), before)


def test_what_callbacks_write_to_arrays_is_lost():
    def write(model: LightFM, record: dict[str, object]) -> None:
        model.item_embeddings[:] = 7
        model.user_biases = np.full_like(model.user_biases, 7)

    model = new().fit(TRAIN, epochs=3, callbacks=[write])
    assert_equal_arrays(arrays_of(model), arrays_of(new().fit(TRAIN, epochs=3)))
    held = model.user_biases
    model.fit_partial(TRAIN, callbacks=[write])
    assert model.user_biases is held


def test_on_fit_end_may_write():
    class Write:
        def __call__(self, model: LightFM, record: dict[str, object]) -> None:
            pass

        def on_fit_end(self, model: LightFM) -> None:
            model.item_biases[:] = 7

    model = new().fit(TRAIN, epochs=2, callbacks=[Write()])
    assert np.all(model.item_biases == 7)


def test_a_record_may_be_added_to():
    def note(model: LightFM, record: dict[str, object]) -> None:
        record["size"] = float(np.abs(model.item_embeddings).max())

    model = new().fit(TRAIN, epochs=2, callbacks=[note])
    assert model.history_[1]["size"] == np.abs(model.item_embeddings).max()


# The bar


def test_the_bar_shows_loss_and_metric(capsys):
    pytest.importorskip("tqdm")
    model = new().fit(TRAIN, epochs=3, verbose=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown and f"loss={model.history_[-1]['loss']:.4f}" in shown
    assert "ndcg" not in shown

    validation = {"interactions": HELD_OUT, "metrics": ["auc", "recall@5"]}
    model = new().fit(TRAIN, epochs=3, verbose=True, validation=validation)
    shown = capsys.readouterr().err
    last = model.history_[-1]
    assert f"loss={last['loss']:.4f}, recall@5={last['recall@5']:.4f}" in shown
    assert "auc" not in shown


def test_a_bar_that_is_stopped(capsys):
    pytest.importorskip("tqdm")
    new().fit(TRAIN, epochs=50, verbose=True, callbacks=[lambda model, record: True])
    shown = capsys.readouterr().err
    assert "/50" in shown and "50/50" not in shown and shown.endswith("\n")


def test_lines_without_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    new().fit(TRAIN, epochs=2, verbose=True, validation=HELD_OUT)
    assert capsys.readouterr().out.splitlines() == ["Epoch 0", "Epoch 1"]


# Copies


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "pickle"],
)
def test_copies_have_their_own_history(copied):
    model = new("mse").fit(INTERACTIONS, epochs=2)
    twin = copied(model)
    assert twin.history_ == model.history_ and twin.history_ is not model.history_
    assert twin.global_mean_ == model.global_mean_ != 0
    twin.fit_partial(INTERACTIONS)
    assert numbers(twin) == [1, 2, 3] and numbers(model) == [1, 2]
    np.testing.assert_array_equal(
        all_scores(copied(model), 30, 20), all_scores(model, 30, 20), strict=True
    )


def test_a_saved_model_keeps_history_and_mean(tmp_path):
    model = new("mse").fit(INTERACTIONS, epochs=2, validation=None)
    model.save(tmp_path / "model")
    loaded = LightFM.load(tmp_path / "model")
    assert loaded.history_ == model.history_ and loaded.global_mean_ == model.global_mean_ != 0
    np.testing.assert_array_equal(all_scores(loaded, 30, 20), all_scores(model, 30, 20))
    for each in (model, loaded):
        each.fit_partial(INTERACTIONS)
    assert numbers(loaded) == [1, 2, 3]
    assert loaded.history_[2]["loss"] == model.history_[2]["loss"]


def test_state_of_a_model_older_than_its_attributes():
    model = new("bpr").fit(INTERACTIONS)
    state = vars(model).copy()
    for name in ("history_", "global_mean_", "stored_negatives"):
        del state[name]
    older = LightFM.__new__(LightFM)
    older.__setstate__(state)
    assert (older.history_, older.global_mean_, older.stored_negatives) == ([], 0.0, 0.0)
    assert numbers(older.fit_partial(INTERACTIONS)) == [1]


def test_clone_has_no_history():
    base = pytest.importorskip("sklearn.base")
    twin = base.clone(new("mse").fit(INTERACTIONS))
    assert twin.history_ == [] and twin.global_mean_ == 0


def test_matrices_are_checked_once_however_many_epochs(monkeypatch):
    """With features and a validation, an epoch used to check six of them anew."""
    checked = []
    true = checks.as_valid_sparse
    monkeypatch.setattr(
        checks, "as_valid_sparse", lambda matrix, name: checked.append(name) or true(matrix, name)
    )
    features = {
        "user_features": sp.identity(TRAIN.shape[0]),
        "item_features": random_features(TRAIN.shape[1], 7),
    }
    counts = []
    for epochs in (1, 6):
        checked.clear()
        new().fit(TRAIN, epochs=epochs, validation=HELD_OUT, **features)
        counts.append(len(checked))
    assert counts[0] == counts[1] == 4  # interactions, two of features, validation
