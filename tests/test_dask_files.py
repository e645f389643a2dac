"""Models on a cluster in folders and pickles, and what a fit makes of what was learned before."""

from __future__ import annotations

import copy
import os
import pickle
import re
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from clusters import cluster

from lightfm_clone import LightFM
from lightfm_clone.callbacks import Checkpoint
from lightfm_clone.persistence import container

pytest.importorskip("distributed")

from lightfm_clone.dask import DaskLightFM, files
from lightfm_clone.dask import model as model_module
from lightfm_clone.dask.shards import ITEM_ARRAYS, USER_ARRAYS, KeptState

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


def unfitted(client, **further):
    return DaskLightFM(4, loss="warp", random_state=3, client=client, **further)


@pytest.fixture(scope="module")
def models(client):
    """A fitted model of each input, which no test changes."""
    made = {}

    def model_of(name):
        if name not in made:
            made[name] = unfitted(client, negatives="seen").fit(**INPUTS[name](), epochs=2)
        return made[name]

    return model_of


@pytest.fixture(scope="module")
def one_worker():
    with cluster(1) as client:
        yield client


@pytest.fixture(scope="module")
def three_workers():
    with cluster(3) as client:
        yield client


@pytest.fixture(params=INPUTS)
def kind(request):
    return request.param


@pytest.fixture
def nobody(monkeypatch):
    """There is no client in this process."""

    def default_client():
        raise ValueError("No clients found")

    monkeypatch.setattr(model_module, "default_client", default_client)
    monkeypatch.setattr(files.distributed, "default_client", default_client)


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


def assert_lists_are_those_of(model, other):
    for found, expected in zip(model.recommend(k=3), other.recommend(k=3), strict=True):
        np.testing.assert_array_equal(found, expected)


# ---- folders -------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_was_saved(client, kind, models, path):
    model = models(kind)
    model.save(path)
    assert [re.sub(r"\.[0-9a-f]{16}\.", ".", name) for name in sorted(os.listdir(path))] == [
        "model.lfm",
        "shard-00000-of-00002.lfm",
        "shard-00001-of-00002.lfm",
    ]
    loaded = DaskLightFM.load(path, client=client)
    assert loaded.get_params().keys() == model.get_params().keys()
    assert_same(loaded, model)
    np.testing.assert_array_equal(loaded._seen_items, model._seen_items)
    np.testing.assert_array_equal(loaded.user_ids_, model.user_ids_)
    assert (loaded.item_ids_ is None) == (model.item_ids_ is None)
    if model.item_ids_ is not None:
        assert loaded.item_ids_.tolist() == model.item_ids_.tolist()
    assert_lists_are_those_of(loaded, model)
    given = INPUTS[kind]()
    with pytest.raises(ValueError, match="exclude must be None or interactions, got 'known'"):
        loaded.recommend(k=3, exclude="known")
    found = loaded.recommend(k=3, exclude=given["interactions"])
    for one, other in zip(found, model.recommend(k=3, exclude="known"), strict=True):
        np.testing.assert_array_equal(one, other)
    # Both go on alike; of tables nothing need be told again.
    if kind == "tables":
        given = {"interactions": given["interactions"]}
    assert_same(
        loaded.fit_partial(**given, epochs=1), copy.copy(model).fit_partial(**given, epochs=1)
    )


def test_a_checkpoint_ends_as_the_undisturbed_fit(client, one_worker, kind, path):
    given = INPUTS[kind]()
    whole = unfitted(client).fit(**given, epochs=3, callbacks=[Checkpoint(path, every=2)])
    resumed = DaskLightFM.load(path, client=client)
    assert len(resumed.history_) == 2
    assert_same(resumed.fit_partial(**given, epochs=1), whole)
    # One worker with both shards is as good.
    resumed = DaskLightFM.load(path, client=one_worker).fit_partial(**given, epochs=1)
    assert_same(resumed, whole)


def test_more_workers_than_users(three_workers, path):
    given = sp.csr_matrix(matrix(2))
    client = three_workers
    whole = unfitted(client).fit(given, epochs=2, callbacks=[Checkpoint(path, every=1)])
    whole.fit_partial(given, epochs=1)
    resumed = DaskLightFM.load(path, client=client).fit_partial(given, epochs=1)
    assert len(resumed._served.states) == 2
    assert_same(resumed, whole)


def test_a_folder_is_whole_at_any_time(client, models, path, monkeypatch):
    one, other = models("matrix"), models("texts")
    one.save(path)
    before = sorted(os.listdir(path))
    (path / "notes.txt").write_text("mine")
    (path / ".lightfm-0123.tmp").write_text("of a worker that died")
    (path / "shard-00007-of-00009.0123.lfm").write_text("of a save that was interrupted")

    def refuse(*given):
        raise OSError("no space left")

    monkeypatch.setattr(files, "write", refuse)
    with pytest.raises(OSError, match="no space left"):
        other.save(path)
    monkeypatch.undo()
    assert sorted(os.listdir(path)) == sorted([*before, "notes.txt"])
    assert_same(DaskLightFM.load(path, client=client), one)

    broken = copy.copy(other)
    broken._served = copy.copy(other._served)
    broken._served.states = [*other._served.states[:1], _kept(client, "no state")]
    with pytest.raises(AttributeError):
        broken.save(path)
    assert_same(DaskLightFM.load(path, client=client), one)

    other.save(path)
    after = sorted(os.listdir(path))
    assert len(after) == len(before) + 1 and not {*after} & {*before} - {"model.lfm"}
    assert_same(DaskLightFM.load(path, client=client), other)


def _kept(client, content):
    return KeptState(client.submit(str, content, pure=False))


def test_where_models_cannot_be_saved_or_loaded(client, models, tmp_path, monkeypatch):
    model = models("matrix")
    with pytest.raises(ValueError, match=r"path must be a folder .* got the URL 's3://shop/model'"):
        model.save("s3://shop/model")
    with pytest.raises(ValueError, match="the URL"):
        DaskLightFM.load("s3://shop/model")
    with pytest.raises(TypeError, match="path must be a string"):
        model.save(3)
    with pytest.raises(ValueError, match="mmap must be False"):
        DaskLightFM.load(tmp_path, mmap=True)
    file = tmp_path / "file"
    file.write_text("text")
    with pytest.raises(FileExistsError):
        model.save(file)
    with pytest.raises(FileNotFoundError):
        DaskLightFM.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"file': it is not a file that a `save`"):
        DaskLightFM.load(file)
    with pytest.raises(ValueError, match="it is a folder without a file 'model.lfm'"):
        DaskLightFM.load(tmp_path)
    with pytest.raises(ValueError, match="not fitted"):
        unfitted(client).save(tmp_path / "unfitted")
    assert os.listdir(tmp_path) == ["file"]

    # Which class reads what.
    folder, single = tmp_path / "folder", tmp_path / "single"
    model.save(folder)
    model.to_local().save(single)
    with pytest.raises(ValueError, match=r"a folder that holds a DaskLightFM; call DaskLightFM\.l"):
        LightFM.load(folder)
    with pytest.raises(ValueError, match=r"it holds a LightFM, not a DaskLightFM; call LightFM\.l"):
        DaskLightFM.load(single)
    for name in os.listdir(folder):
        with pytest.raises(ValueError, match=r"it holds a DaskLightFM, not a LightFM; call Dask"):
            LightFM.load(folder / name)
        with pytest.raises(ValueError, match=rf"one of the files of a model.*load '{folder}'"):
            DaskLightFM.load(folder / name)

    # A folder that others do not see.
    isdir, isfile = os.path.isdir, os.path.isfile
    try:
        client.run(_blind, "isdir")
        with pytest.raises(FileNotFoundError, match=r"which the worker tcp://.* does not see"):
            model.save(tmp_path / "unseen")
    finally:
        client.run(_seeing, "isdir")
    monkeypatch.setattr(os.path, "isfile", lambda name: False)
    with pytest.raises(FileNotFoundError, match=r"does not see what the worker tcp://.* has writ"):
        model.save(tmp_path / "unseen")
    monkeypatch.undo()
    assert os.listdir(tmp_path / "unseen") == []
    assert (os.path.isdir, os.path.isfile) == (isdir, isfile)
    model.save(tmp_path / "unseen")
    (shard,) = (name for name in os.listdir(tmp_path / "unseen") if "shard-00001" in name)
    os.unlink(tmp_path / "unseen" / shard)
    with pytest.raises(FileNotFoundError, match=rf"{shard}' is not there for the worker tcp://"):
        DaskLightFM.load(tmp_path / "unseen", client=client)


_WAS = {}


def _blind(name):
    _WAS[name] = getattr(os.path, name)
    setattr(os.path, name, lambda path: False)


def _seeing(name):
    setattr(os.path, name, _WAS.pop(name))


@pytest.mark.parametrize("name", ["model", "shard-00001"])
def test_damaged_files(client, models, path, name):
    models("tables").save(path)
    (file,) = (path / found for found in os.listdir(path) if found.startswith(name))
    whole = file.read_bytes()
    for damaged, why in (
        (whole[:-1], "truncated"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "checksum of"),
        (whole[:40] + b"?" + whole[41:], "checksum of its header"),
        (whole[:8] + b"\x09" + whole[9:], "version 9"),
        (b"", "empty"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"cannot load .*{why}"):
            DaskLightFM.load(path, client=client)
    file.write_bytes(whole)
    DaskLightFM.load(path, client=client)


def test_files_of_different_models(client, models, path, tmp_path):
    one, other = path / "one", path / "other"
    models("matrix").save(one)
    models("matrix").save(other)
    mine, theirs = (sorted(os.listdir(folder)) for folder in (one, other))
    os.replace(other / theirs[1], one / mine[1])
    with pytest.raises(ValueError, match="belongs to another model"):
        DaskLightFM.load(one, client=client)


def test_hostile_files(models, nobody, path):
    """Whatever a file claims, with right checksums: a ValueError that names the file."""
    models("tables").save(path)
    names = sorted(os.listdir(path))
    for file in (path / names[0], path / names[2]):
        header, arrays = container.read(str(file), "DaskLightFM")
        del header["arrays"]

        def refused(header, arrays, file=file):
            container.write(file, "DaskLightFM", header, arrays)
            with pytest.raises(ValueError, match=f"cannot load '{path}"):
                DaskLightFM.load(path).to_local()

        for name, array in arrays.items():
            refused(header, {key: value for key, value in arrays.items() if key != name})
            if name != "of_buckets":
                refused(header, arrays | {name: array[:-1]})
            if array.dtype.kind in "iu" and "has_own" not in name:
                value = -7 if array.dtype.kind == "i" else 255
                refused(header, arrays | {name: np.full_like(array, value)})
        refused({**header, "random_state": 1, "parts": {"shards": {}}}, arrays)
        container.write(file, "DaskLightFM", header, arrays)
    DaskLightFM.load(path).to_local()

    header, arrays = container.read(str(path / names[0]), "DaskLightFM")
    del header["arrays"]
    for part, key, value in (
        ("deal", "n_shards", 3),
        ("deal", "kind", "whole numbers"),
        ("items", "n", 26),
        ("items", "ids", "floats"),
        ("users", "n_features", 5),
        ("users", "n_of_shards", [1, 2]),
        ("users", "n_of_shards", [1e3, "2"]),
        ("users", "has_features", 1),
        ("users", "told", {"encoder": {}}),
        ("shards", "names", ["../../etc/passwd", "x"]),
        ("shards", "tag", "0"),
        ("model", "required", ["wings"]),
        ("wings", "n", 2),
    ):
        parts = header["parts"]
        changed = {**parts, part: {**parts.get(part, {}), key: value}}
        container.write(path / names[0], "DaskLightFM", {**header, "parts": changed}, arrays)
        with pytest.raises(ValueError, match=f"cannot load '{path}"):
            DaskLightFM.load(path).to_local()


def test_workers_that_die_with_what_was_loaded_or_is_being_saved(path):
    with cluster(2) as client:
        model = unfitted(client).fit(matrix(), epochs=1)
        expected = model.to_local()
        time.sleep(3)  # in which Dask drops replicas that it can do without
        # It dies when it writes, and the other one writes all.
        victim = list(client.nthreads())[0]
        client.run(_die_when_writing, workers=[victim])
        model.save(path)
        assert victim not in client.nthreads()
        loaded = DaskLightFM.load(path, client=client)
        assert_same(loaded, expected)
        client.wait_for_workers(2)
        loaded = DaskLightFM.load(path, client=client)
        victim = list(client.nthreads())[0]
        os.kill(client.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)
        assert_lists_are_those_of(loaded, expected)


def _die_when_writing():
    files.write = lambda *given: os.kill(os.getpid(), signal.SIGKILL)


# ---- pickles -------------------------------------------------------------------------------------


def test_pickles(client, kind, models, nobody, path):
    model = models(kind)
    copied = pickle.loads(pickle.dumps(model))
    assert copied.client is None
    # Without a client there are items, and a whole model of one machine.
    expected = model.to_local()
    assert_same(copied, expected)
    np.testing.assert_array_equal(copied.user_ids_, model.user_ids_)
    others = {"item_features": INPUTS["features"]()["item_features"]} if kind == "features" else {}
    if kind != "tables":
        found = copied.similar_items(3, k=4, **others)
        for one, other in zip(found, expected.similar_items(3, k=4, **others), strict=True):
            np.testing.assert_array_equal(one, other)
        biases, embeddings = copied.get_item_representations(others.get("item_features"))
        assert embeddings.shape == (N_ITEMS, 4)
    with pytest.raises(ValueError, match="there is no current one"):
        copied.recommend(k=3)
    # A pickle of the pickle; and a folder that is loaded here.
    again = pickle.loads(pickle.dumps(copied))
    model.save(path)
    loaded = DaskLightFM.load(path)
    assert_same(loaded, expected)
    loaded = pickle.loads(pickle.dumps(loaded))
    for one in (again, loaded):
        one.client = client
        assert_lists_are_those_of(one, model)
        assert_same(one, expected)
    given = INPUTS[kind]()
    whole = copy.copy(model).fit_partial(**given, epochs=1)
    assert_same(again.fit_partial(**given, epochs=1), whole)


def test_other_copies(client, models, path):
    model = models("texts")
    for copied in (copy.copy(model), copy.deepcopy(model)):
        assert copied.client is client and copied._served is model._served
        assert_same(copied.fit_partial(table(matrix()), epochs=1).to_local(), copied)
    joblib.dump(model, path)
    assert_same(joblib.load(path), model)
    assert pickle.loads(pickle.dumps(unfitted(client))).get_params().keys() == (
        unfitted(client).get_params().keys()
    )
    code = (
        "import pickle, sys; model = pickle.load(open(sys.argv[1], 'rb'));"
        "print(model.to_local().predict([0], [1])[0], len(model.user_ids_))"
    )
    with open(path, "wb") as file:
        pickle.dump(model, file)
    found = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    expected = model.to_local().predict([0], [1])[0]
    assert found.stdout.split() == [str(expected), str(N_USERS)]


# ---- another call --------------------------------------------------------------------------------


def rows_of(model):
    """The rows of the user side by what users are called, or by column, of a local model."""
    local = model.to_local()
    names = model.user_ids_.tolist() if model.item_ids_ is not None else range(10**6)
    if "user_features" in model._fitted_with:
        names = range(len(local.user_biases))
    return {
        name: [getattr(local, array)[row].tolist() for array in USER_ARRAYS]
        for row, name in zip(range(len(local.user_biases)), names, strict=False)
    }


def grown(kind):
    """More users, items and features than in `INPUTS`; what was known has the numbers it had."""
    more = matrix(N_USERS + 9, N_ITEMS + 4, seed=5)
    if kind == "matrix":
        return {"interactions": more}
    if kind == "texts":
        return {"interactions": table(more)}
    if kind == "tables":
        users = ages(N_USERS + 9).iloc[50:]
        users["age"] += 2
        return {
            "interactions": table(more),
            "user_features": users,
            "item_features": colours(N_ITEMS + 4),
        }
    given = {"interactions": more}
    for side, n, n_new in (("user", N_USERS, 9), ("item", N_ITEMS, 4)):
        known = sp.csr_matrix(features(n))
        known.resize(n, known.shape[1] + n_new)
        new = sp.hstack([features(n_new, 7)[:, :7], sp.csr_matrix((n_new, n)), sp.identity(n_new)])
        given[f"{side}_features"] = sp.vstack([known, new], format="csr", dtype=np.float32)
    return given


def test_users_keep_their_rows_when_others_come(client, kind, models):
    """With no epoch in between, they and all that is known keep them, bit for bit."""
    model = models(kind)
    further = copy.copy(model).fit_partial(**grown(kind), epochs=0, resize=True)
    before, after = rows_of(model), rows_of(further)
    assert before.items() <= after.items() and len(after) > len(before)
    for name in ITEM_ARRAYS:
        known = getattr(model, name)
        np.testing.assert_array_equal(getattr(further, name)[: len(known)], known)
        assert len(getattr(further, name)) > len(known)
    # What is new differs from row to row, and has a first state.
    new = [after[name] for name in after.keys() - before.keys()]
    assert len({tuple(values[0]) for values in new}) == len(new)
    assert {tuple(values[1]) for values in new} == {(1.0,) * 4}
    assert len(further._served.states) == 2
    # A shard goes on with its own random numbers, but the first, which has drawn.
    states = [
        [kept.first.result().random_state.get_state()[1] for kept in each._served.states]
        for each in (model, further)
    ]
    if len(new):
        np.testing.assert_array_equal(states[0][1][:9], states[1][1][:9])
    with pytest.raises(ValueError, match="resize=True to grow"):
        copy.copy(model).fit_partial(**grown(kind))
    trained = further.fit_partial(**grown(kind), epochs=1)
    assert trained.recommend(k=3)[0].shape == (N_USERS + 9, 3)


def test_users_are_dealt_anew_to_more_workers(three_workers, models, tmp_path):
    for kind in INPUTS:
        models(kind).save(tmp_path / kind)
    client = three_workers
    for kind in INPUTS:
        given, expected = INPUTS[kind](), models(kind).to_local()
        more = DaskLightFM.load(tmp_path / kind, client=client)
        more.fit_partial(**given, epochs=0)
        assert len(more._served.states) == 3
        found = more.to_local()
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert_lists_are_those_of(more, models(kind))
    runs = [
        DaskLightFM.load(tmp_path / kind, client=client).fit_partial(**given, epochs=1)
        for _ in range(2)
    ]
    assert_same(*runs)


def test_one_worker_goes_on_as_one_machine(one_worker, path):
    def fitted(model):
        for loss, kind in (("warp", "matrix"), ("warp", "features"), ("softmax", "features")):
            model.set_params(loss=loss)
            model.fit(**INPUTS[kind](), epochs=1)
            model.fit_partial(**INPUTS[kind](), epochs=1)
            model.fit_partial(**grown(kind), epochs=1, resize=True)
            yield model

    local = fitted(LightFM(4, random_state=3))
    client = one_worker
    for model in fitted(DaskLightFM(4, random_state=3, client=client)):
        assert_same(model, next(local))
        model.save(path)
        assert_same(DaskLightFM.load(path, client=client), model)


def test_features_come_later(client, models):
    """Users who had rows of their own keep them as features."""
    model = models("texts")
    further = copy.copy(model).fit_partial(**INPUTS["tables"](), epochs=0, resize=True)
    ids = further.user_ids_.tolist()
    assert ids == model.user_ids_.tolist()
    data = client.gather(further._served.dealt.data)
    local, before = further.to_local(), rows_of(model)
    for shard in data:
        for row, user in enumerate(shard.ids):
            entries = shard.user_features[row]
            (own,) = shard.private[entries.indices[entries.indices < len(shard.private)]]
            assert [getattr(local, name)[own].tolist() for name in USER_ARRAYS] == before[user]
    assert further.recommend(k=3)[0].shape == (N_USERS, 3)
