"""What happens after each epoch of a fit: stopping early, saving checkpoints, anything of yours.

A callback is any callable ``(model, record)``. `LightFM.fit` and `fit_partial` call it after each
epoch, with the model's public arrays up to date. The record is the epoch's dict, the last one in
``model.history_``: "epoch" (from 1, counted on by `fit_partial`), "seconds", "loss", for the WARP
losses "violation_rate" and "mean_tries", and the validation metrics by name. A true value returned
ends the training.

A callback may have, besides,

- ``metrics``: names of the validation metrics it needs, which the fit then computes;
- ``on_fit_begin(model)`` and ``on_fit_end(model)``: called before the first epoch and after the
  last one of every call of `fit` and `fit_partial`.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lightfm_clone._checks import is_integer
from lightfm_clone._model import state
from lightfm_clone.persistence.files import as_string
from lightfm_clone.typing import Model, Path, Record

# What records hold without a validation set.
_TRAINING = ("epoch", "seconds", "loss", "violation_rate", "mean_tries")
_MINIMISED = ("loss", "violation_rate")


class EarlyStopping:
    """Stop when a metric no longer gets better, and go back to the best epoch.

    Parameters
    ----------
    metric : str, default "ndcg@10"
        A validation metric, by the names `evaluation.evaluate` knows, or a number of the training
        itself. The higher the better, but for "loss" and "violation_rate".
    patience : int, default 3
        Stop after so many epochs in a row that are not better than the best one.
    restore_best : bool, default True
        At the end, whether stopped or out of epochs, put all twelve arrays back to the best epoch:
        parameters and state of the learning schedule. Needs memory for a second copy of them.

    Attributes
    ----------
    best_epoch_ : int or None
        The number that epoch has in ``model.history_``; the first one of equals.
    best_value_ : float or None
        Its metric. Both are None before the first epoch.

    Raises
    ------
    ValueError
        For a bad parameter; in the first epoch, when its record lacks the metric: a validation
        metric needs ``fit(..., validation=...)``.

    Notes
    -----
    Only arrays go back. ``model.history_`` keeps all epochs and counts on, and `random_state` is
    not rewound: a `fit_partial` that follows goes on from the best epoch with new random draws,
    not with those that had led nowhere; from a seed, all of this is reproducible as ever. Each
    call of `fit` or `fit_partial` is judged on its own: patience and best epoch start afresh, so
    a call that only makes the model worse ends with its own best epoch, not with what the model
    was before. Let one call run many epochs, rather than many calls one epoch each.

    A validation set that chooses the epoch is no longer unseen: report the model's quality on a
    third set.

    Examples
    --------
    >>> from lightfm_clone import LightFM, cross_validation, datasets
    >>> from lightfm_clone.callbacks import EarlyStopping
    >>> films = datasets.synthetic_catalogue()
    >>> train, held_out = cross_validation.random_train_test_split(films.interactions, 0.2, 0)
    >>> stopping = EarlyStopping("ndcg@10", patience=3)
    >>> model = LightFM(loss="warp", no_components=30, learning_rate=0.2, random_state=0)
    >>> model = model.fit(
    ...     train,
    ...     epochs=100,
    ...     validation={"interactions": held_out, "exclude": train},
    ...     callbacks=[stopping],
    ... )
    >>> len(model.history_) == stopping.best_epoch_ + 3 < 100
    True
    """

    def __init__(
        self, metric: str = "ndcg@10", patience: int = 3, restore_best: bool = True
    ) -> None:
        if not isinstance(metric, str):
            raise ValueError(f"metric must be the name of one metric, got {metric!r}")
        if not is_integer(patience) or patience < 1:
            raise ValueError(f"patience must be an integer >= 1, got {patience!r}")
        self.metric = metric
        self.patience = patience
        self.restore_best = restore_best
        self._forget()

    def _forget(self) -> None:
        self.best_epoch_: int | None = None
        self.best_value_: float | None = None
        self._best: Any = None  # what the model keeps of the best epoch
        self._n_worse = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """The validation metric the fit has to compute, if it is one."""
        return () if self.metric in _TRAINING else (self.metric,)

    def on_fit_begin(self, model: Model) -> None:
        self._forget()

    def __call__(self, model: Model, record: Record) -> bool:
        if self.metric not in record:
            fix = "pass validation= to fit" if self.metrics else "choose one of these"
            raise ValueError(
                f"metric must be in the record of every epoch, got {self.metric!r}, but there is "
                f"only {', '.join(record)}; {fix}"
            )
        value = record[self.metric]
        sign = -1 if self.metric in _MINIMISED else 1
        # NaN compares as not better.
        if sign * value > (-np.inf if self.best_value_ is None else sign * self.best_value_):
            self.best_epoch_, self.best_value_ = record["epoch"], value
            self._n_worse = 0
            if self.restore_best:
                # Where an interrupt comes in between, the model itself is the best one.
                best, self._best = self._best, None
                self._best = state.keep(model, best)
        else:
            self._n_worse += 1
        return bool(self._n_worse >= self.patience)

    def on_fit_end(self, model: Model) -> None:
        if self._best is not None:
            state.put_back(model, self._best)
        self._best = None


class Checkpoint:
    """Save the model every few epochs, so that a crash costs no more than those.

    Parameters
    ----------
    path : str or os.PathLike
        Where `LightFM.save` writes to. One file, replaced in one step each time, so there is
        always a whole one; or, with ``{epoch}`` in the path (also ``{epoch:03d}``), a file for
        each saved epoch. Other braces are written twice, as in `str.format`.
    every : int, default 1
        Save after the epochs whose number is a multiple of this.

    Raises
    ------
    ValueError, TypeError
        For a bad parameter.
    OSError
        Before the first epoch, when the folder does not exist; later, when saving fails.

    Notes
    -----
    A loaded checkpoint continues with `fit_partial` where it was saved. With one thread this gives
    the very model that an undisturbed training gives.

    Examples
    --------
    >>> import os, tempfile
    >>> from lightfm_clone import LightFM, datasets
    >>> from lightfm_clone.callbacks import Checkpoint
    >>> films = datasets.synthetic_catalogue()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saving = Checkpoint(os.path.join(folder, "films-{epoch}.lfm"), every=2)
    ...     model = LightFM(loss="warp").fit(films.interactions, epochs=5, callbacks=[saving])
    ...     print(sorted(os.listdir(folder)))
    ...     model = LightFM.load(os.path.join(folder, "films-4.lfm"))
    ['films-2.lfm', 'films-4.lfm']
    """

    def __init__(self, path: Path, every: int = 1) -> None:
        if not is_integer(every) or every < 1:
            raise ValueError(f"every must be an integer >= 1, got {every!r}")
        self.path = as_string(path)
        self.every = every
        try:
            self._path_of(1)
        except (LookupError, ValueError, AttributeError) as error:
            raise ValueError(
                f"path may hold {{epoch}} and no other name in braces, got {self.path!r}; write "
                "braces of the name itself twice"
            ) from error

    def _path_of(self, epoch: int) -> str:
        return self.path.format(epoch=epoch)

    def on_fit_begin(self, model: Model) -> None:
        # Better now than after an hour.
        folder = os.path.dirname(os.path.abspath(self._path_of(1)))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"path must lie in a folder that exists, got {self.path!r}")

    def __call__(self, model: Model, record: Record) -> None:
        if record["epoch"] % self.every == 0:
            model.save(self._path_of(record["epoch"]))
