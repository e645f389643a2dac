"""Our model and the peer's from one state, and what an example costs each of them.

The peer is `lightfm-next`, a community build of LightFM, used through its public interface alone.
Its module is called `lightfm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from harness import seconds
from workloads import sampled

import lightfm_clone

PEER = "lightfm-next"
# A fit of so few examples costs what does not depend on their number.
FEW = 1_000
LEAST_SECONDS = 0.05
ARRAYS = [
    f"{side}_{kind}"
    for side in ("item", "user")
    for kind in (
        "embeddings",
        "embedding_gradients",
        "embedding_momentum",
        "biases",
        "bias_gradients",
        "bias_momentum",
    )
]
State = dict[str, np.ndarray]


def peer_library() -> Any:
    """The peer's package with all its modules imported."""
    try:
        import implicit.als
        import implicit.bpr  # noqa: F401
        import lightfm.cross_validation
        import lightfm.data
        import lightfm.evaluation
    except ImportError as error:
        raise SystemExit(
            f"{error}: the benchmarks compare with other libraries; install them with "
            "`pip install -r benchmarks/requirements.txt`, or run `make bench`"
        ) from error
    return lightfm


def state_of(model: Any) -> State:
    return {name: getattr(model, name) for name in ARRAYS}


def with_state(model: Any, state: State) -> Any:
    """The model, given copies of the arrays of a state."""
    for name, array in state.items():
        setattr(model, name, array.copy())
    return model


def both_libraries() -> dict[str, Callable[..., Any]]:
    """Makers of models, the peer's first."""
    return {PEER: peer_library().LightFM, "ours": lightfm_clone.LightFM}


class Epoch:
    """One epoch over a fixed sample of the interactions, from a fixed state.

    Its cost is that of the examples alone: the time of a call with the whole sample, less that of a
    call with a few of its entries, which pays the same price for arrays and checks.
    """

    def __init__(
        self,
        state: State,
        parameters: dict[str, Any],
        sample: sp.coo_matrix,
        weights: sp.coo_matrix | None = None,
        **features: sp.csr_matrix,
    ) -> None:
        self.state, self.parameters, self.features = state, parameters, features
        self.sample, self.weights = sample, weights
        self.few = [None if part is None else sampled(part, FEW) for part in (sample, weights)]
        self._calls: dict[Any, float] = {}

    def nanoseconds(self, make: Callable[..., Any], num_threads: int = 1) -> float:
        """Wall clock time of an example, the mean of as many epochs as take `LEAST_SECONDS`."""
        library = make, num_threads
        # The same in every round, so the fastest one seen so far is the least disturbed.
        calls = [self._seconds(*library, *self.few) for _ in range(3)]
        call = self._calls[library] = min(calls + [self._calls.get(library, math.inf)])
        epochs, spent = 0, 0.0
        while spent < LEAST_SECONDS:
            spent += self._seconds(*library, self.sample, self.weights)
            epochs += 1
        return 1e9 * (spent / epochs - call) / (self.sample.nnz - FEW)

    def _seconds(
        self,
        make: Callable[..., Any],
        num_threads: int,
        sample: sp.coo_matrix,
        weights: sp.coo_matrix | None,
    ) -> float:
        model = with_state(make(**self.parameters, random_state=1), self.state)
        arguments = {"sample_weight": weights, "num_threads": num_threads, **self.features}
        return seconds(model.fit_partial, sample, **arguments)
