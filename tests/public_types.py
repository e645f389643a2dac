"""What a type checker sees of the public API. Never run: `make lint` checks it with mypy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from typing_extensions import assert_type

from lightfm_clone import LightFM, PreparedModel
from lightfm_clone.callbacks import Checkpoint, EarlyStopping
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.data import Dataset
from lightfm_clone.evaluation import Comparison, Evaluation, auc_score, evaluate, precision_at_k
from lightfm_clone.search import InteractionEstimator
from lightfm_clone.typing import (
    Callback,
    CsrMatrix,
    Floats,
    Id,
    RankedLists,
    Record,
    Representations,
)


class Subclass(LightFM):
    pass


class Stopping(EarlyStopping):
    def __call__(self, model: Subclass, record: dict[str, Any]) -> bool:
        return super().__call__(model, record)


def stop(model: LightFM, record: Record) -> bool:
    return bool(record["loss"] < 0.1)


def tell(model: Subclass, record: dict[str, Any]) -> None:
    print(model, record)


def use_model(coo: sp.coo_matrix, csr: sp.csr_matrix, array: sp.csr_array) -> None:
    model = Subclass(loss="warp", random_state=np.random.default_rng(0))
    callbacks: list[Callback] = [stop, tell, Stopping("loss"), Checkpoint("model.lfm")]
    held_out = {"interactions": csr, "exclude": None, "metrics": ["auc"]}
    assert_type(model.fit(coo, validation=held_out, callbacks=callbacks), Subclass)
    model.fit_partial(csr, array, sample_weight=coo, validation=csr, callbacks=stop)
    model.set_params(loss="bpr").resize(n_user_features=4).fit(np.eye(3), epochs=2)
    assert_type(Subclass.load("model.lfm"), Subclass)

    assert_type(model.item_embeddings, Floats)
    assert_type(model.history_, list[Record])
    assert_type(model.global_mean_, float)

    assert_type(model.predict(0, np.arange(3)), Floats)
    assert_type(model.predict([0, 1], [1, 2], item_features=array), Floats)
    assert_type(model.prepare(item_features=array), PreparedModel)
    assert_type(model.prepare().recommend(3, exclude=csr), RankedLists)
    assert_type(model.predict_rank(csr, array), CsrMatrix)
    assert_type(model.recommend([0, 1], 2, exclude=csr, items=range(2)), RankedLists)
    assert_type(model.similar_items(np.int32(0)), RankedLists)
    assert_type(model.get_user_representations(array), Representations)
    people = model.fold_in_users(csr)
    assert_type(people, Representations)
    model.recommend(user_representations=people)

    train, test = random_train_test_split(coo)
    assert_type(evaluate(model, test, train, groups=["a", "b"])["auc"], float)
    assert_type(evaluate(model, test).groups, dict[Id, Evaluation])
    comparison = Comparison({"a": evaluate(model, test)}, measures={"a": {"coverage": 0.5}})
    assert_type(comparison.differences["b"]["auc"].is_significant, bool)
    assert_type(auc_score(model, test, num_threads=2), npt.NDArray[np.floating[Any]])
    precision_at_k(model, csr, array, k=5).mean()

    estimator = InteractionEstimator((3, 3), user_features=array, loss="warp")
    assert_type(estimator.fit(np.zeros((2, 2))).score([[0, 1]]), float)


def use_dataset() -> None:
    dataset = Dataset()
    dataset.fit(["ann", "bob"], [1, 2], user_features={"young", "old"})
    interactions, weights = dataset.build_interactions([("ann", 1), ("bob", 2, 0.5)])
    features = dataset.build_user_features([("ann", ["young"]), ("bob", {"old": 2.0})])
    LightFM().fit(interactions, features, sample_weight=weights)
    assert_type(dataset.users_to_ids(["ann"]), npt.NDArray[np.int32])
