"""Models on a cluster in folders and pickles, and what a fit makes of what was learned before."""

from __future__ import annotations

import copy
import os
import pickle
import re
import signal
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from clusters import cluster

from lightfm_clone import LightFM
from lightfm_clone.callbacks import Checkpoint, EarlyStopping
from lightfm_clone.persistence import container

pytest.importorskip("distributed")

from lightfm_clone.dask import DaskLightFM, files, fitting
from lightfm_clone.dask import model as model_module
from lightfm_clone.dask.shards import ITEM_ARRAYS, USER_ARRAYS

N_USERS, N_ITEMS = 60, 25
ARRAYS = (*USER_ARRAYS, *ITEM_ARRAYS)


def matrix(n_users=N_USERS, n_items=N_ITEMS, seed=0):
    return sp.random(n_users, n_items, 0.2, "csr", np.float32, np.random.default_rng(seed)).ceil()


def features(n, n_shared=7, seed=1):
    """Shared features, and one of each row's own."""
    shared = sp.random(n, n_shared, 0.4, "csr", np.float32, np.random.default_rng(seed))
    return sp.hstack([shared, sp.identity(n, np.float32)], format="csr")


def table(given):
    """The interactions of a matrix, with ids that are texts."""
    coo = given.tocoo()
    return pd.DataFrame({"user": [f"u{n:02}" for n in coo.row], "item": [f"ü{n}" for n in coo.col]})


def ages(n):
    return pd.DataFrame({"user": [f"u{n:02}" for n in range(n)], "age": [n % 4 for n in range(n)]})


def colours(n):
    names = ["red", "green", "blue"]
    return pd.DataFrame(
        {"item": [f"ü{n}" for n in range(n)], "colour": [names[n % 3] for n in range(n)]}
    )


INPUTS = {
    "matrix": lambda: {"interactions": matrix()},
    "features": lambda: {
        "interactions": matrix(),
        "user_features": features(N_USERS),
        "item_features": features(N_ITEMS),
    },
    "texts": lambda: {"interactions": table(matrix())},
    "tables": lambda: {
        "interactions": table(matrix()),
        "user_features": ages(N_USERS),
        "item_features": colours(N_ITEMS),
    },
}


@pytest.fixture(params=INPUTS)
def given(request):
    return INPUTS[request.param]()


def unfitted(client, **further):
    return DaskLightFM(4, loss="warp", random_state=3, client=client, **further)


def assert_same(left, right):
    """Check that two models have learned the same, bit for bit."""
    left, right = (
        model.to_local() if isinstance(model, DaskLightFM) else model for model in (left, right)
    )
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), name)
    for one, other in zip(left.history_, right.history_, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    state, other = (model.random_state.get_state() for model in (left, right))
    np.testing.assert_array_equal(state[1], other[1])
    assert state[2:] == other[2:]
    assert left._fitted_with == right._fitted_with and left.global_mean_ == right.global_mean_


# ---- folders -------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_was_saved(client, given, path):
    model = unfitted(client, negatives="seen").fit(**given, epochs=2)
    model.save(path)
    names = sorted(os.listdir(path))
    assert [re.sub(r"\.[0-9a-f]{16}\.", ".", name) for name in names] == [
        "model.lfm",
        "shard-00000-of-00002.lfm",
        "shard-00001-of-00002.lfm",
    ]
    loaded = DaskLightFM.load(path, client=client)
    assert loaded.get_params().keys() == model.get_params().keys()
    assert_same(loaded, model)
    np.testing.assert_array_equal(loaded._seen_items, model._seen_items)
    np.testing.assert_array_equal(loaded.user_ids_, model.user_ids_)
    if model.item_ids_ is None:
        assert loaded.item_ids_ is None
    else:
        assert loaded.item_ids_.tolist() == model.item_ids_.tolist()
    for one, other in zip(loaded.recommend(k=3), model.recommend(k=3), strict=True):
        np.testing.assert_array_equal(one, other)
    # Both go on alike.
    for one in (loaded, model):
        one.fit_partial(**given, epochs=2)
    assert_same(loaded, model)
