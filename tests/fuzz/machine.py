"""The public interface as a state machine: any call after any other, with hostile arguments."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lightfm_clone import LightFM, evaluation
from lightfm_clone.callbacks import EarlyStopping

from . import hostile, targets
from .targets import N_ITEMS, N_USERS, outcome, require

_ARRAYS = tuple(name for name in vars(LightFM()) if targets._is_array(name))


class Machine(RuleBasedStateMachine):
    """One model, to which everything happens."""

    @initialize(
        loss=st.sampled_from(("logistic", "bpr", "warp", "warp-kos", "mse", "softmax")),
        schedule=st.sampled_from(("adagrad", "adadelta", "sgd")),
    )
    def start(self, loss: str, schedule: str) -> None:
        self.model = LightFM(no_components=3, loss=loss, learning_schedule=schedule, random_state=0)

    def interactions(self, c: Any, n_users: int = N_USERS, n_items: int = N_ITEMS) -> Any:
        if c.integer(0, 2) == 0:
            return hostile.matrix(c, n_users, n_items)
        rng = np.random.default_rng(c.integer(0, 9))
        return sp.coo_matrix(rng.random((n_users, n_items)) < 0.4)

    def features(self, c: Any) -> dict[str, Any]:
        given = {}
        for name, n_rows in (("user_features", N_USERS), ("item_features", N_ITEMS)):
            kind = c.integer(0, 5)
            if kind == 0:
                given[name] = hostile.matrix(c, n_rows, 4)
            elif kind == 1:
                given[name] = sp.random(n_rows, 4, 0.5, "csr", np.float32, random_state=1)
        return given

    def before(self) -> dict[str, Any]:
        return {name: hostile.content(getattr(self.model, name)) for name in _ARRAYS}

    @rule(data=st.data(), method=st.sampled_from(("fit", "fit_partial", "fit_partial")))
    def fit(self, data: st.DataObject, method: str) -> None:
        c = hostile.Drawn(data)
        given, features = self.interactions(c), self.features(c)
        options: dict[str, Any] = {}
        if c.integer(0, 5) == 0:
            options["validation"] = self.interactions(c)
            options["callbacks"] = [EarlyStopping(patience=1)]
        if c.integer(0, 5) == 0:
            options["sample_weight"] = self.interactions(c)
        if c.integer(0, 8) == 0:
            options["epochs"] = c.pick((0, 2, -1, 1.5, None))
        if c.integer(0, 8) == 0:
            options["num_threads"] = c.pick((2, 0, None, 10**9))
        if c.integer(0, 2) == 0 and method == "fit_partial":
            options["resize"] = True
        before, finished = self.before(), False
        with outcome(given=given, **features):
            getattr(self.model, method)(given, **features, **options)
            finished = True
        if finished:
            for name in targets.ARRAYS:
                require(np.isfinite(getattr(self.model, name)).all(), f"{name} not finite")
        else:
            require(self.before() == before, "a refused fit changed the model")

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        c = hostile.Drawn(data)
        features = self.features(c)
        users, items = hostile.ids(c, N_USERS), hostile.ids(c, N_ITEMS)
        matrix = self.interactions(c)
        before = self.before()
        with outcome(users=users, items=items, matrix=matrix, **features):
            call = c.integer(0, 9)
            if call == 0:
                scores = self.model.predict(users, items, **features)
                require(scores.dtype == np.float32 and scores.ndim == 1, "type of scores")
            elif call == 1:
                ids, scores = self.model.recommend(users, 3, exclude=matrix, **features)
                require(ids.shape == scores.shape and ids.shape[1] == 3, "shape of lists")
            elif call == 2:
                ranks = self.model.predict_rank(matrix, self.interactions(c), **features)
                require(ranks.shape == matrix.shape, "shape of ranks")
            elif call == 3:
                self.model.similar_items(items, 3)
            elif call == 4:
                self.model.similar_users(users, 3, metric=c.pick(("dot", "cosine", 0)))
            elif call == 5:
                self.model.explain(users, items, **features)
            elif call == 6:
                evaluation.evaluate(self.model, matrix, self.interactions(c), **features)
            elif call == 7:
                self.model.score_vectors(**features)
            elif call == 8:
                biases, vectors = self.model.fold_in_users(matrix, epochs=2)
                require(np.isfinite(vectors).all() and np.isfinite(biases).all(), "not finite")
            else:
                self.model.fold_in_items(matrix, epochs=2)
        require(self.before() == before, "a question changed the model")

    @rule(data=st.data())
    def set_params(self, data: st.DataObject) -> None:
        c = hostile.Drawn(data)
        name = c.pick([name for name in self.model.get_params() if name != "random_state"])
        value = hostile.parameter(c)
        if name == "no_components":
            value = c.pick((1, 4, 17, 0, None))
        if c.integer(0, 3):
            with outcome():
                self.model.set_params(**{name: value})
        else:
            setattr(self.model, name, value)

    @rule(data=st.data())
    def assign(self, data: st.DataObject) -> None:
        c = hostile.Drawn(data)
        name = c.pick(_ARRAYS)
        shape = np.shape(getattr(self.model, name))
        if shape:
            setattr(self.model, name, hostile.array_like(c, shape))

    @rule(how=st.sampled_from(("pickle", "copy", "save", "mmap")))
    def go_through(self, how: str) -> None:
        path = os.path.join(hostile.scratch_folder(), f"lightfm-machine-{os.getpid()}")
        before = self.before()
        with outcome():
            if how == "pickle":
                self.model = pickle.loads(pickle.dumps(self.model))
            elif how == "copy":
                self.model = copy.deepcopy(self.model)
            else:
                try:
                    self.model.save(path)
                    self.model = LightFM.load(path, mmap=how == "mmap")
                finally:
                    with contextlib.suppress(OSError):
                        os.unlink(path)
        if how in ("pickle", "copy"):
            values = [
                [np.asarray(made[name][-1] if made[name] else 0) for name in _ARRAYS]
                for made in (before, self.before())
            ]
            require(all(map(np.array_equal, *values)), "another model came back")

    @rule(
        numbers=st.tuples(
            *[st.sampled_from((None, None, 0, 5, 7, 9, 12, -1, 1.5, "a", 2**31, 2**63))] * 2
        )
    )
    def resize(self, numbers: tuple[Any, Any]) -> None:
        before, finished = self.before(), False
        with outcome():
            self.model.resize(*numbers)
            finished = True
        if not finished:
            require(self.before() == before, "a refused resize changed the model")

    @rule()
    def reset(self) -> None:
        with outcome():
            self.model = LightFM(**self.model.get_params())

    @invariant()
    def can_be_shown(self) -> None:
        if hasattr(self, "model"):
            with outcome():
                repr(self.model)
                self.model.get_params()
