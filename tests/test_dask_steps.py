"""A fit on a cluster is what its shards and the rule of merging make of it, and nothing else.

The same shards are trained and merged here in one process, all rows at once, without hosts,
messages and ranges. What comes of it is equal bit for bit. So what is known of the rule by
simulation holds on a cluster.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import random_features

from lightfm_clone.datasets import synthetic_catalogue

dask_model = pytest.importorskip("lightfm_clone.dask")

from lightfm_clone._model import parameters  # noqa: E402
from lightfm_clone.dask import DaskLightFM, fitting  # noqa: E402
from lightfm_clone.dask.merging import Merging, of_a_shard, slices  # noqa: E402
from lightfm_clone.dask.shard import Piece, Shard, draw  # noqa: E402

FILMS = synthetic_catalogue(300, 120, 6_000, random_state=0)
EPOCHS = 2


def trained_here(model, dealt, data):
    """The items' arrays and the users' ones by shard, of a fit in one process."""
    settings = parameters.settings(model)
    whole, n = dealt.whole, len(data)
    items, shared, first = fitting.draw_items(model, dealt)
    given = parameters.of(model) | {"random_state": None}
    learned = {"global_mean_": 0.0, "_fitted_with": frozenset(), "_seen_items": None}
    shards = []
    for number, stream in enumerate(fitting.streams(first, n)):
        state = draw(given, data[number].n_private, shared, stream)
        counts = None if n == 1 else whole.item_counts
        shards.append(
            Shard(data[number], whole, given, learned, items, state, counts, None, num_threads=1)
        )
    n_rows = shards[0].n_shared
    base = shards[0].sheets(0, n_rows)
    has_features = whole.item_features is not None or len(whole.shared) > 0
    own = of_a_shard(settings, n, shared_users=len(whole.shared) > 0)
    merging = Merging(settings, shared_features=has_features)
    for epoch in range(EPOCHS):
        for begin, end in slices(settings, epoch, n, shared_features=has_features):
            piece = Piece(epoch, EPOCHS, begin, end)
            for shard in shards:
                shard.train(piece, own)
            if n > 1:
                parts = [
                    merging.contribution(base, shard.sheets(0, n_rows), piece.done)
                    for shard in shards
                ]
                sums = [np.zeros_like(array) for array in parts[0]]
                for part in parts:
                    for total, array in zip(sums, part, strict=True):
                        total += array
                base = merging.merge(base, sums, piece.done)
                for shard in shards:
                    shard.put(base)
            else:
                base = shards[0].sheets(0, n_rows)
    states = [shard.state(shard.snapshot()).arrays for shard in shards]
    return shards[0].items(base), states


@pytest.mark.parametrize("features", ["plain", "hybrid"])
@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "warp"},
        {"loss": "bpr", "item_alpha": 1e-4, "user_alpha": 1e-4},
        {"loss": "softmax"},
        {"loss": "logistic", "learning_schedule": "adadelta"},
    ],
    ids=lambda settings: settings["loss"],
)
def test_a_cluster_trains_what_one_process_trains(client, settings, features):
    n_users, n_items = FILMS.interactions.shape
    given = {}
    if features == "hybrid":
        given = {
            "user_features": random_features(n_users, 10),
            "item_features": random_features(n_items, 15),
        }
    model = DaskLightFM(8, random_state=3, client=client, **settings)
    model.fit(FILMS.interactions, epochs=EPOCHS, **given)
    served = model._served
    assert len(served.states) == 2
    data = client.gather(served.dealt.data)
    drawn = DaskLightFM(8, random_state=3, **settings)
    items, users = trained_here(drawn, served.dealt, data)
    for name, array in items.items():
        np.testing.assert_array_equal(array, getattr(model, name), err_msg=name)
    for kept, arrays in zip(served.states, users, strict=True):
        state = kept.at_hand().result()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, state.arrays[name], err_msg=name)
