"""A slice of the fuzzing: hostile inputs give a result or a documented error, and nothing else.

``make fuzz`` is the long run. What that found is listed here with the tests of its subject.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from fuzz import targets
from fuzz.__main__ import SHARES
from fuzz.machine import Machine
from helpers import output_of, random_interactions, run_python
from hypothesis import HealthCheck, settings

from lightfm_clone import LightFM
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.data import Dataset

# So that a slice takes a few seconds.
INPUTS = {
    "ids": 4000,
    "files": 2500,
    "datasets": 2500,
    "frames": 150,
    "matrices": 1200,
    "parameters": 800,
    "lists": 800,
    "assigned": 150,
}
# Another slice in each release, say; any number will do.
FIRST = int(os.environ.get("LIGHTFM_CLONE_FUZZ_FIRST", 0))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children, and their memory")
@pytest.mark.parametrize("name", INPUTS)
def test_hostile_inputs(name):
    done = run_python(
        *("-m", "fuzz", "--only", name, "--inputs", INPUTS[name], "--first", FIRST),
        path=Path(__file__).parent,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_target_has_its_slice():
    assert INPUTS.keys() == SHARES.keys() == targets.TARGETS.keys()


TestMachine = pytest.mark.filterwarnings("ignore")(Machine.TestCase)
TestMachine.settings = settings(
    max_examples=60,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


# What the long runs have found


def test_broken_diagonals_do_not_crash():
    """SciPy's own conversion writes beyond its arrays."""
    matrix = sp.dia_matrix(np.eye(7, 9, dtype=np.float32) + np.eye(7, 9, 3, dtype=np.float32))
    for offsets in (matrix.offsets[:-1], np.array([0, 0]), np.array([0.5, 1]), None, [0, 3]):
        broken = matrix.copy()
        broken.offsets = offsets
        for call in (
            lambda broken=broken: LightFM().fit(broken),
            lambda broken=broken: random_train_test_split(broken),
        ):
            with pytest.raises(ValueError, match=r"interactions is not a valid sparse matrix"):
                call()


def test_diagonals_beyond_the_corners_hold_nothing():
    matrix = sp.dia_matrix(np.eye(4, 5, dtype=np.float32))
    matrix.data = np.vstack([matrix.data] * 3)
    matrix.offsets = np.array([0, 100, -(2**31)], dtype=np.int32)
    model = LightFM().fit(matrix)
    assert model.predict_rank(matrix).nnz == 4


def test_index_pointers_that_fall_where_there_are_no_entries():
    """SciPy's check does not look at those, and a row would begin before the array does."""
    matrix = sp.csr_matrix(np.eye(3, 4, dtype=np.float32))
    matrix.indptr[-1] = -1
    with pytest.raises(ValueError, match="interactions.*index pointers"):
        LightFM().fit(matrix)
    matrix = sp.csr_matrix((3, 4), dtype=np.float32)
    matrix.indptr[1] = -1
    with pytest.raises(ValueError, match="interactions.*index pointers"):
        LightFM().fit(matrix)
    with pytest.raises(ValueError, match="item_features.*index pointers"):
        LightFM().fit(sp.coo_matrix((2, 3)), item_features=matrix)


@pytest.mark.parametrize("kind", [float, bool, object])
def test_indices_that_are_no_integers(kind):
    matrix = sp.csr_matrix(np.eye(3, 4, dtype=np.float32))
    matrix.indices = matrix.indices.astype(kind)
    with pytest.raises(ValueError, match="interactions.*indices must be a flat array of integers"):
        LightFM().fit(matrix)


@pytest.mark.parametrize("data", [None, [1.0, 1.0, 1.0]])
def test_data_that_are_no_array(data):
    matrix = sp.csr_matrix(np.eye(3, 4, dtype=np.float32))
    matrix.data = data
    for call in (
        lambda: LightFM().fit(matrix),
        lambda: random_train_test_split(matrix),
        lambda: LightFM().fit(sp.coo_matrix((2, 3)), item_features=matrix),
    ):
        with pytest.raises(ValueError, match="interactions|item_features"):
            call()


def test_splits_check_what_they_are_given():
    matrix = sp.coo_matrix(np.eye(3, 4, dtype=np.float32))
    matrix.col[1] = 9
    with pytest.raises(ValueError, match="interactions.*column indices from 0 to 9"):
        random_train_test_split(matrix)


def test_masked_ids_are_not_read():
    """A mask hides a value from `max`, and from nobody else."""
    model = LightFM().fit(random_interactions())
    hidden = np.ma.masked_array([0, 10**6, 1], mask=[False, True, False])
    for call in (
        lambda: model.predict(0, hidden),
        lambda: model.predict(hidden, [0, 0, 0]),
        lambda: model.recommend(hidden),
        lambda: model.recommend([0], items=hidden),
        lambda: model.similar_items(hidden),
    ):
        with pytest.raises(ValueError, match="must not be masked"):
            call()
    shown = np.ma.masked_array([0, 2, 1], mask=False)
    np.testing.assert_array_equal(model.predict(0, shown), model.predict(0, [0, 2, 1]))


def test_masked_matrices_are_refused():
    with pytest.raises(ValueError, match="interactions.*MaskedArray"):
        LightFM().fit(np.ma.masked_equal(np.eye(3), 0))


def test_masked_ids_of_a_dataset_are_missing_values():
    dataset = Dataset()
    dataset.fit(np.ma.masked_array([1, 50, 2], mask=[False, True, False]), [0])
    assert [*dataset.mapping()[0]] == [1, None, 2]


def test_numbers_beyond_floats():
    dataset = Dataset()
    dataset.fit([0], [0])
    with pytest.raises(ValueError, match="weight in data is too large"):
        dataset.build_interactions([(0, 0, 10**400)])
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"u": [1], "i": [2], "w": [10**400]})
    with pytest.raises(ValueError, match="w.* holds numbers beyond floats"):
        Dataset.from_frame(table, user="u", item="i", weight="w")
    model = LightFM().fit(random_interactions())
    model.item_embedding_gradients = 10**400
    with pytest.raises(ValueError, match="item_embedding_gradients must be an array of numbers"):
        model.fit_partial(random_interactions())


def test_loading_executes_nothing(tmp_path):
    """No code runs, no module is imported and nothing is written, whatever a file says."""
    LightFM().fit(random_interactions()).save(tmp_path / "model")
    dataset = Dataset()
    dataset.fit(["ann"], [("a", 1)])
    dataset.save(tmp_path / "dataset")
    code = """
import sys
from lightfm_clone import LightFM
from lightfm_clone.data import Dataset
LightFM.load(sys.argv[1] + "/model"); Dataset.load(sys.argv[1] + "/dataset")  # warm
seen = []
def look(event, arguments):
    if event in ("exec", "compile", "import", "os.system", "subprocess.Popen", "pickle.find_class"):
        if event != "compile" and event != "exec":
            seen.append((event, arguments))
    elif event == "open" and set(str(arguments[1])) & set("wax+"):
        seen.append((event, arguments))
sys.addaudithook(look)
LightFM.load(sys.argv[1] + "/model")
LightFM.load(sys.argv[1] + "/model", mmap=True)
Dataset.load(sys.argv[1] + "/dataset")
print(seen)
"""
    assert output_of(code, tmp_path) == "[]"


def misaligned(array: np.ndarray) -> np.ndarray:
    content = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:]
    return content.view(array.dtype).reshape(array.shape)


def test_arrays_that_are_not_aligned():
    """x86 reads them all the same; other processors need not, nor may a compiler rely on it."""
    interactions = random_interactions()
    features = sp.csr_matrix(np.eye(20, 4, dtype=np.float32) + 1)
    model = LightFM(random_state=0).fit(interactions, item_features=features)
    askew = LightFM(random_state=0)
    for matrix, names in ((interactions, ("data",)), (features, ("data", "indices", "indptr"))):
        for name in names:
            setattr(matrix, name, misaligned(getattr(matrix, name)))
    askew.fit(interactions, item_features=features)
    for name in ("user_embeddings", "item_biases"):
        np.testing.assert_array_equal(getattr(model, name), getattr(askew, name))
        setattr(askew, name, misaligned(getattr(askew, name)))
    ids = misaligned(np.arange(20, dtype=np.int32))
    np.testing.assert_array_equal(
        model.predict(3, np.arange(20), item_features=features),
        askew.predict(3, ids, item_features=features),
    )
