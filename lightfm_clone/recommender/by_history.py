"""What `ItemNeighbours` and `MarkovChain` have in common: scores that are sums over a history."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model import explain as explaining
from lightfm_clone._model.beside import Beside
from lightfm_clone._model.examples import Examples, check_examples
from lightfm_clone._model.explain import Explanation
from lightfm_clone._model.losses import LOSSES
from lightfm_clone.data import Dataset
from lightfm_clone.recommender.baselines import Baseline
from lightfm_clone.typing import (
    CsrMatrix,
    FeatureMatrix,
    Floats,
    Interactions,
    Representations,
    SampleWeight,
    Seed,
)


class ByHistory(Baseline):
    """A baseline in which the items that somebody has speak for others.

    The score is what `beside` says, and the bias of the item, which is 0 but where a subclass has
    another.
    """

    _width = 1
    _made: Beside | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_made"}

    def _make_beside(self) -> Beside:
        """Weights and histories, of what was learned."""
        raise NotImplementedError

    @property
    def beside(self) -> Beside:  # type: ignore[override]
        """Weights and histories, as scores read them.

        Raises
        ------
        ValueError
            Before the first fit.
        """
        self._n("item", None)
        if self._made is None:
            self._made = self._make_beside()
        return self._made

    def _user_vectors(self, n: int) -> Representations:
        return np.zeros(n, np.float32), np.zeros((n, self._width), np.float32)

    def _item_vectors(self, n: int) -> Representations:
        return np.zeros(n, np.float32), np.zeros((n, self._width), np.float32)

    @checks.names_ours
    def explain(
        self,
        user_id: int,
        item_id: int,
        *,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        dataset: Dataset | None = None,
    ) -> Explanation:
        """Which of a person's items speak for an item, and which against it.

        Parameters
        ----------
        user_id, item_id : int
            Rows of the fit.
        user_features, item_features : sparse matrices, optional
            They say how many users and items there are, and nothing else.
        dataset : Dataset, optional
            Names the items.

        Returns
        -------
        Explanation
            Its contributions, of the kind "history" and, where items have one, "item bias", add up
            to the score.
        """
        n_items = self._n("item", item_features)
        for name, given, n in (
            ("user_id", user_id, self._n("user", user_features)),
            ("item_id", item_id, n_items),
        ):
            if np.ndim(given):
                raise ValueError(f"{name} must be a single integer; explain one pair at a time")
            checks.check_ids(given, name, n, f"{name[:4]}s", name[:4])
        bias = float(self._item_vectors(n_items)[0][item_id])
        terms = explaining.of_history(self.beside, int(user_id), int(item_id), dataset, bias)
        return explaining.explanation_of(terms)

    @checks.names_ours
    def fold_in_users(  # type: ignore[override]
        self,
        interactions: Interactions,
        *,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 20,
        num_threads: int | None = 1,
        random_state: Seed = None,
    ) -> tuple[Floats, Floats, CsrMatrix]:
        """New people by what they like, a row of `interactions` each.

        Nothing is trained: `epochs`, `num_threads` and `random_state` are taken as
        `LightFM.fold_in_users` takes them, and ignored.

        Returns
        -------
        biases : float32 [n]
        embeddings : float32 [n, 1]
        histories : CSR float32 [n, n_items]
            For ``recommend(user_representations=...)``; the first two are all 0.
        """
        self._n("item", item_features)
        examples = check_examples(interactions, sample_weight, LOSSES["warp"])
        histories = self.beside.weighted(likes_of(examples, examples.shape[1]))
        return (*self._user_vectors(histories.shape[0]), histories)

    def score_vectors(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: the score is no inner product of short vectors.

        Raises
        ------
        NotImplementedError
            Always; it is a ValueError, too.
        """
        raise checks.UnsupportedError(
            "scores of a history are no inner products of short vectors; ask recommend for lists"
        )


def likes_of(examples: Examples, n_items: int, known: Any = None) -> Any:
    """What users like as canonical CSR float32, together with what is known already."""
    rows, cols = examples.rows, examples.cols
    weights = np.ones(len(rows), np.float32)
    if examples.weights is not None:
        weights = examples.weights
        if (weights < 0).any():
            raise ValueError(
                f"sample_weight must not be negative, got {weights.min()}: nothing is liked less "
                "than not at all; leave such interactions out"
            )
        mean = weights.mean(dtype=np.float64) if len(weights) else 1.0
        weights = (weights / (mean or 1.0)).astype(np.float32)
    if examples.positive is not None:
        rows, cols, weights = (array[examples.positive] for array in (rows, cols, weights))
    n_users = max(examples.shape[0], 0 if known is None else known.shape[0])
    coo: Any = sp.coo_matrix((weights, (rows, cols)), shape=(n_users, n_items))
    likes = coo.tocsr()  # which adds up what is there twice
    if examples.weights is None:
        likes.data[:] = 1
    elif likes.nnz < coo.nnz:
        likes = _largest(coo)
    if known is not None:
        before: Any = known.copy()
        before.resize(n_users, n_items)
        likes = before.maximum(likes)
    likes.eliminate_zeros()
    return likes


def _largest(coo: Any) -> Any:
    """The matrix as CSR, with the largest value of each pair."""
    order = np.lexsort((-coo.data, coo.col, coo.row))
    rows, cols, values = coo.row[order], coo.col[order], coo.data[order]
    is_first = np.ones(len(rows), bool)
    is_first[1:] = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1])
    entries = values[is_first], (rows[is_first], cols[is_first])
    return sp.coo_matrix(entries, shape=coo.shape).tocsr()
