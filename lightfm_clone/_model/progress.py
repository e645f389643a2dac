"""What a fit tells while it runs: the record of each epoch, validation, callbacks, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightfm_clone import _checks as checks
from lightfm_clone.evaluation import evaluate
from lightfm_clone.evaluation.metrics import metric

_DEFAULT_METRICS = ("ndcg@10",)
_KEYS = ("interactions", "exclude", "user_features", "item_features", "metrics", "model")


class Validation:
    """Metrics of a model on held-out interactions.

    Parameters
    ----------
    given : sparse matrix, or mapping with "interactions" and any of the other _KEYS
        "model" is what the metrics are of, where that is no longer the fitted model alone.
    training : dict
        What stands in for keys that are not given: the training interactions are excluded from
        the rankings, and the features are those of the fit. They are checked.
    needed : names of the metrics that callbacks ask for

    Notes
    -----
    What cannot be evaluated is refused here, before the first epoch.
    """

    def __init__(self, given: Any, training: dict[str, Any], needed: Iterable[str]) -> None:
        given, self._metrics = read_validation(given, _KEYS, needed)
        self._model = given.get("model")
        self._features = {
            name: _checked(given, training, name) for name in ("user_features", "item_features")
        }
        self._test = checks.trusted(checks.as_csr(given["interactions"], "validation"))
        if self._test.nnz == 0:
            raise ValueError("validation must hold interactions to be ranked, got none")
        of_training = "exclude" not in given
        name = "interactions" if of_training else "validation['exclude']"
        self._exclude = _checked(given, training, "exclude", name)
        if self._exclude is None:
            return
        fix = "; pass validation={'interactions': ..., 'exclude': None} to leave nothing out"
        if self._exclude.shape != self._test.shape:
            raise ValueError(
                f"validation must have the shape of {name}, which are left out of its rankings, "
                f"{self._exclude.shape}, got {self._test.shape}{fix if of_training else ''}"
            )
        if self._test.astype(bool).multiply(self._exclude).nnz:
            raise ValueError(
                f"validation must not share entries with {name}, which are left out of its "
                f"rankings; remove them from one{fix if of_training else ''}"
            )

    def measure(self, model: Any, threads: int) -> dict[str, float]:
        result = evaluate(
            self._model or model,
            self._test,
            self._exclude,
            metrics=self._metrics,
            num_threads=threads,
            check_intersections=False,
            **self._features,
        )
        return {name: float(result[name]) for name in self._metrics}


def read_validation(
    given: Any, keys: tuple[str, ...], needed: Iterable[str]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What a fit was given as `validation`, as a mapping, and the names of its metrics.

    `keys` are those it may have, "interactions" the first; `needed` metrics are among its own.
    """
    if not isinstance(given, Mapping):
        given = {"interactions": given}
    unknown = sorted(set(given) - set(keys), key=str)
    if unknown or "interactions" not in given:
        raise ValueError(
            "validation must be a sparse matrix, or a dict with 'interactions' and, if you "
            f"like, {', '.join(map(repr, keys[1:]))}; got the keys {sorted(given, key=str)}"
        )
    needed = tuple(needed)
    metrics = _names(given.get("metrics") or (() if needed else _DEFAULT_METRICS))
    metrics = tuple(dict.fromkeys((*metrics, *needed)))
    for name in metrics:
        metric(name)
    return given, metrics


def _checked(given: Any, training: dict[str, Any], key: str, name: str = "") -> Any:
    """A matrix of the validation, or that of the training, which is checked already."""
    if key not in given:
        matrix = training[key]
        return None if matrix is None else checks.trusted(matrix.tocsr())
    return None if given[key] is None else checks.trusted(checks.as_csr(given[key], name or key))


class Display:
    """What is shown of a fit while it runs; this one shows nothing."""

    moves = False  # within an epoch

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        """Close it, however the fit has ended."""

    def begin(self, epoch: int) -> None:
        """An epoch begins; the first one is 0."""

    def advance(self, epochs: float) -> None:
        """So many epochs are done, the present one in part."""

    def tell(self, values: dict[str, str]) -> None:
        """Show values beside the progress."""


class Lines(Display):
    """A line for each epoch."""

    def begin(self, epoch: int) -> None:
        print(f"Epoch {epoch}")


class Bar(Display):
    """A progress bar of tqdm."""

    moves = True

    def __init__(self, tqdm: Any, epochs: int) -> None:
        self._bar = tqdm(total=epochs, desc="Epoch")

    def __exit__(self, *error: object) -> None:
        try:
            self._bar.close()
        except OSError:
            # Ctrl-C has ended the reader of a pipe as well; the interrupt is what is to be told.
            if error[0] is None:
                raise

    def advance(self, epochs: float) -> None:
        done = round(epochs, 2)
        self._bar.n = int(done) if done == int(done) else done
        self._bar.update(0)

    def tell(self, values: dict[str, str]) -> None:
        self._bar.set_postfix(values)


class Reports:
    """The epochs of one call of fit, as the user follows them.

    Parameters
    ----------
    callbacks : sequence of callables
    validation : Validation or None
    verbose : bool
    """

    def __init__(
        self,
        callbacks: tuple[Any, ...] = (),
        validation: Validation | None = None,
        verbose: bool = False,
    ) -> None:
        self._callbacks = callbacks
        self._validation = validation
        self._verbose = verbose

    @property
    def need_arrays(self) -> bool:
        """Whether somebody looks at the public arrays after each epoch."""
        return bool(self._callbacks) or self._validation is not None

    def display(self, epochs: int) -> Display:
        """What shows the progress of so many epochs."""
        if not self._verbose:
            return Display()
        try:
            from tqdm import tqdm
        except ImportError:
            return Lines()
        return Bar(tqdm, epochs)

    def begin(self, model: Any) -> None:
        self._call_hooks("on_fit_begin", model)

    def end(self, model: Any) -> None:
        self._call_hooks("on_fit_end", model)

    def epoch(self, model: Any, record: dict[str, Any], threads: int, display: Display) -> bool:
        """Complete the record of an epoch and pass it on; True when a callback wants to stop."""
        shown = ["loss"]
        if self._validation is not None:
            record.update(self._validation.measure(model, threads))
            shown.append(list(record)[-1])
        display.tell({name: f"{record[name]:.4f}" for name in shown})
        # All of them are called, whichever of them wants to stop.
        return any([bool(callback(model, record)) for callback in self._callbacks])

    def _call_hooks(self, name: str, model: Any) -> None:
        for callback in self._callbacks:
            hook = getattr(callback, name, None)
            if hook is not None:
                hook(model)


def check_reports(callbacks: Any, given: Any, training: dict[str, Any], verbose: bool) -> Reports:
    """Check what `LightFM.fit` was given as `callbacks` and `validation`."""
    callbacks, needed = check_callbacks(callbacks, has_validation=given is not None)
    if given is None:
        return Reports(callbacks, None, verbose)
    return Reports(callbacks, Validation(given, training, needed), verbose)


def check_callbacks(callbacks: Any, *, has_validation: bool) -> tuple[tuple[Any, ...], list[str]]:
    """The callbacks, and the names of the validation metrics that they need."""
    try:
        callbacks = tuple(callbacks)
    except TypeError:
        callbacks = (callbacks,)
        if not callable(callbacks[0]):
            raise ValueError(
                f"callbacks must be a sequence of callables, got {callbacks[0]!r}"
            ) from None
    for callback in callbacks:
        if not callable(callback):
            raise ValueError(
                "each of callbacks must be callable with (model, record), got "
                f"{type(callback).__name__}"
            )
    needed = [name for callback in callbacks for name in _names(getattr(callback, "metrics", ()))]
    if needed and not has_validation:
        raise ValueError(
            f"a callback needs the validation metric {needed[0]!r}, but there is nothing to "
            "validate on; pass validation=held_out_interactions to fit"
        )
    return callbacks, needed


def _names(metrics: str | Iterable[str]) -> tuple[str, ...]:
    return (metrics,) if isinstance(metrics, str) else tuple(metrics)


@contextmanager
def bar(total: int, what: str, verbose: bool) -> Iterator[Callable[[int], Any]]:
    """A function that is told of so many more; it moves a progress bar if there is tqdm."""
    if verbose:
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            with tqdm(total=total, desc=what) as shown:
                yield shown.update
            return
    yield lambda n: None
