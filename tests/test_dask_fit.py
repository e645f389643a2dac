"""Training on a cluster: one worker trains what `LightFM` does, several the same in every run."""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from clusters import assert_same, cluster, learned, records, within
from helpers import LOSSES, SCHEDULES, pairwise, random_features

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
import distributed
import pandas as pd
from dask import delayed
from distributed import Client

from lightfm_clone import LightFM
from lightfm_clone._model.advice import FitWarning
from lightfm_clone.callbacks import EarlyStopping
from lightfm_clone.dask import driver, host
from lightfm_clone.dask.model import DaskLightFM

N_USERS, N_ITEMS = 90, 40


@pytest.fixture(autouse=True)
def _limit():
    with within(300):
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
        model.set_params(loss="warp").client = second  # of the next fit
        assert model.client_ is another
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


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 8])
def test_other_numbers_of_workers(n):
    with cluster(n) as client:
        model = model_on(client).fit(interactions(), epochs=3)
        assert len(model._served.dealt.data) == n
        assert_same(model, model_on(client).fit(_array(interactions(), 11), epochs=3))
        assert model.history_[-1]["loss"] < model.history_[0]["loss"]


def _threads_of_hosts():
    return [found._threads for found in host._HOSTS.values()]


def test_workers_train_with_their_threads():
    with cluster(1, threads_per_worker=2) as client:

        def look(model, record):
            assert [*client.run(_threads_of_hosts).values()] == [[2]]

        model = model_on(client)
        model.fit(interactions(n_entries=3000), epochs=2, num_threads=1, callbacks=look)
        assert np.isfinite(model.to_local().user_embeddings).all()


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


# ---- what follows a fit as it goes ---------------------------------------------------------------


def held_out():
    rest = interactions(seed=5).multiply(interactions().toarray() == 0).tocsr()
    rest.eliminate_zeros()
    rest.data[:] = 1
    return rest.tocoo()


@pytest.mark.parametrize("n_workers", [1, 2])
def test_callbacks_and_validation_see_what_they_see_on_one_machine(client, single, n_workers):
    seen = []

    def look(model, record):
        arrays = {name: getattr(model, name).copy() for name in ("item_embeddings", "item_biases")}
        seen.append((record, arrays))
        return len(seen) % 3 == 0

    look.on_fit_begin = lambda model: seen.append("begin")
    look.on_fit_end = lambda model: seen.append("end")
    seen.clear()

    def fit(model):
        seen.clear()
        return model.fit(
            interactions(),
            epochs=9,
            callbacks=look,
            validation={"interactions": held_out(), "metrics": ["ndcg@5", "auc"]},
        )

    there = fit(model_on(client if n_workers == 2 else single))
    of_there = [*seen]
    assert of_there[0] == "begin" and of_there[-1] == "end" and len(of_there) == 4
    for record, arrays in of_there[1:-1]:
        assert {"epoch", "seconds", "loss", "ndcg@5", "auc"} <= {*record}
        assert arrays["item_embeddings"].shape == (N_ITEMS, 6)
    np.testing.assert_array_equal(there.item_embeddings, of_there[-2][1]["item_embeddings"])
    of_last = there.evaluate(held_out(), metrics=["ndcg@5", "auc"])
    assert {name: there.history_[-1][name] for name in of_last} == dict(of_last)
    if n_workers == 1:
        here = fit(LightFM(loss="warp", no_components=6, random_state=3))
        assert [*map(str, records(here))] == [*map(str, records(there))]
        assert_same(here, there)


def test_early_stopping_goes_back_to_its_best_epoch(client):
    class Judged(EarlyStopping):
        """Worse after the second epoch."""

        def __call__(self, model, record):
            if record["epoch"] == 2:
                self.best = learned(model.to_local())
            return super().__call__(model, record | {"loss": abs(record["epoch"] - 2)})

    stopping = Judged("loss", patience=2)
    model = model_on(client).fit(interactions(), epochs=9, callbacks=[stopping])
    assert (stopping.best_epoch_, len(model.history_)) == (2, 4)
    for name, array in learned(model).items():
        if not name.startswith("random"):
            np.testing.assert_array_equal(array, stopping.best[name], err_msg=name)


def _refuse(model, record):
    if record["epoch"] == 2:
        raise ArithmeticError("not this one")


@pytest.mark.parametrize(
    "given, parameters, error, text",
    [
        ({}, {"learning_rate": 1e30, "loss": "logistic"}, ValueError, "diverged"),
        ({"callbacks": [_refuse]}, {}, ArithmeticError, "not this one"),
        ({"callbacks": [1]}, {}, ValueError, "callable"),
        ({"callbacks": [EarlyStopping()]}, {}, ValueError, "validation"),
        ({"epochs": -1}, {}, ValueError, "epochs"),
        ({"num_threads": 0}, {}, ValueError, "num_threads"),
        ({}, {"loss": "none"}, ValueError, "loss"),
        ({"item_features": sp.identity(3)}, {}, ValueError, "item_features"),
        ({"sample_weight": interactions(seed=8)}, {}, ValueError, "sample_weight"),
        ({"interactions": np.ones((3, 3))}, {}, ValueError, "interactions"),
        ({"validation": sp.identity(3)}, {}, ValueError, "interactions"),
        ({"validation": interactions()}, {}, ValueError, "must not share entries with interact"),
        ({"validation": sp.coo_matrix((N_USERS, N_ITEMS))}, {}, ValueError, "got none"),
    ],
)
def test_after_an_error_the_model_is_as_it_was(client, given, parameters, error, text):
    for model in (model_on(client), model_on(client).fit(interactions())):
        for name, value in parameters.items():
            setattr(model, name, value)
        before = dict(model.__dict__)
        of_random_state = model.random_state.get_state()[1].copy()
        for fit in (model.fit, model.fit_partial):
            with pytest.raises(error, match=text):
                fit(**{"interactions": interactions(), "epochs": 3} | given)
            assert model.__dict__ == before
            np.testing.assert_array_equal(model.random_state.get_state()[1], of_random_state)
    model.set_params(learning_rate=0.05, loss="warp").fit_partial(interactions())


def test_what_a_cluster_cannot_do_is_refused(client):
    model = model_on(client)
    with pytest.raises(NotImplementedError, match="known_interactions must be None"):
        model.fit_partial(interactions(), known_interactions=interactions())
    with pytest.raises(ValueError, match="not fitted"):
        model.recommend()
    with pytest.raises(NotImplementedError, match="to_local"):
        model.explain(1, 2)


def test_ids_that_cannot_be_read_are_named(client):
    frame = frame_of(interactions())
    frame["user"] = frame["user"].astype("Int64")
    frame.loc[4, "user"] = pd.NA
    model = model_on(client)
    with pytest.raises(ValueError, match="user.*missing"):
        model.fit(dd.from_pandas(frame, npartitions=3))
    assert model._served is None


def test_warnings_come_once(client):
    matrix = interactions()
    matrix.data[:] = 1
    with pytest.warns(FitWarning, match="positives alone") as caught:
        model_on(client, loss="logistic").fit(matrix, epochs=2)
    assert len(caught) == 1


def test_progress_is_shown(client, capsys):
    model_on(client).fit(interactions(), epochs=2, verbose=True)
    shown = "".join(capsys.readouterr())
    assert "2/2" in shown or "Epoch 1" in shown


def test_a_shard_that_a_host_was_about_to_take_over_is_trained_by_its_own_host(
    client, reference, monkeypatch
):
    """As where the one that was to give it dies, and another host takes it over in the end."""
    original = driver.Drive.step

    def step(self, piece, settings):
        if self._number == 2:
            self._bring({0: self._members[1]})
        found = original(self, piece, settings)
        assert sorted(shard for done in self.dones for shard in done.totals) == [0, 1]
        return found

    monkeypatch.setattr(driver.Drive, "step", step)
    assert_same(model_on(client).fit(interactions(), epochs=3), reference)


# ---- Ctrl-C --------------------------------------------------------------------------------------


def test_an_interrupt_leaves_what_was_trained_by_then_as_on_one_machine(single):
    ended = []

    def interrupt(model, record):
        if record["epoch"] % 2 == 0:
            raise KeyboardInterrupt

    interrupt.on_fit_end = ended.append
    here, there = (
        LightFM(loss="warp", no_components=6, random_state=3),
        model_on(single),
    )
    for model in (here, there):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                model.fit_partial(interactions(), epochs=5, callbacks=[interrupt])
    assert ended == [here, here, there, there]
    assert_same(here, there)
    for model in (here, there):
        model.fit_partial(interactions(), epochs=1)
    assert_same(here, there)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_in_the_middle_of_a_step(client, monkeypatch):
    original = driver.Drive._call
    n_steps = 0

    def call(self, method, *arguments):
        nonlocal n_steps
        n_steps += method == "step"
        if n_steps == 20 and method == "step":
            threading.Timer(0.002, os.kill, (os.getpid(), signal.SIGINT)).start()
        return original(self, method, *arguments)

    monkeypatch.setattr(driver.Drive, "_call", call)
    model = model_on(client)
    with pytest.raises(KeyboardInterrupt):
        model.fit(interactions(), epochs=200)
    assert 1 <= len(model.history_) < 200
    assert np.isfinite(model.to_local().user_embeddings).all()
    monkeypatch.undo()
    assert len(model.fit_partial(interactions()).history_) > 1


def test_an_interrupt_before_the_first_step_leaves_the_model_as_it_was(client, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    model = model_on(client).fit(interactions())
    before = dict(model.__dict__)
    monkeypatch.setattr(driver.Drive, "step", interrupt)
    for fit in (model.fit, model.fit_partial):
        with pytest.raises(KeyboardInterrupt):
            fit(interactions())
        assert model.__dict__ == before


# ---- clients, and the model as an object ---------------------------------------------------------


def test_two_fits_at_once_give_what_each_gives_alone(client, reference):
    other = interactions(seed=2)
    alone = model_on(client, loss="bpr").fit(other, epochs=3)
    with Client(client.cluster, set_as_default=False) as second:
        models = [model_on(client), model_on(second, loss="bpr")]
        threads = [
            threading.Thread(target=model.fit, args=(given,), kwargs={"epochs": 3})
            for model, given in zip(models, (interactions(), other), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_same(models[0], reference)
        assert_same(models[1], alone)


def test_the_client_is_the_given_one_or_the_current_one(client, monkeypatch):
    model = DaskLightFM()
    assert model.client is None and model.client_ is distributed.default_client()
    assert DaskLightFM(client=client).client_ is client

    def nobody():
        raise ValueError("No clients found")

    monkeypatch.setattr("lightfm_clone.dask.model.default_client", nobody)
    with pytest.raises(ValueError, match="client is None.*make one"):
        model.fit(interactions())
    with pytest.raises(ValueError, match="client must be a distributed.Client.*got str"):
        DaskLightFM(client="tcp://127.0.0.1:8786").fit(interactions())

    async def ask_later():
        address = client.scheduler.address
        async with Client(address, asynchronous=True, set_as_default=False) as later:
            with pytest.raises(ValueError, match="client must be .* asynchronous"):
                DaskLightFM(client=later).fit(interactions())

    asyncio.run(ask_later())
    closed = Client(client.scheduler.address, set_as_default=False)
    fitted = model_on(closed).fit(interactions())
    closed.close()
    with pytest.raises(ValueError, match="client must be open"):
        model_on(closed).fit(interactions())
    with pytest.raises(ValueError, match="the client .* is closed.*fit again"):
        fitted.recommend()


def test_parameters_copies_and_pickles_of_a_model_that_is_not_fitted(client):
    model = model_on(client, no_components=7)
    assert model.get_params() == LightFM(**model.get_params()).get_params()
    assert model.set_params(no_components=5).no_components == 5
    assert "DaskLightFM(" in repr(model) and "no_components=5" in repr(model)
    base = pytest.importorskip("sklearn.base")
    for made in (copy.copy(model), copy.deepcopy(model), base.clone(model)):
        assert type(made) is DaskLightFM and made.no_components == 5
    assert copy.copy(model).client is client and copy.deepcopy(model).client is client
    again = pickle.loads(pickle.dumps(model))
    assert again.client is None and again.get_params()["no_components"] == 5
    with client.as_current():  # of the clients of this process
        assert_same(again.fit(interactions()), model.fit(interactions()))


# ---- the interface is that of `LightFM` ----------------------------------------------------------

SHARED = (
    "__init__",
    "fit",
    "fit_partial",
    "predict",
    "recommend",
    "get_params",
    "set_params",
    "save",
    "load",
    "similar_items",
    "fold_in_users",
    "get_item_representations",
)


@pytest.mark.parametrize("name", SHARED)
def test_methods_take_what_those_of_one_machine_take(name):
    here, there = (
        dict(inspect.signature(getattr(of, name)).parameters) for of in (LightFM, DaskLightFM)
    )
    client = there.pop("client", None)
    if client is not None:
        assert name in ("__init__", "load")
        assert client.kind is client.KEYWORD_ONLY and client.default is None
    shape = [
        {parameter: (each.kind, each.default) for parameter, each in of.items()}
        for of in (here, there)
    ]
    assert shape[0] == shape[1]


REPLACED = {
    "fit": {
        "interactions",
        "user_features",
        "item_features",
        "sample_weight",
        "num_threads",
        "validation",
        "callbacks",
    },
    "fit_partial": {"known_interactions"},
    "predict": {"user_ids", "item_ids", "item_features, user_features", "num_threads"},
    "recommend": {"user_ids", "user_features, item_features", "exclude", "items"},
    "__init__": {"client"},
}


def _entries(text):
    """The entries of the parameters of a docstring by their names."""
    parameters = inspect.cleandoc(text).split("Parameters\n----------\n")[1].split("\n\n")[0]
    entries, name = {}, ""
    for line in parameters.splitlines():
        if not line.startswith(" "):
            name = line.split(" : ")[0]
        entries[name] = [*entries.get(name, []), line]
    return entries


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_docstrings_are_those_of_one_machine_but_for_what_differs(name):
    here, there = (
        _entries((of if name == "__init__" else getattr(of, name)).__doc__)
        for of in (LightFM, DaskLightFM)
    )
    assert {*there} - {*here} <= {"client"}
    assert {*here} <= {*there}
    differ = {entry for entry in there if there[entry] != here.get(entry)}
    assert differ == REPLACED[name]
