"""Standing in for LightFM: the name `lightfm`, scripts written for it, and its old dumps."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import ARRAYS, all_scores, arrays_of, output_of, random_interactions, run_python

import lightfm_clone
from lightfm_clone import LightFM
from lightfm_clone.data import Dataset

# import lightfm


def test_every_module_resolves_to_this_package():
    code = """
import lightfm_clone
lightfm_clone.install_as_lightfm()
import lightfm, lightfm.data, lightfm.evaluation, lightfm.cross_validation, lightfm.datasets
import lightfm.lightfm
from lightfm import LightFM
from lightfm.lightfm import LightFM as Same
from lightfm.data import Dataset
from lightfm.datasets import fetch_movielens, fetch_stackexchange
from lightfm.datasets.movielens import fetch_movielens as same_fetch
from lightfm.cross_validation import random_train_test_split
from lightfm.evaluation import precision_at_k, recall_at_k, auc_score, reciprocal_rank
assert lightfm is lightfm_clone and LightFM is Same is lightfm_clone.LightFM
assert lightfm.data.Dataset is Dataset is lightfm_clone.data.Dataset
assert fetch_movielens is same_fetch
lightfm_clone.install_as_lightfm()  # twice does no harm
print(LightFM.__module__, Dataset.__module__, lightfm.__version__)
"""
    version = lightfm_clone.__version__
    assert output_of(code) == f"lightfm_clone.lightfm lightfm_clone.data {version}"


def test_new_code_needs_no_installing():
    code = """
import sys
import lightfm_clone as lightfm
for name in ("data", "evaluation", "cross_validation", "datasets", "lightfm"):
    assert getattr(lightfm, name).__name__ == f"lightfm_clone.{name}"
print(lightfm.LightFM(), "lightfm" in sys.modules)
"""
    assert output_of(code) == "LightFM() False"


@pytest.fixture
def other_lightfm(tmp_path) -> Path:
    """A folder with another package of the name, as if LightFM were installed."""
    package = tmp_path / "site" / "lightfm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .lightfm import LightFM\n")
    (package / "lightfm.py").write_text("class LightFM:\n    other = True\n")
    (package / "data.py").write_text("class Dataset:\n    other = True\n")
    return tmp_path / "site"


def test_beside_an_installed_lightfm(other_lightfm):
    code = """
import lightfm_clone
lightfm_clone.install_as_lightfm()
import lightfm, lightfm.data
print(hasattr(lightfm.LightFM, "other"), hasattr(lightfm.data.Dataset, "other"))
"""
    assert output_of(code, path=other_lightfm) == "False False"
    both = "import lightfm, lightfm_clone; print(lightfm.LightFM is lightfm_clone.LightFM)"
    assert output_of(both, path=other_lightfm) == "False"


@pytest.mark.parametrize("imported", ["lightfm", "lightfm.data", "lightfm.lightfm"])
def test_refuses_when_another_was_imported_before(other_lightfm, imported):
    code = f"""
import {imported}
import lightfm_clone
try:
    lightfm_clone.install_as_lightfm()
except ImportError as error:
    print(error)
assert hasattr(lightfm.LightFM, "other")
import lightfm.data
assert hasattr(lightfm.data.Dataset, "other")
"""
    message = output_of(code, path=other_lightfm)
    assert "imported before" in message and "install_as_lightfm() first" in message


# python -m lightfm_clone run

SCRIPT = """
import sys
import numpy as np
import scipy.sparse as sp
from lightfm import LightFM
from lightfm.data import Dataset
from lightfm.evaluation import auc_score
import neighbour

if __name__ == "__main__":
    model = LightFM(loss="warp").fit(sp.coo_matrix(np.eye(5)))
    print(LightFM.__module__, __name__, sys.argv[1:], neighbour.NAME, sys.argv[0] == __file__)
    sys.exit(len(sys.argv))
"""


@pytest.fixture
def script(tmp_path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "neighbour.py").write_text("NAME = 'beside the script'\n")
    (folder / "script.py").write_text(SCRIPT)
    return folder / "script.py"


def test_run_an_unmodified_script(script, other_lightfm, tmp_path):
    """With its own arguments, imports and exit status, even where LightFM is installed."""
    (tmp_path / "neighbour.py").write_text("NAME = 'in the working directory'\n")
    arguments = ("-m", "lightfm_clone", "run", script, "--epochs", "3")
    done = run_python(*arguments, cwd=tmp_path, path=other_lightfm)
    assert done.stdout.strip() == (
        "lightfm_clone.lightfm __main__ ['--epochs', '3'] beside the script True"
    ), done.stderr
    assert done.returncode == 3


def test_run_reports_the_scripts_own_errors(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("raise RuntimeError('of the script')\n")
    done = run_python("-m", "lightfm_clone", "run", script)
    assert done.returncode == 1 and "RuntimeError: of the script" in done.stderr


@pytest.mark.parametrize("arguments", [("run",), ("run", "missing.py")], ids=str)
def test_run_explains_its_usage(arguments):
    done = run_python("-m", "lightfm_clone", *arguments)
    assert done.returncode == 2 and "usage: python -m lightfm_clone run" in done.stderr


# Old dumps


@contextmanager
def installed() -> Iterator[None]:
    """The name `lightfm` means this package for as long as the block runs."""
    before = {
        name: module for name, module in sys.modules.items() if name.split(".")[0] == "lightfm"
    }
    for name in before:
        del sys.modules[name]
    lightfm_clone.install_as_lightfm()
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "lightfm"]:
            del sys.modules[name]
        sys.modules.update(before)


def pickled_by_lightfm(path: str, state: dict[str, object]) -> bytes:
    """A pickle of an instance of the class of that path, whose state is a plain dict."""
    module, _, name = path.rpartition(".")
    cls = type(name, (), {"__module__": module})
    instance = cls()
    instance.__dict__.update(state)
    with installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[module], name, cls)
        return pickle.dumps(instance, protocol=2)


OLD_PARAMETERS = {
    "loss": "warp",
    "learning_schedule": "adagrad",
    "no_components": 4,
    "learning_rate": 0.05,
    "k": 5,
    "n": 10,
    "rho": 0.95,
    "epsilon": 1e-6,
    "max_sampled": 10,
    "item_alpha": 1e-5,
    "user_alpha": 0.0,
}


def test_a_models_plain_state():
    """Dumped as LightFM does, read, trained further, and dumped under our name."""
    interactions = random_interactions(1)
    expected = LightFM(**OLD_PARAMETERS, random_state=5).fit(interactions)
    state = {**OLD_PARAMETERS, "random_state": expected.random_state, **arrays_of(expected)}
    with installed():
        model = pickle.loads(pickled_by_lightfm("lightfm.lightfm.LightFM", state))
    assert type(model) is LightFM and model.initial_random_state is None
    assert repr(model) == "LightFM(no_components=4, loss='warp', item_alpha=1e-05)"
    np.testing.assert_array_equal(all_scores(model, 30, 20), all_scores(expected, 30, 20))
    model.fit_partial(interactions)
    expected.fit_partial(interactions)
    np.testing.assert_array_equal(all_scores(model, 30, 20), all_scores(expected, 30, 20))


def test_an_unfitted_models_plain_state():
    """Of a build that keeps what it was given as a seed."""
    state = {
        **OLD_PARAMETERS,
        "random_state": np.random.RandomState(5),
        "initial_random_state": 5,
        **dict.fromkeys(ARRAYS),
    }
    with installed():
        model = pickle.loads(pickled_by_lightfm("lightfm.lightfm.LightFM", state))
    assert model.initial_random_state == 5
    expected = LightFM(**OLD_PARAMETERS, random_state=5).fit(random_interactions())
    model.fit(random_interactions())
    np.testing.assert_array_equal(model.item_embeddings, expected.item_embeddings)


def test_a_datasets_plain_state():
    state = {
        "_user_identity_features": False,
        "_item_identity_features": True,
        "_user_id_mapping": {"ann": 0, "bob": 1},
        "_item_id_mapping": {7: 0, (1, 2): 1},
        "_user_feature_mapping": {"old": 0},
        "_item_feature_mapping": {7: 0, "red": 1, (1, 2): 2},
    }
    with installed():
        dataset = pickle.loads(pickled_by_lightfm("lightfm.data.Dataset", state))
    assert type(dataset) is Dataset
    assert dataset.mapping() == (
        state["_user_id_mapping"],
        state["_user_feature_mapping"],
        state["_item_id_mapping"],
        state["_item_feature_mapping"],
    )
    interactions, _ = dataset.build_interactions([("bob", (1, 2))])
    assert interactions.toarray().tolist() == [[0, 0], [0, 1]]
    assert dataset.build_item_features([(7, ["red"])], normalize=False).toarray().tolist() == [
        [1, 1, 0],
        [0, 0, 1],
    ]
    dataset.fit_partial(users=["cid"])
    assert dataset.interactions_shape() == (3, 2) and dataset.user_features_shape() == (3, 1)


# Dumps of real builds

FIXTURES = Path(__file__).parent / "fixtures" / "lightfm-dumps"
BUILDS = ("lightfm-next", "rectools-lightfm")
WAYS = ("-p2.pkl", "-p4.pkl", ".joblib")


def load(path: Path):
    if path.suffix == ".joblib":
        return pytest.importorskip("joblib").load(path)
    return pickle.loads(path.read_bytes())


def load_old(build: str, kind: str, way: str):
    with installed():
        return load(FIXTURES / f"{build}-{kind}{way}")


@pytest.fixture(scope="module", params=BUILDS)
def expected(request) -> dict[str, np.ndarray]:
    """What a build computed with the dumped objects, and its name."""
    with np.load(FIXTURES / f"expected-{request.param}.npz", allow_pickle=False) as archive:
        return {"build": request.param, **archive}


def features_of(expected: dict[str, np.ndarray], kind: str) -> dict[str, sp.csr_matrix]:
    if kind == "plain":
        return {}
    return {
        name: sp.csr_matrix(
            tuple(expected[f"{name}_{part}"] for part in ("data", "indices", "indptr")),
            shape=tuple(expected[f"{name}_shape"]),
        )
        for name in ("user_features", "item_features")
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["plain", "features"])
def test_models_of_real_builds(expected, kind, way):
    model = load_old(expected["build"], kind, way)
    assert type(model) is LightFM
    features = features_of(expected, kind)
    scores = all_scores(model, 12, 9, **features)
    np.testing.assert_allclose(scores, expected[f"{kind}_scores"], atol=1e-5, rtol=1e-5)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(model, name), expected[f"{kind}_{name}"])
    dumped = json.loads(str(expected[f"{kind}_parameters"]))
    for name, value in model.get_params().items():
        if name != "random_state":  # the rest is younger than the dump
            assert value == dumped.get(name, LightFM().get_params()[name])
    assert model.get_params().items() >= dumped.items()
    assert (model.history_, model.global_mean_) == ([], 0.0)

    assert hasattr(model, "initial_random_state")
    if expected["build"] == "rectools-lightfm" and kind == "plain":
        assert model.initial_random_state == 7
    np.testing.assert_array_equal(model.random_state.rand(3), expected[f"{kind}_next_random"])

    entries = expected["interactions_row"], expected["interactions_col"]
    interactions = sp.coo_matrix(
        (expected["interactions_data"], entries), shape=tuple(expected["interactions_shape"])
    )
    model.fit_partial(interactions, **features)
    model.fit(interactions, **features)
    assert np.isfinite(model.predict_rank(interactions, **features).data).all()


@pytest.mark.parametrize("way", WAYS)
def test_datasets_of_real_builds(expected, way):
    dataset = load_old(expected["build"], "dataset", way)
    assert type(dataset) is Dataset
    for name in ("user_id", "user_feature", "item_id", "item_feature"):
        pairs = json.loads(str(expected[f"dataset_{name}_mapping"]))
        assert getattr(dataset, f"_{name}_mapping") == dict(pairs)

    triples, user_rows, item_rows = (
        json.loads(str(expected[f"dataset_{name}"]))
        for name in ("triples", "user_rows", "item_rows")
    )
    interactions, weights = dataset.build_interactions(map(tuple, triples))
    for built, name in (
        (interactions, "interactions"),
        (weights, "weights"),
        (dataset.build_user_features(map(tuple, user_rows)), "user_features"),
        (dataset.build_item_features(map(tuple, item_rows)), "item_features"),
    ):
        np.testing.assert_allclose(built.toarray(), expected[f"dataset_{name}"], rtol=1e-6)
    dataset.fit_partial(users=["someone new"])
    assert dataset.interactions_shape()[0] == len(dataset.mapping()[0]) == 5


def test_what_we_dump_loads_in_a_fresh_process(tmp_path):
    """Without the call, what was loaded from old dumps included."""
    joblib = pytest.importorskip("joblib")
    dataset = Dataset()
    dataset.fit(range(30), range(20))
    things = {
        "model": LightFM(random_state=1).fit(random_interactions()),
        "old model": load_old(BUILDS[0], "plain", WAYS[0]),
        "dataset": dataset,
        "old dataset": load_old(BUILDS[0], "dataset", WAYS[1]),
    }
    with installed():  # must leave no trace in the dumps
        for name, thing in things.items():
            (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(thing))
            joblib.dump(thing, tmp_path / f"{name}.joblib")
    code = """
import json, pickle, sys
from pathlib import Path
import joblib
found = {}
for path in Path(sys.argv[1]).iterdir():
    thing = joblib.load(path) if path.suffix == ".joblib" else pickle.loads(path.read_bytes())
    told = thing.predict(2, [1, 3]).tolist() if "model" in path.stem else thing.model_dimensions()
    found[path.name] = [type(thing).__module__, told]
assert "lightfm" not in sys.modules
print(json.dumps(found))
"""
    found = json.loads(output_of(code, tmp_path))
    assert len(found) == 2 * len(things)
    for name, thing in things.items():
        told = thing.predict(2, [1, 3]) if "model" in name else thing.model_dimensions()
        for suffix in ("pkl", "joblib"):
            module, said = found[f"{name}.{suffix}"]
            assert module == type(thing).__module__ and module.startswith("lightfm_clone.")
            np.testing.assert_allclose(said, told, rtol=1e-6)
