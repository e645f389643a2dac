"""Training on a cluster: one worker trains what `LightFM` does, several the same in every run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from clusters import assert_same, cluster, within
from helpers import LOSSES, SCHEDULES, pairwise, random_features

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
import pandas as pd
from dask import delayed
from distributed import Client

from lightfm_clone import LightFM
from lightfm_clone._model.advice import FitWarning
from lightfm_clone._model.losses import LOSSES as KINDS
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.dask.model import DaskLightFM
from lightfm_clone.datasets import synthetic_catalogue

N_USERS, N_ITEMS = 90, 40


@pytest.fixture(autouse=True)
def _limit():
    with within(90):
        yield


@pytest.fixture(scope="module")
def single():
    """The client of a cluster of one process."""
    with cluster(1) as client:
        yield client


def interactions(seed=0, n_users=N_USERS, n_items=N_ITEMS, n_entries=900):
    """Sorted, as shards are; everybody has some, and everything is in some; a few are negative."""
    rng = np.random.default_rng(seed)
    places = {n * n_items + n % n_items for n in range(max(n_users, n_items))}
    places |= {*rng.choice(n_users * n_items, n_entries, replace=False).tolist()}
    rows, cols = np.divmod(sorted(place for place in places if place < n_users * n_items), n_items)
    values = rng.choice([1.0, 2.0, -1.0], len(rows), p=[0.7, 0.1, 0.2]).astype(np.float32)
    return sp.coo_matrix((values, (rows, cols)), (n_users, n_items))


def weights_of(matrix, seed=1):
    values = np.random.default_rng(seed).choice([0.5, 1.0, 2.0], matrix.nnz).astype(np.float32)
    return sp.coo_matrix((values, (matrix.row, matrix.col)), matrix.shape)


def model_on(client, **parameters):
    return DaskLightFM(
        **({"loss": "warp", "no_components": 6, "random_state": 3} | parameters), client=client
    )


# ---- one worker ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss, schedule, alpha, with_features, weighted, negatives, epochs",
    pairwise(
        LOSSES,
        SCHEDULES,
        (0.0, 1e-4),
        (False, True),
        (False, True),
        ("all", "seen"),
        ((3,), (1, 2)),
    ),
)
def test_one_worker_trains_what_one_machine_trains(
    single, loss, schedule, alpha, with_features, weighted, negatives, epochs
):
    matrix = interactions()
    parameters = {
        "loss": loss,
        "learning_schedule": schedule,
        "item_alpha": alpha,
        "user_alpha": 2 * alpha,
        "negatives": negatives,
        "no_components": 6,
    }
    given = {"sample_weight": weights_of(matrix)} if weighted else {}
    if with_features:
        given |= {
            "user_features": sp.hstack([sp.identity(N_USERS), random_features(N_USERS, 4)], "csr"),
            "item_features": random_features(N_ITEMS, 7, seed=1),
        }
    here, there = (
        of(**parameters, random_state=np.random.RandomState(7))
        for of in (LightFM, lambda **each: DaskLightFM(**each, client=single))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        for n in epochs:
            for model in (here, there):
                model.fit_partial(matrix, epochs=n, **given)
    assert_same(here, there)
    assert there.global_mean_ == here.global_mean_
    np.testing.assert_array_equal(there.item_embeddings, here.item_embeddings)


def test_fit_starts_afresh_and_goes_on_from_the_stream(single):
    matrix = interactions()
    here, there = LightFM(loss="bpr", random_state=1), model_on(None, loss="bpr", no_components=10)
    there.set_params(random_state=1)
    there.client = single
    for model in (here, there):
        model.fit(matrix, epochs=2).fit(matrix, epochs=1)
    assert_same(here, there)


# ---- several -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(client):
    return model_on(client).fit(interactions(), epochs=3)


def frame_of(matrix):
    return pd.DataFrame({"user": matrix.row, "item": matrix.col, "value": matrix.data})


def _array(matrix, size):
    dense = da.from_array(matrix.toarray(), chunks=(size, matrix.shape[1]))
    return dense.map_blocks(sp.csr_matrix)


def _parquet(matrix, folder):
    paths = []
    for number in range(3):
        paths.append(folder / f"{number}.parquet")
        frame_of(matrix).iloc[number::3].to_parquet(paths[-1])
    return paths


@pytest.mark.parametrize(
    "given",
    [
        lambda matrix, folder: matrix,
        lambda matrix, folder: matrix.tocsc(),
        lambda matrix, folder: _array(matrix, 90),
        lambda matrix, folder: _array(matrix, 7),
        lambda matrix, folder: [delayed(matrix.tocsr()[:50]), delayed(matrix.tocsr()[50:])],
        lambda matrix, folder: frame_of(matrix),
        lambda matrix, folder: dd.from_pandas(frame_of(matrix), npartitions=5),
        lambda matrix, folder: dd.from_pandas(
            frame_of(matrix).sample(frac=1, random_state=0), npartitions=2, sort=False
        ),
        _parquet,
    ],
    ids=["again", "csc", "one block", "blocks", "delayed", "table", "frame", "shuffled", "parquet"],
)
def test_a_run_is_the_same_however_the_interactions_are_given(client, reference, given, tmp_path):
    model = model_on(client).fit(given(interactions(), tmp_path), epochs=3)
    assert_same(model, reference)


def test_a_run_is_the_same_on_another_cluster_and_with_another_client(reference):
    with cluster(2) as another, Client(another.scheduler.address, set_as_default=False) as second:
        model = model_on(another).fit(interactions(), epochs=3)
        assert_same(model, reference)
        model.client = second
        model.client_.run(len, [])
        again = model_on(second).fit(interactions(), epochs=3)
        assert_same(again, model)
        assert_same(
            model.fit_partial(interactions(), epochs=2),
            again.fit_partial(interactions(), epochs=2),
        )


def test_features_weights_and_several_calls_are_reproducible(client):
    matrix = interactions()
    given = {
        "sample_weight": weights_of(matrix),
        "user_features": sp.hstack([sp.identity(N_USERS), random_features(N_USERS, 4)], "csr"),
        "item_features": random_features(N_ITEMS, 7, seed=1),
    }
    models = [
        model_on(client, loss="bpr", item_alpha=1e-5)
        .fit(matrix, epochs=1, **given)
        .fit_partial(matrix, epochs=2, **given)
        for _ in range(2)
    ]
    assert_same(*models)
    assert [record["epoch"] for record in models[0].history_] == [1, 2, 3]
    assert models[0].history_[-1]["loss"] < models[0].history_[0]["loss"]


@pytest.mark.parametrize("loss", sorted(KINDS))
def test_several_workers_learn_what_one_machine_learns(client, loss):
    films = synthetic_catalogue(300, 100, 9000, random_state=0)
    train, test = random_train_test_split(films.interactions, random_state=0)
    if KINDS[loss].predicts_values:  # of which positives alone say nothing
        rest = sp.random(*train.shape, 0.1, "coo", np.float32, np.random.default_rng(0))
        rest.data[:] = -1
        train = (train + rest.multiply(train.toarray() == 0)).tocoo()
    found = []
    for model in (LightFM(random_state=3), model_on(client)):
        model.set_params(loss=loss, no_components=16)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            model.fit(train, epochs=8)
        local = model if type(model) is LightFM else model.to_local()
        from lightfm_clone.evaluation import evaluate

        found.append(
            evaluate(
                local,
                test,
                train.multiply(train > 0),
                metrics=["ndcg@10"],
                check_intersections=False,
            )["ndcg@10"]
        )
    print(loss, found)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 8])
def test_other_numbers_of_workers(n):
    with cluster(n) as client:
        model = model_on(client).fit(interactions(), epochs=3)
        assert len(model._served.dealt.data) == n
        assert_same(model, model_on(client).fit(_array(interactions(), 11), epochs=3))
        assert model.history_[-1]["loss"] < model.history_[0]["loss"]


def test_workers_train_with_their_threads():
    with cluster(1, threads_per_worker=2) as client:
        model = model_on(client).fit(interactions(n_entries=3000), epochs=5, num_threads=1)
    losses = [record["loss"] for record in model.history_]
    local = LightFM(loss="warp", no_components=6, random_state=3)
    local.fit(interactions(n_entries=3000), epochs=5)
    # Threads write over each other's steps now and then, which is all that differs.
    np.testing.assert_allclose(losses, [record["loss"] for record in local.history_], rtol=0.1)


@pytest.mark.parametrize("n_users", [1, 2, 3])
def test_few_users_and_shards_with_little(client, n_users):
    matrix = interactions(n_users=n_users, n_items=5, n_entries=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        model = model_on(client).fit(matrix, epochs=2)
        again = model_on(client).fit(matrix, epochs=2)
    assert_same(model, again)
    assert model.to_local().user_embeddings.shape == (n_users, 6)
    assert model.recommend(k=2)[0].shape == (n_users, 2)


def test_partitions_and_rows_without_interactions(client):
    frame = frame_of(interactions())
    empty = frame.iloc[:0]
    parts = dd.concat([dd.from_pandas(part, npartitions=1) for part in (empty, frame, empty)])
    assert_same(model_on(client).fit(parts), model_on(client).fit(frame))
    lonely = sp.vstack([interactions(), sp.csr_matrix((30, N_ITEMS))], format="coo")
    model = model_on(client).fit(lonely)
    assert model.to_local().user_embeddings.shape == (N_USERS + 30, 6)


def test_a_shard_whose_interactions_are_all_negative_trains_with_the_others(client):
    matrix = interactions()
    model = model_on(client).fit(matrix)
    shards = model._served.dealt.deal.shard_of(np.arange(N_USERS))
    matrix.data[shards[matrix.row] == 1] = -1
    trained = model_on(client).fit(matrix, epochs=2)
    assert_same(trained, model_on(client).fit(matrix, epochs=2))
    assert np.isfinite(trained.item_embeddings).all()
