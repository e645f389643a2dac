"""Callbacks: on made-up records of a model that trains nothing, and through fit."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ARRAYS, arrays_of, assert_equal_arrays, groups_of_taste, random_interactions
from hypothesis import given
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone.callbacks import Checkpoint, EarlyStopping


class FakeModel(SimpleNamespace):
    """Twelve arrays, which hold the number of the epoch, and a list of where it was saved."""

    def __init__(self):
        super().__init__(**{name: np.zeros(3, np.float32) for name in ARRAYS}, saved=[])

    def save(self, path):
        self.saved.append(path)


def train(model, callback, values, metric="ndcg@10", first_epoch=1):
    """Do what fit does, with these values of the metric; returns the number of epochs run."""
    callback.on_fit_begin(model)
    epoch = 0
    for epoch, value in enumerate(values, first_epoch):
        for name in ARRAYS:
            getattr(model, name)[:] = epoch
        if callback(model, {"epoch": epoch, "seconds": 0.1, "loss": 1.0, metric: value}):
            break
    if hasattr(callback, "on_fit_end"):
        callback.on_fit_end(model)
    return epoch - first_epoch + 1


# EarlyStopping, on records


@pytest.mark.parametrize(
    ("values", "patience", "n_epochs", "best"),
    [
        ([0.1, 0.3, 0.2, 0.25, 0.1, 0.9], 3, 5, 2),
        ([0.1, 0.3, 0.2, 0.25, 0.1, 0.9], 4, 6, 6),
        ([0.1, 0.3, 0.2, 0.4, 0.1, 0.2], 2, 6, 4),
        ([0.5, 0.5, 0.5, 0.6], 2, 3, 1),  # an equal is not better
        ([0.5, 0.4], 1, 2, 1),
        ([0.1, 0.2, 0.3], 1, 3, 3),  # out of epochs, the last one the best
        ([0.1, 0.3, 0.2], 3, 3, 2),  # out of epochs, an earlier one the best
        ([0.0, -1.0, -2.0, 1.0], 2, 3, 1),
        ([float("nan"), 0.1, float("nan"), float("nan"), 1.0], 2, 4, 2),
    ],
)
@pytest.mark.parametrize("restore_best", [True, False])
def test_when_it_stops_and_what_is_left(values, patience, n_epochs, best, restore_best):
    model, stopping = FakeModel(), EarlyStopping("ndcg@10", patience, restore_best)
    live = {name: getattr(model, name) for name in ARRAYS}
    assert train(model, stopping, values) == n_epochs
    assert (stopping.best_epoch_, stopping.best_value_) == (best, values[best - 1])
    for name in ARRAYS:
        assert getattr(model, name) is live[name]
        assert (live[name] == (best if restore_best else n_epochs)).all(), name


@given(
    values=st.lists(st.integers(0, 4) | st.just(float("nan")), max_size=12),
    patience=st.integers(1, 4),
)
def test_stops_after_patience_epochs_without_a_new_best(values, patience):
    """Against the definition: the first window of `patience` epochs with nothing new."""
    model, stopping = FakeModel(), EarlyStopping("auc", patience)
    best_before = [max([v for v in values[:end] if v == v], default=-1) for end in range(13)]
    expected = next(
        (
            end
            for end in range(patience, len(values) + 1)
            if best_before[end] == best_before[end - patience]
        ),
        len(values),
    )
    assert train(model, stopping, values, "auc") == expected
    if best_before[expected] >= 0:
        best = values.index(best_before[expected]) + 1
        assert stopping.best_epoch_ == best and (model.user_biases == best).all()
    else:
        assert stopping.best_epoch_ is None and stopping.best_value_ is None


@pytest.mark.parametrize("metric", ["loss", "violation_rate"])
def test_the_less_of_these_the_better(metric):
    stopping = EarlyStopping(metric, patience=2)
    assert train(FakeModel(), stopping, [0.9, 0.5, 0.6, 0.5, 0.1], metric) == 4
    assert (stopping.best_epoch_, stopping.best_value_) == (2, 0.5)


def test_every_fit_is_judged_on_its_own():
    """Epochs count on in fit_partial, the comparison does not."""
    model, stopping = FakeModel(), EarlyStopping("auc", patience=2)
    assert train(model, stopping, [0.9, 0.8, 0.7], "auc") == 3
    assert train(model, stopping, [0.5, 0.6, 0.6, 0.6], "auc", first_epoch=4) == 4
    assert (stopping.best_epoch_, stopping.best_value_) == (5, 0.6)
    assert (model.item_embeddings == 5).all()
    # A fit that ends before its first epoch restores nothing of an earlier one.
    model.item_embeddings[:] = 77
    assert train(model, stopping, [], "auc") == 0
    assert stopping.best_epoch_ is None and (model.item_embeddings == 77).all()


def test_holds_no_memory_after_the_fit():
    stopping = EarlyStopping("auc")
    train(FakeModel(), stopping, [0.9, 0.8], "auc")
    assert len(pickle.dumps(stopping)) < 1_000
    assert copy.deepcopy(stopping).best_epoch_ == 1


def test_metrics_that_the_fit_has_to_compute():
    assert EarlyStopping().metrics == ("ndcg@10",)
    assert EarlyStopping("auc").metrics == ("auc",)
    for name in ("loss", "violation_rate", "mean_tries"):
        assert EarlyStopping(name).metrics == ()


@pytest.mark.parametrize(
    ("metric", "fix"), [("ndcg@10", "pass validation= to fit"), ("mean_tries", "choose one of the")]
)
def test_a_metric_that_is_not_there(metric, fix):
    message = f"got '{metric}', but there is only epoch, seconds, loss, auc; {fix}"
    with pytest.raises(ValueError, match=message):
        train(FakeModel(), EarlyStopping(metric), [0.5], "auc")


@pytest.mark.parametrize("patience", [0, -1, 1.5, "3", None])
def test_bad_patience(patience):
    with pytest.raises(ValueError, match="patience must be an integer >= 1, got"):
        EarlyStopping("auc", patience=patience)


def test_bad_metric():
    with pytest.raises(ValueError, match=r"metric must be the name of one metric, got \['auc'\]"):
        EarlyStopping(["auc"])


# Checkpoint, on records


@pytest.mark.parametrize(
    ("name", "every", "expected"),
    [
        ("model.lfm", 1, ["model.lfm"] * 7),
        ("model.lfm", 3, ["model.lfm"] * 2),
        ("model-{epoch}.lfm", 2, ["model-2.lfm", "model-4.lfm", "model-6.lfm"]),
        ("{epoch:03d}", 5, ["005"]),
        ("a{{b}}-{epoch}", 7, ["a{b}-7"]),
        ("late", 8, []),
    ],
)
def test_where_and_when_it_saves(tmp_path, name, every, expected):
    model = FakeModel()
    assert train(model, Checkpoint(tmp_path / name, every), [0.5] * 7) == 7  # never stops
    assert model.saved == [str(tmp_path / each) for each in expected]


def test_epochs_count_over_fits(tmp_path):
    model, saving = FakeModel(), Checkpoint(tmp_path / "{epoch}", every=4)
    train(model, saving, [0.5] * 3)
    train(model, saving, [0.5] * 3, first_epoch=4)
    assert model.saved == [str(tmp_path / "4")]


@pytest.mark.parametrize(
    "name", ["{}", "{0}", "{step}", "{epoch", "epoch}", "{epoch:q}", "{epoch.x}"]
)
def test_bad_template(name):
    with pytest.raises(ValueError, match="path may hold {epoch} and no other name in braces"):
        Checkpoint(name)


@pytest.mark.parametrize("every", [0, -2, 0.5, None])
def test_bad_every(every):
    with pytest.raises(ValueError, match="every must be an integer >= 1, got"):
        Checkpoint("model", every)


@pytest.mark.parametrize("path", [None, 3])
def test_bad_path(path):
    with pytest.raises(TypeError, match="path must be a string or an os.PathLike, got"):
        Checkpoint(path)


def test_a_missing_folder_is_noticed_before_training(tmp_path):
    model, saving = FakeModel(), Checkpoint(tmp_path / "runs" / "model", every=5)
    with pytest.raises(OSError, match="path must lie in a folder that exists, got '.*runs.model'"):
        train(model, saving, [0.5])
    assert not model.item_biases.any()


def test_a_bare_name_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = FakeModel()
    train(model, Checkpoint("model"), [0.5])
    assert model.saved == ["model"]


# Through fit


TRAIN, HELD_OUT = groups_of_taste()


class Copies:
    """Keeps the arrays after each epoch."""

    def __init__(self):
        self.arrays = []

    def __call__(self, model, record):
        self.arrays.append(arrays_of(model))


def warp(**options):
    return LightFM(loss="warp", no_components=8, learning_rate=0.5, random_state=3, **options)


@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_plain_function(stop_at):
    seen = []

    def stop(model, record):
        assert model.history_[-1] is record
        seen.append(record["epoch"])
        return record["epoch"] >= stop_at

    model = warp().fit(TRAIN, epochs=10, callbacks=[stop])
    assert seen == [record["epoch"] for record in model.history_] == list(range(1, stop_at + 1))
    assert_equal_arrays(arrays_of(model), arrays_of(warp().fit(TRAIN, epochs=stop_at)))


def test_callbacks_do_not_change_the_training():
    copies = Copies()
    model = warp().fit(TRAIN, epochs=4, callbacks=[copies, EarlyStopping("loss", patience=4)])
    assert len(copies.arrays) == 4
    for epochs, arrays in enumerate(copies.arrays, 1):
        assert_equal_arrays(arrays, arrays_of(warp().fit(TRAIN, epochs=epochs)))
    assert len(model.history_) == 4


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("metric", ["ndcg@10", "auc", "loss"])
@pytest.mark.parametrize("restore_best", [True, False])
def test_early_stopping_restores_the_best_epoch(metric, restore_best, order):
    copies, stopping = Copies(), EarlyStopping(metric, 2, restore_best)
    validation = {"interactions": HELD_OUT, "exclude": TRAIN}
    model = warp().fit(
        TRAIN, epochs=40, validation=validation, callbacks=[copies, stopping][::order]
    )
    values = [record[metric] for record in model.history_]
    best = int(np.argmin(values) if metric == "loss" else np.argmax(values))
    assert (stopping.best_epoch_, stopping.best_value_) == (best + 1, values[best])
    assert len(values) in (best + 3, 40)
    assert_equal_arrays(arrays_of(model), copies.arrays[best if restore_best else -1])


def best_in_epoch_3(model, record):
    """Make up a loss that is least in the third epoch."""
    record["loss"] = abs(record["epoch"] - 3)


def test_restores_when_out_of_epochs_too():
    callbacks = [best_in_epoch_3, EarlyStopping("loss", patience=50)]
    model = warp().fit(TRAIN, epochs=5, callbacks=callbacks)
    assert len(model.history_) == 5
    assert_equal_arrays(arrays_of(model), arrays_of(warp().fit(TRAIN, epochs=3)))


def test_live_views_stay_valid():
    model = warp().fit(TRAIN, epochs=1)
    live = {name: getattr(model, name) for name in ARRAYS}
    model.fit_partial(TRAIN, epochs=9, validation=HELD_OUT, callbacks=[EarlyStopping("auc", 1)])
    for name in ARRAYS:
        assert getattr(model, name) is live[name]


def test_going_on_after_early_stopping():
    """From the best epoch, with the random numbers that come next, and epochs that count on."""
    model = warp().fit(TRAIN, epochs=40, callbacks=[best_in_epoch_3, EarlyStopping("loss", 2)])
    assert len(model.history_) == 5

    expected = warp().fit(TRAIN, epochs=5)
    at_best = arrays_of(warp().fit(TRAIN, epochs=3))
    for name in ARRAYS:
        getattr(expected, name)[:] = at_best[name]
    expected.fit_partial(TRAIN, epochs=1)
    model.fit_partial(TRAIN, epochs=1)
    assert_equal_arrays(arrays_of(model), arrays_of(expected))
    assert [record["epoch"] for record in model.history_] == list(range(1, 7))


def test_a_validation_metric_without_validation():
    model = warp().fit(TRAIN, epochs=1)
    before = arrays_of(model)
    for train_more in (model.fit, model.fit_partial):
        with pytest.raises(ValueError, match="validation"):
            train_more(TRAIN, epochs=3, callbacks=[EarlyStopping("ndcg@10")])
        assert_equal_arrays(arrays_of(model), before)


def test_the_learning_curve_of_another_loss_lacks_violations():
    model = LightFM(loss="logistic", random_state=0)
    with pytest.raises(ValueError, match="violation_rate"):
        model.fit(random_interactions(), epochs=2, callbacks=[EarlyStopping("violation_rate")])


@pytest.mark.parametrize("every", [1, 2])
def test_training_goes_on_from_a_checkpoint(tmp_path, every):
    saving = Checkpoint(tmp_path / "{epoch}.lfm", every)
    model = warp().fit(TRAIN, epochs=5, callbacks=[saving])
    numbers = sorted(int(path.stem) for path in tmp_path.iterdir())
    assert numbers == list(range(every, 6, every))
    for epoch in numbers:
        loaded = LightFM.load(tmp_path / f"{epoch}.lfm")
        assert_equal_arrays(arrays_of(loaded), arrays_of(warp().fit(TRAIN, epochs=epoch)))
        assert [record["epoch"] for record in loaded.history_] == list(range(1, epoch + 1))
        loaded.fit_partial(TRAIN, epochs=5 - epoch)
        assert_equal_arrays(arrays_of(loaded), arrays_of(model))
