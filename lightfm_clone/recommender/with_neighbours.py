"""A model and neighbours whose scores are added.

Whatever is asked of the sum goes to what answers a LightFM, with the neighbours beside it
(`_model/beside.py`): the factors' panels and the neighbours' sums meet in one pass over the items.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone import evaluation
from lightfm_clone._model import explain as explaining
from lightfm_clone._model.beside import Beside
from lightfm_clone._model.explain import Explanation
from lightfm_clone._model.predict import predict, predict_rank
from lightfm_clone._model.recommend import PreparedModel, recommend
from lightfm_clone._model.state import Rows as RowsOf
from lightfm_clone.data import Dataset
from lightfm_clone.lightfm import LightFM
from lightfm_clone.persistence import model_from_parts, model_to_parts
from lightfm_clone.persistence.container import Arrays, Header, part_of, write
from lightfm_clone.persistence.loading import load
from lightfm_clone.recommender.item_neighbours import ItemNeighbours
from lightfm_clone.typing import (
    Callback,
    CsrMatrix,
    FeatureMatrix,
    Floats,
    HeldOut,
    Interactions,
    Path,
    RankedLists,
    Record,
    Representations,
    Rows,
    SampleWeight,
    Seed,
)

if TYPE_CHECKING:
    from typing_extensions import Self

WEIGHTS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0)


class WithNeighbours:
    """A model and item neighbours, one beside the other: the score is a sum.

    ::

        score = score of the model + weight * score of the neighbours

    Factors see what people are like; neighbours what exactly they had in common. The sum behaves as
    a LightFM: it is fitted, asked, evaluated, saved and taken into a `Recommender` like one.

    Parameters
    ----------
    model : LightFM
        Any loss; fitted or not.
    neighbours : ItemNeighbours, default ``ItemNeighbours()``
        Fitted or not.
    weight : float, default 5.0
        Of the neighbours, at least 0. The default is for ``loss="softmax"``, whose scores are
        cosines; between 3 and 7 it hardly matters. The scores of other losses are larger, and so
        is the best weight. `choose_weight` finds it on held-out data.

    Attributes
    ----------
    history_ : list of dicts
        That of the model.

    Raises
    ------
    ValueError, TypeError
        For a bad parameter.

    Notes
    -----
    Both parts are trained in place, and can be used by themselves at any time. A person is a row of
    the fit: their history goes with the row. So where `user_features` are passed, row i must be
    user i of the fit; people who are new are passed as `user_representations`.

    Examples
    --------
    >>> from lightfm_clone import ItemNeighbours, LightFM, WithNeighbours
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> films = synthetic_catalogue(random_state=0)
    >>> model = WithNeighbours(LightFM(loss="softmax", no_components=64, random_state=0))
    >>> model = model.fit(films.interactions, epochs=15)
    >>> ids, scores = model.recommend([3, 7], k=4, exclude=films.interactions)
    >>> ids.shape
    (2, 4)
    """

    @checks.names_ours
    def __init__(
        self,
        model: LightFM,
        neighbours: ItemNeighbours | None = None,
        weight: float = 5.0,
    ) -> None:
        if not isinstance(model, LightFM):
            raise TypeError(f"model must be a LightFM, got {model!r}")
        if neighbours is None:
            neighbours = ItemNeighbours()
        if not isinstance(neighbours, ItemNeighbours):
            raise TypeError(f"neighbours must be an ItemNeighbours, got {neighbours!r}")
        self.model = model
        self.neighbours = neighbours
        self.weight = _checked_weight(weight)

    def __repr__(self) -> str:
        return f"WithNeighbours({self.model!r}, {self.neighbours!r}, weight={self.weight!r})"

    # ---- parameters ------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name; the two parts are the live ones.

        With `deep`, those of the parts, too, as ``model__name`` and ``neighbours__name``.
        """
        params: dict[str, Any] = {
            "model": self.model,
            "neighbours": self.neighbours,
            "weight": self.weight,
        }
        if deep:
            for part in ("model", "neighbours"):
                own = params[part].get_params()
                params |= {f"{part}__{name}": value for name, value in own.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by the names that `get_params` gives them.

        Raises
        ------
        ValueError, TypeError
            For an unknown name or a bad value; nothing is changed then.
        """
        names = self.get_params()
        unknown = sorted(set(params) - set(names))
        if unknown:
            hint = checks.name_here(unknown[0], names)
            raise ValueError(f"unknown parameter {unknown[0]!r}; {hint}")
        own = {name: value for name, value in params.items() if "__" not in name}
        made = type(self)(**(self.get_params(deep=False) | own))
        of_parts = {
            part: {
                name.removeprefix(f"{part}__"): value
                for name, value in params.items()
                if name.startswith(f"{part}__")
            }
            for part in ("model", "neighbours")
        }
        for part, inner in of_parts.items():
            copy.copy(getattr(made, part)).set_params(**inner)  # which checks them
        self.__dict__.update(vars(made))
        for part, inner in of_parts.items():
            getattr(self, part).set_params(**inner)
        return self

    # What is read of a model, wherever one is expected.

    @property
    def history_(self) -> list[Record]:
        return self.model.history_

    @property
    def loss(self) -> str:
        return self.model.loss

    @property
    def global_mean_(self) -> float:
        return self.model.global_mean_

    @property
    def beside(self) -> Beside:
        """The neighbours as scores read them.

        Raises
        ------
        ValueError
            Before the first fit, or for a bad weight that was assigned.
        """
        return self.neighbours.beside._replace(weight=_checked_weight(self.weight))

    # ---- training --------------------------------------------------------------------------------

    @checks.names_ours
    def fit(
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        validation: HeldOut | None = None,
        callbacks: Sequence[Callback] | Callback = (),
    ) -> Self:
        """Fit both parts anew.

        Parameters, returned value and errors are those of `LightFM.fit`. The neighbours come first,
        so that the metrics of `validation` are of the sum. Callbacks get the model, whose arrays
        are trained.

        `sample_weight` is of the model's loss alone: the neighbours count each positive once, of
        ``loss="mse"`` each rating above 0. (To weigh them as well, or to show them other
        interactions, fit the two parts by themselves.)
        """
        given: dict[str, Any] = {
            "user_features": user_features,
            "item_features": item_features,
        }
        with self._restored():
            self.neighbours.fit(interactions, **given, num_threads=num_threads, verbose=verbose)
            self.model.fit(
                interactions,
                **given,
                sample_weight=sample_weight,
                epochs=epochs,
                num_threads=num_threads,
                verbose=verbose,
                **self._watched(validation, callbacks),
            )
        return self

    @checks.names_ours
    def fit_partial(
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        validation: HeldOut | None = None,
        callbacks: Sequence[Callback] | Callback = (),
        resize: bool = False,
        known_interactions: Interactions | None = None,
    ) -> Self:
        """Train the model on, and find the neighbours anew in all interactions that are known.

        Parameters, returned value and errors are those of `LightFM.fit_partial`. Where
        `known_interactions` are given, they and `interactions` are all that the neighbours know;
        else `interactions` are added to what they know already.
        """
        given: dict[str, Any] = {
            "user_features": user_features,
            "item_features": item_features,
        }
        how: dict[str, Any] = {"num_threads": num_threads, "verbose": verbose}
        with self._restored():
            fresh = copy.copy(self.neighbours)  # an interrupt leaves neighbours of all or none
            if known_interactions is None:
                fresh.fit_partial(interactions, **given, **how, resize=resize)
            else:
                fresh.fit(_of_both(known_interactions, interactions), **given, **how)
            self.neighbours.__dict__.update(vars(fresh))
            self.model.fit_partial(
                interactions,
                **given,
                sample_weight=sample_weight,
                epochs=epochs,
                **how,
                **self._watched(validation, callbacks),
                resize=resize,
                known_interactions=known_interactions,
            )
        return self

    def _watched(self, validation: Any, callbacks: Any) -> dict[str, Any]:
        if validation is None:
            return {"callbacks": callbacks}
        if not isinstance(validation, Mapping):
            validation = {"interactions": validation}
        return {"callbacks": callbacks, "validation": {**validation, "model": self}}

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Put the neighbours back when something is raised, as the model does with itself."""
        before = dict(vars(self.neighbours))
        try:
            yield
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                self.neighbours.__dict__.clear()
                self.neighbours.__dict__.update(before)
            raise

    @checks.names_ours
    def choose_weight(
        self,
        test_interactions: Interactions,
        train_interactions: Interactions | None = None,
        *,
        metric: str = "ndcg@10",
        weights: Sequence[float] = WEIGHTS,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
    ) -> dict[float, float]:
        """Set `weight` to the best of some, by a metric on held-out interactions.

        Nothing is trained: each weight takes one evaluation.

        Parameters
        ----------
        test_interactions : sparse matrix [n_users, n_items]
            Held out: neither part was fitted to them. Later interactions are better than a random
            part of the training data. A random part wants a higher weight than tomorrow's data do,
            because it shares its days, and its sessions, with what is left.
        train_interactions : sparse matrix [n_users, n_items], optional
            Left out of the rankings, as for `evaluate`.
        metric : str, default "ndcg@10"
            As `evaluation.evaluate` knows it.
        weights : sequence of numbers >= 0
        user_features, item_features : sparse matrices, default identity
        num_threads : int or None, default 1

        Returns
        -------
        dict from float to float
            The metric by weight. Of equal ones the lower weight is set.

        Raises
        ------
        ValueError
            For bad input; the weight stays as it was then.
        """
        tried = [_checked_weight(one, "weights") for one in weights]
        if not tried:
            raise ValueError("weights must hold at least one number, got none")
        before, found = self.weight, {}
        try:
            for self.weight in tried:
                result = evaluation.evaluate(
                    self,
                    test_interactions,
                    train_interactions,
                    metrics=[metric],
                    user_features=user_features,
                    item_features=item_features,
                    num_threads=num_threads,
                )
                found[self.weight] = float(result[metric])
        finally:
            self.weight = before
        self.weight = max(sorted(found), key=lambda one: found[one])
        return found

    # ---- what is asked of a model ----------------------------------------------------------------

    @checks.names_ours
    def predict(
        self,
        user_ids: Rows,
        item_ids: Rows,
        item_features: FeatureMatrix | None = None,
        user_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
    ) -> Floats:
        """Scores of pairs of users and items, float32 [n]; see `LightFM.predict`."""
        return predict(
            self.model,
            user_ids,
            item_ids,
            user_features=user_features,
            item_features=item_features,
            num_threads=num_threads,
            beside=self.beside,
        )

    @checks.names_ours
    def predict_rank(
        self,
        test_interactions: Interactions,
        train_interactions: Interactions | None = None,
        item_features: FeatureMatrix | None = None,
        user_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
        check_intersections: bool = True,
    ) -> CsrMatrix:
        """Ranks of test items among all items, CSR float32; see `LightFM.predict_rank`."""
        return predict_rank(
            self.model,
            test_interactions,
            train_interactions,
            user_features=user_features,
            item_features=item_features,
            num_threads=num_threads,
            check_intersections=check_intersections,
            beside=self.beside,
        )

    @checks.names_ours
    def recommend(
        self,
        user_ids: Rows | None = None,
        k: int = 10,
        *,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        exclude: Interactions | None = None,
        items: Rows | None = None,
        user_representations: Any = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k best items of each user, best first; see `LightFM.recommend`.

        `user_representations` are (biases, embeddings, histories), as `fold_in_users` makes them,
        or (biases, embeddings) of people without a history.
        """
        return recommend(
            self.model,
            user_ids,
            k,
            user_features=user_features,
            item_features=item_features,
            exclude=exclude,
            items=items,
            user_representations=user_representations,
            num_threads=num_threads,
            beside=self.beside,
        )

    @checks.names_ours
    def prepare(self, *, item_features: FeatureMatrix | None = None) -> PreparedModel:
        """The sum made ready for many requests; see `LightFM.prepare`."""
        return PreparedModel(self.model, item_features, self.beside)

    @checks.names_ours
    def similar_items(self, *args: Any, **kwargs: Any) -> RankedLists:
        """Those of the model; see `LightFM.similar_items`."""
        return self.model.similar_items(*args, **kwargs)

    @checks.names_ours
    def similar_users(self, *args: Any, **kwargs: Any) -> RankedLists:
        """Those of the model; see `LightFM.similar_users`."""
        return self.model.similar_users(*args, **kwargs)

    @checks.names_ours
    def get_user_representations(self, features: FeatureMatrix | None = None) -> Representations:
        """Those of the model; see `LightFM.get_user_representations`."""
        return self.model.get_user_representations(features)

    @checks.names_ours
    def get_item_representations(self, features: FeatureMatrix | None = None) -> Representations:
        """Those of the model; see `LightFM.get_item_representations`."""
        return self.model.get_item_representations(features)

    @checks.names_ours
    def fold_in_users(
        self,
        interactions: Interactions,
        *,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 20,
        num_threads: int | None = 1,
        random_state: Seed = None,
    ) -> tuple[Floats, Floats, CsrMatrix]:
        """New people by what they like; see `LightFM.fold_in_users`.

        Returns
        -------
        biases : float32 [n]
        embeddings : float32 [n, no_components]
        histories : CSR float32 [n, n_items]
            For ``recommend(user_representations=...)``.
        """
        of_model = self.model.fold_in_users(
            interactions,
            item_features=item_features,
            sample_weight=sample_weight,
            epochs=epochs,
            num_threads=num_threads,
            random_state=random_state,
        )
        *_, histories = self.neighbours.fold_in_users(interactions)
        histories.data *= np.float32(self.weight)
        return (*of_model, histories)

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
        """Why a score is what it is: the terms of the model and those of the history.

        Parameters, returned value and errors are those of `LightFM.explain`; the items of the
        user's history have the kind "history".
        """
        beside = self.beside
        beside.check_users(RowsOf(self.model, "user", user_features, without="warn").n)
        beside.check_items(RowsOf(self.model, "item", item_features, without="warn").n)
        of_model = self.model.explain(
            user_id,
            item_id,
            user_features=user_features,
            item_features=item_features,
            dataset=dataset,
        )
        of_history = explaining.of_history(beside, int(user_id), int(item_id), dataset)
        return explaining.explanation_of([*of_model.contributions, *of_history])

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write both parts to one file, without pickle; see `LightFM.save`."""
        write(path, type(self).__name__, *self.to_parts())

    @classmethod
    def load(cls, path: Path, *, model_class: type[LightFM] = LightFM) -> Self:
        """Read what `save` wrote.

        Nothing in a file is executed, so files of any origin may be loaded.

        Parameters
        ----------
        path : path
        model_class : class, default LightFM
            For a `model` of a class of your own.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is something else, damaged, or of a newer version of the format.
        """
        to_state = partial(cls._to_state, model_class=model_class)
        return load(cls, path, cls.__name__, set(), to_state)

    def to_parts(self) -> tuple[Header, Arrays]:
        """What a file holds of the sum."""
        parts = {"model": model_to_parts(self.model), "neighbours": self.neighbours.to_parts()}
        header = {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "required": [],
            "weight": self.weight,
            "parts": {name: header for name, (header, _) in parts.items()},
        }
        arrays = {
            f"{name}/{key}": array for name, (_, own) in parts.items() for key, array in own.items()
        }
        return header, arrays

    @classmethod
    def from_parts(
        cls, header: Header, arrays: Arrays, model_class: type[LightFM] = LightFM
    ) -> Self:
        """The sum of what `to_parts` made."""
        restored = cls.__new__(cls)
        restored.__dict__.update(cls._to_state(header, arrays, model_class))
        return restored

    @classmethod
    def _to_state(
        cls, header: Header, arrays: Arrays, model_class: type[LightFM]
    ) -> dict[str, Any]:
        parts: dict[str, Header] = {
            name: {"saved_by": header["saved_by"], **part} for name, part in header["parts"].items()
        }
        own = {name: part_of(arrays, name) for name in parts}
        return {
            "model": model_from_parts(model_class, parts["model"], own["model"]),
            "neighbours": ItemNeighbours.from_parts(parts["neighbours"], own["neighbours"]),
            "weight": _checked_weight(header["weight"]),
        }


def _of_both(known_interactions: Any, interactions: Any) -> Any:
    """The entries of two matrices in one, which may hold a pair twice."""
    known = checks.as_coo(known_interactions, "known_interactions")
    new = checks.as_coo(interactions, "interactions")
    values, rows, cols = (
        np.append(getattr(known, name), getattr(new, name)) for name in ("data", "row", "col")
    )
    shape = tuple(map(max, known.shape, new.shape))  # the model refuses those that differ
    return sp.coo_matrix((values, (rows, cols)), shape=shape)


def _checked_weight(weight: Any, name: str = "weight") -> float:
    if not checks.is_real(weight) or not 0 <= weight < np.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {weight!r}")
    return float(weight)
