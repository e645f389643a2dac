"""The model is as it was after any exception of a fit, but for an interrupt from the keyboard."""

from __future__ import annotations

import contextlib
import signal
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
    "columns": (fit, "check_columns"),
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
    "record": (training, "record_of"),
    "write": (training.Training, "write"),
    "hand over": (training.Training, "hand_over"),
    "epoch": (progress.Reports, "epoch"),
    "advance": (progress.Display, "advance"),
    "close": (progress.Display, "__exit__"),
    "advice after": (advice, "about_training"),
    "end": (progress.Reports, "end"),
}


@contextlib.contextmanager
def fault(step: str, error: type[BaseException], call: int, *, before: bool = False):
    """Raise at this call of the step, counted from 1, before or after its work."""
    place, name = STEPS[step]
    true, calls = getattr(place, name), [0]

    def faulty(*args: Any, **named: Any) -> Any:
        calls[0] += 1
        if before and calls[0] == call:
            raise error("made up")
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


@pytest.mark.parametrize(
    ("error", "before_work"),
    [(OSError, True), (SystemExit, True), (MemoryError, False), (ValueError, False)],
)
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_errors_leave_the_model_as_it_was(step, watched, call, error, before_work):
    features = {"item_features": random_features(TRAIN.shape[1], 7)}
    model = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2, **features)
    before, arrays = everything_of(model), arrays_of(model)
    options = {"validation": VALIDATION, "callbacks": [EarlyStopping("auc")]} if watched else {}
    for method in (model.fit, model.fit_partial):
        raised = fault(step, error, call, before=before_work)
        with raised as calls, contextlib.suppress(error):
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
            LightFM(loss="warp").fit(TRAIN, epochs=1, validation=VALIDATION)
        assert calls[0] > 0, step


def test_a_side_that_has_been_handed_over_is_taken_back():
    model = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=2)
    before, arrays = everything_of(model), arrays_of(model)
    check = training.Training.check

    def lock(self, *args):  # users come before items
        check(self, *args)
        model.item_biases.flags.writeable = False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "check", lock)
        with pytest.raises(ValueError, match="read-only"):
            model.fit_partial(TRAIN)
    assert everything_of(model) == before
    assert_equal_arrays(arrays_of(model), arrays)


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


def test_an_interrupt_while_early_stopping_keeps_the_best():
    """A mixture of two epochs is never restored: the model itself is the best one then."""
    stopping, n_read = EarlyStopping("auc", patience=30), [0]

    class Interrupting(LightFM):
        """Interrupted amid the second copy, when the seventh array is read."""

        @property
        def user_embeddings(self):
            value = self.__dict__["user_embeddings"]
            if sys._getframe(1).f_code is state.copies.__code__:
                n_read[0] += 1
                if n_read[0] == 2:
                    raise KeyboardInterrupt
            return value

        @user_embeddings.setter
        def user_embeddings(self, value):
            self.__dict__["user_embeddings"] = value

    options = {"validation": VALIDATION, "epochs": 20}
    model = Interrupting(loss="warp", learning_rate=0.01, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(TRAIN, callbacks=[stopping], **options)
    whole, seen = LightFM(loss="warp", learning_rate=0.01, random_state=0), []
    whole.fit(TRAIN, callbacks=[lambda model, _: seen.append(arrays_of(model))], **options)
    assert stopping.best_epoch_ == len(model.history_) >= 2
    assert_equal_arrays(arrays_of(model), seen[stopping.best_epoch_ - 1])


@pytest.mark.parametrize("loss", ["warp", "logistic", "softmax"])
def test_an_interrupt_before_an_epoch_is_settled(loss):
    """The arrays never get parameters that are right only together with the scales of L2."""

    trained = []
    for before in (True, False):
        model = LightFM(loss=loss, item_alpha=1e-2, user_alpha=1e-2, random_state=0)
        interrupt = fault("settle", KeyboardInterrupt, 1, before=before)
        with interrupt, pytest.raises(KeyboardInterrupt):
            model.fit(TRAIN)
        trained.append(arrays_of(model))
    assert_equal_arrays(*trained)


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


def test_an_interrupt_that_ends_the_reader_of_the_bar_as_well(monkeypatch):
    """As Ctrl-C in a shell's pipeline does."""
    pytest.importorskip("tqdm")
    pipe = Pipe(10**9)
    monkeypatch.setattr(sys, "stderr", pipe)

    def interrupt(model, record):
        pipe.writes = 0
        raise KeyboardInterrupt

    model = LightFM(loss="warp", random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(TRAIN, epochs=5, verbose=True, callbacks=[interrupt])
    assert len(model.history_) == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals of POSIX")
@pytest.mark.parametrize("verbose", [False, True])
def test_a_handler_of_a_signal_that_raises(verbose):
    """A limit of time, for one: it comes amid the kernels, and is no interrupt of the keyboard."""

    def expire(*_):
        raise TimeoutError("too long")

    model = LightFM(loss="warp", item_alpha=1e-6, random_state=0).fit(TRAIN, epochs=2)
    before, arrays = everything_of(model), arrays_of(model)
    handler = signal.signal(signal.SIGALRM, expire)
    try:
        for method in (model.fit, model.fit_partial):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(TimeoutError):
                method(TRAIN, epochs=10**9, verbose=verbose, callbacks=[lambda *_: False])
            assert everything_of(model) == before
            assert_equal_arrays(arrays_of(model), arrays)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


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
