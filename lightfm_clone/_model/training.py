"""The training loop. There is one, for fits, fold-in, and whoever trains a part of a larger fit.

`Training` holds what a training works on, packed for the kernels; `train` runs its epochs for a
model and tells its `Reports`. A driver of its own needs `Training` alone::

    training = Training(examples, users, items, n_items, schedule, known=..., ...)
    training.shuffle(seed, num_threads)              # an epoch begins: its random order
    training.part(settings, 0, middle)               # positions [0, middle) of that order
    training.settle(); training.write()              # hand the arrays out ...
    training.read()                                  # ... and take in what has become of them
    training.part(settings, middle, training.n_examples)
    training.settle(); training.write()

A part goes by the learning rate, the users' known items, the counts of items and the seen items of
the whole: where the examples are a shard of a larger fit, `known`, `item_counts` and `candidates`
say what these are. On one thread, parts that follow each other train bit for bit what the epoch in
one go trains. With an L2 they do so where `settle` waits for the end of the epoch: LightFM's law
takes steps in the measure of the scales, and settling starts these at 1.

From here `_core.Trainer` leads to the kernels; `_core.pyx` says how.
"""

from __future__ import annotations

import operator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from lightfm_clone import _core
from lightfm_clone._checks import check_random_state
from lightfm_clone._core import Totals
from lightfm_clone._model import advice, parameters, state
from lightfm_clone._model.examples import Examples
from lightfm_clone._model.losses import LOSSES
from lightfm_clone._model.progress import Reports

# Mean losses in the measure of that of a model which predicts nothing. Beyond the first one a fit
# has diverged if its parameters are large, too, as they are where a loss has a bound; beyond the
# second one in any case. (WARP with sgd comes back from 1e10.)
_POOR, _DIVERGED = 10, 1e12
_LARGE = 1e6
# L2 multiplies scores by its scales, within an epoch. From such an alpha on that goes as far as the
# numbers do, and comes back.
_STRONG_ALPHA = 0.1

# Parts of an epoch after which a progress bar moves: about a third of a second of WARP each.
_PART = 1 << 20


class TrainedSide(NamedTuple):
    """The parameters of users or items, as a training reads and writes them."""

    embeddings: list[Any]  # values [n_features, no_components], then the schedule's states
    biases: list[Any]  # the same, [n_features]
    features: tuple[Any, Any, Any] | None = None  # parts of CSR; None is the identity
    n_frozen: int = 0  # the first so many features stay as they are
    packed: _core.Parameters | None = None  # where they are packed already


def at_rest(biases: Any, vectors: Any, num_threads: int = 1) -> TrainedSide:
    """A side that stands still, packed once for any number of trainings, at the same time too."""
    values = [vectors], [biases]
    packed = _core.Parameters(*values, n_frozen=len(biases), num_threads=num_threads)
    return TrainedSide(*values, n_frozen=len(biases), packed=packed)


class Training:
    """Interactions and parameters, packed for the kernels, and the parts of an epoch.

    Parameters
    ----------
    examples : Examples
    users, items : TrainedSide
    n_items : int
    schedule : str
    mean : float
        What values are trained around.
    known : (indptr int64 [n_users + 1], items int32), optional
        The sorted, distinct items of each user that are never negatives. Default: those of
        the examples.
    item_counts : int64 [n_items], optional
        What BPR's negatives are drawn in proportion to. Default: the counts in the examples.
    candidates : int32 [n_candidates], optional
        The items, sorted and distinct, that negatives="seen" draws from; those of the examples and
        of `known` are among them. Default: those of the examples.
    num_threads : int, default 1
        For what is done once, or once an epoch, besides training: packing and unpacking, known
        items, checks. What comes of it is the same for any number.
    """

    def __init__(
        self,
        examples: Examples,
        users: TrainedSide,
        items: TrainedSide,
        n_items: int,
        schedule: str,
        *,
        mean: float = 0.0,
        known: tuple[Any, Any] | None = None,
        item_counts: Any = None,
        candidates: Any = None,
        num_threads: int = 1,
    ) -> None:
        self.examples = examples
        self.n_items = n_items
        self.n_examples = len(examples.rows)
        self._mean = mean
        self._sides = users, items
        self._parameters = [
            side.packed
            or _core.Parameters(side.embeddings, side.biases, side.n_frozen, num_threads)
            for side in self._sides
        ]
        # What stands still needs no look after an epoch: a fold-in holds a whole catalogue still.
        self._moving = [
            (side, rows)
            for side, rows in zip(self._sides, self._parameters, strict=True)
            if side.n_frozen < len(side.biases[0])
        ]
        values = examples.values
        if values is not None:
            values = (values - mean).astype(np.float32)
        self._interactions = _core.Interactions(
            examples.rows,
            examples.cols,
            examples.positive,
            values,
            examples.weights,
            examples.shape[0],
            n_items,
            known=known,
            item_counts=item_counts,
            candidates=candidates,
            num_threads=num_threads,
        )
        self._trainer = _core.Trainer(
            self._interactions,
            self._parameters[0],
            self._parameters[1],
            users.features,
            items.features,
            schedule,
        )

    def shuffle(self, seed: int, num_threads: int) -> int:
        """Begin an epoch: make its random order. Parts begin at multiples of what it returns."""
        self._cut: int = self._trainer.shuffle(seed, num_threads)
        return self._cut

    def part(
        self,
        settings: dict[str, Any],
        begin: int,
        end: int,
        done: float = 0.0,
        after: float = 0.0,
    ) -> Totals:
        """Train on the positions [begin, end) of the epoch's order.

        `begin` and `end` are multiples of what `shuffle` returned, or `n_examples`. `done` and
        `after` are the shares of a fit's epochs that are over before and after this one, by which
        sgd's learning rate has fallen.
        """
        # What overflows is told by `check`, and not by NumPy as well.
        with np.errstate(over="ignore", invalid="ignore"):
            return self._trainer.part(settings, begin, end, done, after)

    def parts(self, size: int | None) -> list[tuple[int, int]]:
        """An epoch in parts of about this many examples; in one where it is None."""
        if size is None or self.n_examples == 0:
            return [(0, self.n_examples)]
        size = max(size // self._cut, 1) * self._cut
        begins = range(0, self.n_examples, size)
        return [(begin, min(begin + size, self.n_examples)) for begin in begins]

    def settle(self) -> None:
        """Divide the parameters by the scales of L2; an epoch is over when this is done."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._trainer.settle()

    def n_candidates(self, settings: dict[str, Any]) -> int:
        """How many items a loss that draws each as often draws its negatives from."""
        if settings["negatives"] == "all" or not LOSSES[settings["loss"]].draws_uniformly:
            return self.n_items
        return self._interactions.n_candidates()

    def item_features(self) -> tuple[Any, Any, Any] | None:
        """The parts of CSR; None is the identity."""
        return self._sides[1].features

    def has_features(self) -> bool:
        """Whether any user or item has a feature."""
        return any(side.features is None or side.features[2].any() for side in self._sides)

    def largest(self) -> float:
        """The largest size of a parameter of the sides that are trained. Takes a copy of them."""
        sizes = [0.0]
        for side, rows in self._moving:
            copies = [[array.copy() for array in arrays] for arrays in side[:2]]
            rows.unpack(*copies)
            sizes += [float(np.abs(values[0]).max(initial=0)) for values in copies]
        return max(sizes)

    def is_finite(self) -> bool:
        return all(rows.is_finite() for _, rows in self._moving)

    def check(self, totals: Totals, settings: dict[str, Any], epoch: int, what: str) -> None:
        """Raise ValueError where an epoch has left all bounds."""
        of = LOSSES[settings["loss"]]
        loss = totals.loss / max(totals.examples, 1)
        ratio = abs(loss) / max(self.examples.scale(self._mean), 1.0)
        alpha = max(settings["item_alpha"], settings["user_alpha"])
        if not self.is_finite():
            found = "some parameters are NaN or infinite"
        elif alpha >= _STRONG_ALPHA or ratio <= _POOR:
            return
        elif self.largest() <= _LARGE and (alpha or ratio <= _DIVERGED):
            return
        else:  # NaN, too
            found = f"the mean loss is {loss:.2g}"
        given, higher = f"learning_rate={settings['learning_rate']}", ""
        if of.scores_directions:  # its gradients grow with 1 / temperature
            given += f" and temperature={settings['temperature']}"
            higher = "a higher temperature, "
        raise ValueError(
            f"{what} diverged in epoch {epoch}: {found} with {given}; use a smaller learning_rate, "
            f"{higher}smaller alphas, or smaller values and weights"
        )

    def write(self) -> None:
        """Write the parameters into the arrays they were read from, where any was trained."""
        for side, rows in self._moving:
            rows.unpack(side.embeddings, side.biases)

    def hand_over(self) -> None:
        """Write the parameters at the end of a training, and keep what the arrays had."""
        for side, rows in self._moving:
            if not rows.is_exchanged:  # by a call that was interrupted
                rows.exchange(side.embeddings, side.biases)

    def take_back(self) -> None:
        """Undo what `hand_over` has written, if it has."""
        for side, rows in self._moving:
            if rows.is_exchanged:
                rows.exchange(side.embeddings, side.biases)

    def read(self) -> None:
        """Read the parameters from their arrays anew."""
        for side, rows in zip(self._sides, self._parameters, strict=True):
            rows.pack(side.embeddings, side.biases)


def draw_seed(random_state: np.random.RandomState) -> int:
    """The seed of an epoch.

    So many words are drawn that the generator makes all of its words anew: who compares the words
    alone, `get_state()[1]`, sees that the stream has gone on.
    """
    return int.from_bytes(random_state.bytes(4 * 624)[:8], "little")


def train(
    model: Any,
    training: Training,
    epochs: int,
    threads: int,
    reports: Reports,
    before: state.Before | None = None,
    *,
    what: str = "the model",
    is_first: bool | None = None,
) -> None:
    """Run epochs for a model, whose arrays are those the training reads and writes.

    After an interrupt from the keyboard the arrays have what was trained until then, and the
    reports end as after the last epoch; after an error they may have anything, and the model as
    it was `before`, where that is given, takes it back. `is_first` says whether the values were
    freshly drawn; where it is None, no advice is given.
    """
    if not epochs:
        return
    live = {name: getattr(model, name) for name in state.ARRAYS}

    def write() -> None:
        model.__dict__.update(live)  # a callback may have assigned others
        if reports.need_arrays:
            training.write()
        else:  # once, at the end, so that nothing needs a copy to be put back
            training.hand_over()

    total = NONE
    model.history_ = [*model.history_]  # the old list stays as it is if this is refused
    if before is not None:
        if reports.need_arrays:  # others may write to them at any time
            before.keep_contents()
        else:
            before.undo.append(training.take_back)
    reports.begin(model)
    try:
        with reports.display(epochs) as display:
            for epoch in range(epochs):
                # Read at every epoch, because a callback or another thread may reassign them.
                model.random_state = check_random_state(model.random_state)
                settings = parameters.settings(model)
                number = len(model.history_) + 1
                display.begin(epoch)
                start = perf_counter()
                sums = NONE
                training.shuffle(draw_seed(model.random_state), threads)
                for begin, end in training.parts(_PART if display.moves else None):
                    shares = epoch / epochs, (epoch + 1) / epochs
                    sums = plus(sums, training.part(settings, begin, end, *shares))
                    display.advance(epoch + end / max(training.n_examples, 1))
                training.settle()
                training.check(sums, settings, number, what)
                record = record_of(number, perf_counter() - start, settings["loss"], sums)
                total = plus(total, sums)
                model.history_.append(record)
                if reports.need_arrays:
                    write()
                if reports.epoch(model, record, threads, display):
                    break
        if is_first is not None:
            advice.about_training(
                training.examples,
                settings,
                training.n_items,
                training.n_candidates(settings),
                total,
                is_first=is_first,
                item_features=training.item_features(),
                has_features=training.has_features(),
            )
        write()
    except KeyboardInterrupt:
        training.settle()  # it may have come within an epoch
        if training.is_finite():
            write()
        reports.end(model)
        raise
    reports.end(model)


NONE = Totals(0.0, 0, 0, 0, 0)


def plus(left: Totals, right: Totals) -> Totals:
    """The totals of two parts of an epoch together."""
    return Totals(*map(operator.add, left, right))


def record_of(epoch: int, seconds: float, loss: str, totals: Totals) -> dict[str, Any]:
    """The entry of an epoch in `history_`."""
    n = max(totals.examples, 1)
    record = {"epoch": epoch, "seconds": seconds, "loss": totals.loss / n}
    if LOSSES[loss].searches_violations:
        record |= {"violation_rate": totals.violations / n, "mean_tries": totals.tries / n}
    return record
