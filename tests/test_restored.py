"""The model is as it was after any exception of a fit, but for an interrupt from the keyboard."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import pytest
from helpers import ARRAYS, arrays_of, assert_equal_arrays, random_features, random_interactions

from lightfm_clone import LightFM
from lightfm_clone._model import advice, fit, parameters, progress, state, training
from lightfm_clone.callbacks import EarlyStopping

TRAIN, HELD_OUT = random_interactions(0), random_interactions(1)
VALIDATION = {"interactions": HELD_OUT, "exclude": None, "metrics": ["auc"]}
EPOCHS = 3
# Where a fault comes: everything that a fit calls, by the place that its caller finds it at.
STEPS = {
    "check of epochs": (fit.checks, "check_epochs"),
    "examples": (fit, "check_examples"),
    "features": (fit.checks, "check_features"),
    "reports": (fit, "check_reports"),
    "draw": (LightFM, "_initialize"),
    "arrays": (state, "make_trainable"),
    "columns": (fit, "_check_columns"),
    "packing": (fit, "Training"),
    "begin": (progress.Reports, "begin"),
    "display": (progress.Reports, "display"),
    "settings": (parameters, "settings"),
    "seed": (training, "draw_seed"),
    "order": (training.Training, "shuffle"),
    "parts": (training.Training, "parts"),
    "part": (training.Training, "part"),
    "settle": (training.Training, "settle"),
    "check": (training.Training, "check"),
    "record": (training, "_record"),
    "write": (training.Training, "write"),
    "epoch": (progress.Reports, "epoch"),
    "advance": (progress.Display, "advance"),
    "close": (progress.Display, "__exit__"),
    "advice after": (advice, "about_training"),
    "end": (progress.Reports, "end"),
}


@contextlib.contextmanager
def fault(step: str, error: type[BaseException], call: int):
    """Raise at this call of the step, counted from 1, before or after its work."""
    place, name = STEPS[step]
    true, calls = getattr(place, name), [0]

    def faulty(*args: Any, **named: Any) -> Any:
        calls[0] += 1
        result = true(*args, **named)
        if calls[0] == call:
            raise error("made up")
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, faulty)
        yield calls


def everything_of(model: LightFM) -> dict[str, Any]:
    attributes = {name: getattr(model, name) for name in state.ATTRIBUTES}
    attributes["history_"] = [dict(record) for record in model.history_]
    return {"identity": {name: id(getattr(model, name)) for name in ARRAYS}, **attributes}


@pytest.mark.parametrize("error", [OSError, MemoryError, SystemExit, ValueError])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_errors_leave_the_model_as_it_was(step, watched, call, error):
    features = {"item_features": random_features(TRAIN.shape[1], 7)}
    model = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2, **features)
    before, arrays = everything_of(model), arrays_of(model)
    options = {"validation": VALIDATION, "callbacks": [EarlyStopping("auc")]} if watched else {}
    for method in (model.fit, model.fit_partial):
        with fault(step, error, call) as calls, contextlib.suppress(error):
            method(TRAIN, epochs=EPOCHS, **features, **options)
        if calls[0] < call:  # it is not called so often, and the fit went well
            model = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2, **features)
            before, arrays = everything_of(model), arrays_of(model)
            continue
        assert everything_of(model) == before
        assert_equal_arrays(arrays_of(model), arrays)


def test_every_step_is_one():
    """A fit calls all of them, or the faults above test nothing."""
    for step in STEPS:
        with fault(step, OSError, 10**9) as calls:
            LightFM(loss="warp").fit(TRAIN, epochs=1)
        assert calls[0] > 0, step


@pytest.mark.parametrize("step", ["part", "check", "record", "epoch", "seed", "order", "advance"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_interrupt_keeps_what_was_trained(step, call):
    ended = []

    class Hook:
        def __call__(self, model, record):
            return False

        def on_fit_end(self, model):
            ended.append(model)

    model = LightFM(loss="warp", random_state=0)
    drawn = arrays_of(LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=0))
    with fault(step, KeyboardInterrupt, call), pytest.raises(KeyboardInterrupt):
        model.fit(TRAIN, epochs=EPOCHS, callbacks=[Hook()])
    assert ended == [model]
    trained = call if step not in ("seed", "order") else call - 1
    moved = np.abs(model.item_embeddings - drawn["item_embeddings"]).max() > 0
    assert moved == (trained > 0)
    assert len(model.history_) in (call - 1, call)


def test_an_interrupt_before_the_arrays_are_drawn_keeps_the_old_model():
    model = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2)
    before, arrays = everything_of(model), arrays_of(model)
    with fault("examples", KeyboardInterrupt, 1), pytest.raises(KeyboardInterrupt):
        model.fit(TRAIN, epochs=2)
    assert everything_of(model) == before
    assert_equal_arrays(arrays_of(model), arrays)


def test_early_stopping_restores_its_best_after_an_interrupt():
    stopping = EarlyStopping("auc", patience=30)
    best = {}

    def interrupt(model, record):
        if record["epoch"] == stopping.best_epoch_:
            best.update(arrays_of(model))
        if record["epoch"] == 12:
            raise KeyboardInterrupt

    model = LightFM(loss="warp", learning_rate=0.3, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(TRAIN, epochs=20, validation=VALIDATION, callbacks=[stopping, interrupt])
    assert stopping.best_epoch_ < 12
    assert_equal_arrays(arrays_of(model), best)


class Pipe:
    """A stream that nobody reads any more, from some write on."""

    def __init__(self, writes: int) -> None:
        self.writes = writes

    def write(self, text: str) -> int:
        self.writes -= 1
        if self.writes < 0:
            raise BrokenPipeError("nobody reads this")
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("writes", [0, 1, 2, 5])
@pytest.mark.parametrize("with_tqdm", [False, True])
def test_a_broken_pipe(monkeypatch, with_tqdm, writes):
    if with_tqdm:
        pytest.importorskip("tqdm")
        monkeypatch.setattr(sys, "stderr", Pipe(writes))
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setattr(sys, "stdout", Pipe(writes))
    model = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2)
    before, arrays = everything_of(model), arrays_of(model)
    with pytest.raises(BrokenPipeError):
        model.fit_partial(TRAIN, epochs=20, verbose=True)
    assert everything_of(model) == before
    assert_equal_arrays(arrays_of(model), arrays)


# Progress


class FakeBar:
    """What a fit does to a bar of tqdm."""

    made: list = []

    def __init__(self, total, desc):
        self.total, self.n, self.seen, self.closed = total, 0, [], False
        FakeBar.made.append(self)

    def update(self, n):
        self.n += n
        self.seen.append(self.n)

    def set_postfix(self, values):
        pass

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(tqdm, "tqdm", FakeBar)
    FakeBar.made = []
    return FakeBar.made


def test_a_bar_moves_within_a_long_epoch(bars, monkeypatch):
    monkeypatch.setattr(training, "_PART", 512)
    given = random_interactions(0, (100, 80), 5_000)
    shown = LightFM(loss="warp", random_state=0).fit(given, epochs=2, verbose=True)
    (bar,) = bars
    assert len(bar.seen) == 20 and bar.seen == sorted(bar.seen)
    assert bar.seen[-1] == bar.total == 2 and bar.closed
    assert 0 < bar.seen[0] < 1
    quiet = LightFM(loss="warp", random_state=0).fit(given, epochs=2)
    assert_equal_arrays(arrays_of(shown), arrays_of(quiet))


def test_bars_close_when_a_fit_stops_early_or_fails(bars):
    LightFM(loss="warp").fit(TRAIN, epochs=50, verbose=True, callbacks=[lambda *_: True])
    with pytest.raises(ZeroDivisionError):
        LightFM(loss="warp").fit(TRAIN, epochs=5, verbose=True, callbacks=[lambda *_: 1 / 0])
    assert [bar.closed for bar in bars] == [True, True]
    assert bars[0].n == 1
