"""What a model shows of itself: its parameters, and what it has learned from so far."""

from __future__ import annotations

from typing import Any

from lightfm_clone._checks import is_real
from lightfm_clone._model import state
from lightfm_clone._printed import Printed
from lightfm_clone.typing import Record


def text(model: Any, n_users: int | None = None) -> str:
    """The parameters, and a line on the fit; `n_users` where their rows are elsewhere."""
    facts = _facts(model, n_users)
    if not facts:
        return repr(model)
    return f"{model!r}\nfitted: {', '.join(f'{name} {value}' for name, value in facts)}"


def html(model: Any, n_users: int | None = None) -> str:
    """The same as a table."""
    facts = _facts(model, n_users)
    head = [repr(model), "fitted" if facts else "not fitted"]
    return Printed([head, *([name, value] for name, value in facts)]).html()


def _facts(model: Any, n_users: int | None) -> list[tuple[str, str]]:
    """Names and values; none of a model that is not fitted."""
    try:
        state.check_fitted(model)
    except ValueError:  # or whose arrays do not belong together
        return []
    facts = []
    for side in ("user", "item"):
        of_features = f"{side}_features" in model._fitted_with
        noun = f"{side} features" if of_features else f"{side}s"
        is_away = side == "user" and n_users is not None
        facts.append((noun, f"{n_users if is_away else state.n_features(model, side):,}"))
    if model.history_:
        seconds = sum(record.get("seconds", 0) for record in model.history_)
        facts += [("epochs", f"{len(model.history_):,}"), ("seconds", f"{seconds:.1f}")]
        facts += last_of(model.history_)
    return facts


def last_of(history: list[Record]) -> list[tuple[str, str]]:
    """What the last epoch of a history came to: names and values."""
    return [
        # A callback may have put anything there.
        (f"last {name}", f"{value:.4f}" if is_real(value) else str(value))
        for name, value in history[-1].items()
        if name not in ("epoch", "seconds")
    ]
