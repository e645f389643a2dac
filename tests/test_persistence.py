"""Saved models and datasets come back as they were; nothing else is loaded, or lost."""

from __future__ import annotations

import builtins
import contextlib
import copy
import datetime
import doctest
import enum
import errno
import functools
import io
import json
import math
import mmap as memory_map
import os
import pickle
import re
import stat
import struct
import tempfile
import tracemalloc
import zlib
from collections import namedtuple
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    all_scores,
    are_finite,
    arrays_of,
    assert_equal_arrays,
    output_of,
    random_features,
    random_interactions,
    run_python,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM, persistence
from lightfm_clone.data import Dataset

N_USERS, N_ITEMS = 12, 9
INTERACTIONS = random_interactions(1, (N_USERS, N_ITEMS), n_entries=60)
FEATURES = {
    "user_features": random_features(N_USERS, 5),
    "item_features": random_features(N_ITEMS, 4),
}
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, pipes and links of POSIX")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "saved"


@pytest.fixture(autouse=True, scope="module")
def clock() -> Iterator[None]:
    """Every epoch takes no time, so that the same training leaves the same history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightfm_clone.lightfm.perf_counter", lambda: 0.0)
        yield


def small_model(**parameters: object) -> LightFM:
    """A fitted model of a few kilobytes."""
    model = LightFM(**{"no_components": 2, "random_state": 3, "loss": "warp", **parameters})
    return model.fit(random_interactions(2, (4, 3), n_entries=8))


def small_dataset() -> Dataset:
    dataset = Dataset()
    dataset.fit(["ann", "bob"], [7, 2**70], ["old"], [("a", 1), b"x", None])
    return dataset


SAVED = {"model": (small_model, LightFM), "dataset": (small_dataset, Dataset)}


@pytest.fixture(params=SAVED)
def saved(request, path) -> tuple[bytes, object, type]:
    """The bytes of a file at `path`, what was saved in it, and the class that loads it."""
    make, cls = SAVED[request.param]
    thing = make()
    thing.save(path)
    return path.read_bytes(), thing, cls


def assert_same_stream(left: np.random.RandomState, right: np.random.RandomState) -> None:
    states = [state.get_state(legacy=False) for state in (left, right)]
    np.testing.assert_array_equal(*(state["state"].pop("key") for state in states))
    assert states[0] == states[1]


def assert_same(left: object, right: object) -> None:
    """Bit for bit, of the same types."""
    assert type(left) is type(right)
    if isinstance(left, Dataset):
        for ours, theirs in zip(left.mapping(), right.mapping(), strict=True):
            assert [*map(exact, ours.items())] == [*map(exact, theirs.items())]
        assert left._user_identity_features is right._user_identity_features
        assert left._item_identity_features is right._item_identity_features
        return
    ours, theirs = left.get_params(), right.get_params()
    assert_same_stream(ours.pop("random_state"), theirs.pop("random_state"))
    assert exact(ours) == exact(theirs)
    for name in ARRAYS:
        if getattr(left, name) is None:
            assert getattr(right, name) is None
        else:
            array = getattr(right, name)
            assert array.dtype == np.float32 and array.flags.c_contiguous
            np.testing.assert_array_equal(getattr(left, name), array, err_msg=name)
    for name in ("_fitted_with", "initial_random_state"):
        assert exact(getattr(left, name)) == exact(getattr(right, name))
    for name, default in (("history_", []), ("global_mean_", 0.0)):
        assert exact(getattr(left, name, default)) == exact(getattr(right, name))


def exact(value: object) -> object:
    """A value that equals another one's only if both are of the same type, all the way down."""
    if isinstance(value, dict):
        return dict, [(exact(key), exact(element)) for key, element in value.items()]
    if isinstance(value, tuple | list):
        return type(value), [exact(element) for element in value]
    return type(value), repr(value)


# Round trips of models


def test_loaded_model_predicts_the_same(path):
    for features in ({}, FEATURES):
        model = LightFM(no_components=5, loss="bpr", random_state=1)
        model.fit(INTERACTIONS, epochs=3, **features).save(path)
        loaded = LightFM.load(path)
        assert_same(model, loaded)
        np.testing.assert_array_equal(
            all_scores(model, N_USERS, N_ITEMS, **features),
            all_scores(loaded, N_USERS, N_ITEMS, **features),
        )
    with pytest.warns(UserWarning, match="item_features"):
        loaded.predict(0, [1], user_features=FEATURES["user_features"])


@pytest.mark.parametrize("features", [{}, FEATURES], ids=["identity", "features"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_training_continues_bit_for_bit(path, loss, schedule, features):
    model = LightFM(
        no_components=6, loss=loss, learning_schedule=schedule, item_alpha=1e-4, random_state=5
    )
    model.fit(INTERACTIONS, epochs=2, **features).save(path)
    before = arrays_of(model)
    loaded, mapped = LightFM.load(path), LightFM.load(path, mmap=True)
    for each in (model, loaded, mapped):
        each.fit_partial(INTERACTIONS, epochs=2, **features)
    for each in (loaded, mapped):
        assert_same(model, each)
    assert not np.array_equal(before["item_embeddings"], model.item_embeddings)
    for each in (model, loaded, mapped):
        each.fit(INTERACTIONS, **features)
    assert_equal_arrays(arrays_of(model), arrays_of(loaded))
    assert_equal_arrays(arrays_of(model), arrays_of(mapped))


NUMBERS = st.floats(0, 1e3) | st.integers(0, 1000)


@given(
    parameters=st.fixed_dictionaries(
        {},
        optional={
            "no_components": st.integers(1, 20),
            "k": st.integers(1, 9),
            "n": st.integers(1, 99),
            "learning_schedule": st.sampled_from(SCHEDULES),
            "loss": st.sampled_from(LOSSES),
            "learning_rate": NUMBERS,
            "rho": st.floats(0.01, 0.99),
            "epsilon": NUMBERS,
            "item_alpha": NUMBERS,
            "user_alpha": NUMBERS,
            "max_sampled": st.integers(1, 2**31 - 1),
            "random_state": st.none() | st.integers(0, 2**32 - 1),
        },
    ),
    shape=st.none() | st.tuples(st.integers(0, 5), st.integers(0, 5)),
    drawn=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_any_parameters_and_shapes(tmp_path_factory, parameters, shape, drawn):
    model = LightFM(**parameters)
    if shape:
        model.fit(random_interactions(0, shape, n_entries=0), epochs=0)
    model.random_state.randint(9, size=drawn)
    file = tmp_path_factory.mktemp("any") / "model"
    model.save(file)
    for mmap in (False, True):
        assert_same(model, LightFM.load(file, mmap=mmap))


def test_unfitted_model(path):
    LightFM(loss="warp", random_state=4).save(path)
    loaded = LightFM.load(path)
    assert_same(LightFM(loss="warp", random_state=4), loaded)
    with pytest.raises(ValueError, match="not fitted"):
        loaded.predict(0, [0])
    fresh = LightFM(loss="warp", random_state=4).fit(INTERACTIONS)
    assert_same(fresh, loaded.fit(INTERACTIONS))


def test_random_state_to_the_last_bit(path):
    """The normal distribution draws two and keeps one."""
    model = LightFM(random_state=8)
    model.random_state.normal()
    model.save(path)
    loaded = LightFM.load(path)
    np.testing.assert_array_equal(
        loaded.random_state.normal(size=700), model.random_state.normal(size=700)
    )


@pytest.mark.parametrize(
    ("seed", "kept"),
    [
        (None, None),
        (5, 5),
        (np.int64(6), 6),
        (np.random.RandomState(1), None),
        (np.random.default_rng(1), None),
    ],
    ids=str,
)
def test_initial_random_state(path, seed, kept):
    LightFM(random_state=seed).save(path)
    assert exact(LightFM.load(path).initial_random_state) == exact(kept)


def test_attributes(path):
    model = small_model()
    model.history_ = [
        {"epoch": 1, "seconds": 0.25, "loss": np.float32(0.5), "recall": math.nan},
        {"epoch": 2, "seconds": 1e-300, "loss": -math.inf, "best": True, "metric": "ndcg@10"},
    ]
    model.global_mean_ = np.float64(3.5)
    model.save(path)
    loaded = LightFM.load(path)
    model.history_[0]["loss"], model.global_mean_ = 0.5, 3.5
    assert_same(model, loaded)


def test_models_older_than_an_attribute(path):
    """Such as a pickle from before it."""
    model = small_model()
    for name in ("history_", "global_mean_"):
        vars(model).pop(name, None)
    model.save(path)
    loaded = LightFM.load(path)
    assert loaded.history_ == [] and loaded.global_mean_ == 0.0


def test_all_that_a_model_holds_is_saved(path):
    """Fails for a new attribute: add it to the list in persistence.py."""
    model = small_model()
    model.save(path)
    assert vars(model).keys() <= vars(LightFM.load(path)).keys()


def test_assigned_arrays(path):
    """What users may assign for prediction is what comes back for prediction."""
    model = LightFM(no_components=3).fit(INTERACTIONS, epochs=0)
    rng = np.random.default_rng(0)
    model.item_embeddings = np.asfortranarray(rng.normal(size=(N_ITEMS, 3)))  # float64
    model.item_biases = rng.normal(size=N_ITEMS).tolist()
    model.user_embeddings.flags.writeable = False
    model.user_embedding_momentum = model.user_bias_gradients = None
    model.user_biases = np.full(N_USERS, np.inf, np.float32)
    model.save(path)
    assert isinstance(model.item_biases, list) and model.item_embeddings.dtype == np.float64
    loaded = LightFM.load(path)
    assert loaded.user_embedding_momentum is None and loaded.user_bias_gradients is None
    assert loaded.item_embeddings.dtype == np.float32 and loaded.user_embeddings.flags.writeable
    np.testing.assert_array_equal(
        all_scores(model, N_USERS, N_ITEMS), all_scores(loaded, N_USERS, N_ITEMS)
    )


def test_reassigned_parameters(path):
    model = small_model()
    model.max_sampled = 0  # which the constructor refuses
    model.random_state = 17  # which fit would choke on
    model.learning_rate = np.float32(0.25)
    model.save(path)
    loaded = LightFM.load(path)
    assert exact([loaded.max_sampled, loaded.learning_rate]) == exact([0, 0.25])
    assert_same_stream(loaded.random_state, np.random.RandomState(17))


class Named(LightFM):
    """A constructor of its own, a parameter that get_params knows and an attribute it does not."""

    def __init__(self, name, scale=(1, 2.0), **parameters):
        self.name, self.scale, self.calls = name, scale, 0  # the base asks get_params
        super().__init__(**parameters)

    def get_params(self, deep=True):
        return {**super().get_params(deep), "name": self.name, "scale": self.scale}

    def __setstate__(self, state):
        self.calls = -1
        super().__setstate__(state)


def test_subclasses(path):
    model = Named("mine", scale=(3, b"x", [None]), loss="bpr", random_state=2)
    model.fit(INTERACTIONS, epochs=0).save(path)
    loaded = Named.load(path)
    assert_same(model, loaded)
    assert loaded.calls == -1
    with pytest.raises(ValueError, match=r"'name'.*Named: load it with that class"):
        LightFM.load(path)

    small_model().save(path)
    loaded = Named.load(path)
    assert type(loaded) is Named and loaded.scale == (1, 2.0) and not hasattr(loaded, "name")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"loss": "hinge"}, ValueError, "loss must be one of"),
        ({"item_biases": np.zeros(2, np.float32)}, ValueError, "item_biases has 2 item features"),
        ({"user_embeddings": np.zeros((4, 5))}, ValueError, "user_embeddings has 5 components"),
        ({"user_embeddings": np.zeros(4)}, ValueError, "user_embeddings must be float32 with 2"),
        ({"item_embeddings": "many"}, ValueError, "item_embeddings must be an array of numbers"),
        (
            {"random_state": np.random.RandomState(np.random.PCG64(1))},
            TypeError,
            r"PCG64.*set_params\(random_state",
        ),
        ({"history_": [{"loss": {1, 2}}]}, TypeError, r"history_ cannot be saved.*\{1, 2\}.*set"),
        ({"history_": [{1: 2}]}, TypeError, r"history_ cannot be saved.*\{1: 2\}"),
        ({"history_": [{"$int": "0"}]}, TypeError, r"history_ cannot be saved"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_save_refuses_what_could_not_be_loaded(path, change, error, said):
    path.write_bytes(b"old")
    model = small_model()
    vars(model).update(change)
    with pytest.raises(error, match=said):
        model.save(path)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["saved"]


# Memory-mapped


def test_mapped_arrays_are_used_as_they_lie_in_the_file(path):
    model = LightFM(no_components=7, random_state=1).fit(INTERACTIONS, epochs=2, **FEATURES)
    model.save(path)
    mapped = LightFM.load(path, mmap=True)
    assert_same(model, mapped)
    for name in ARRAYS:
        array = getattr(mapped, name)
        assert type(array) is np.ndarray and not array.flags.owndata
        assert not array.flags.writeable and array.flags.aligned
        assert array.ctypes.data % 64 == 0
    for side in ("item", "user"):
        biases, embeddings = mapped._representations(side, None)
        assert np.shares_memory(biases, getattr(mapped, f"{side}_biases"))
        assert np.shares_memory(embeddings, getattr(mapped, f"{side}_embeddings"))
    for features in ({}, FEATURES):
        if not features:
            model._fitted_with = mapped._fitted_with = frozenset()
            n_users, n_items = 5, 4  # one for each feature
        else:
            n_users, n_items = N_USERS, N_ITEMS
        test = random_interactions(3, (n_users, n_items), n_entries=9)
        np.testing.assert_array_equal(
            all_scores(model, n_users, n_items, **features),
            all_scores(mapped, n_users, n_items, **features),
        )
        np.testing.assert_array_equal(
            model.predict_rank(test, **features).data, mapped.predict_rank(test, **features).data
        )


def test_training_a_mapped_model_leaves_the_file_alone(path):
    model = small_model()
    model.save(path)
    before = path.read_bytes()
    mapped = LightFM.load(path, mmap=True)
    held = mapped.item_embeddings
    kept = held.copy()
    mapped.fit_partial(random_interactions(2, (4, 3), n_entries=8), epochs=2)
    assert mapped.item_embeddings.flags.writeable and path.read_bytes() == before
    np.testing.assert_array_equal(held, kept)
    assert not np.array_equal(mapped.item_embeddings, kept)


@POSIX
def test_saving_over_a_mapped_file(path):
    """Those who map the old file keep it, to the last page."""
    LightFM(no_components=50, random_state=1).fit(INTERACTIONS, epochs=0).save(path)
    mapped = LightFM.load(path, mmap=True)
    before = arrays_of(mapped)
    LightFM(random_state=2).save(path)
    assert_equal_arrays(arrays_of(mapped), before)
    mapped.save(path)
    assert_same(mapped, LightFM.load(path))


def memory_of(array: np.ndarray) -> object:
    """What a view looks at in the end; None where it is the array's own memory."""
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array


def test_copies_of_a_mapped_model(path):
    """They do without the file. From CPython 3.14 on, pickles are of protocol 5 by default, which
    keeps read-only arrays read-only."""
    small_model().save(path)
    mapped = LightFM.load(path, mmap=True)
    assert isinstance(memory_of(mapped.item_embeddings), memory_map.mmap)
    pickles = [pickle.dumps(mapped, protocol) for protocol in range(2, 6)]
    for twin in (copy.deepcopy(mapped), *map(pickle.loads, pickles)):
        assert_same(mapped, twin)
        assert not isinstance(memory_of(twin.item_embeddings), memory_map.mmap)
        assert are_finite(twin.fit_partial(random_interactions(2, (4, 3), n_entries=8)))


# The format, read by an independent reader


def parts_of(content: bytes) -> tuple[int, dict, bytes]:
    """The version, the header and all that follows it."""
    signature, version, checksum, size = struct.unpack_from("<8sIIQ", content)
    text = content[24 : 24 + size]
    assert signature == b"\x89LFM\r\n\x1a\n" and zlib.crc32(text) == checksum
    assert (24 + size) % 64 == 0
    return version, json.loads(text), content[24 + size :]


def forged(header: object, rest: bytes, version: int = 1) -> bytes:
    """A file of that header whose checksum is right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-(24 + len(text)) % 64)
    preamble = struct.pack("<8sIIQ", b"\x89LFM\r\n\x1a\n", version, zlib.crc32(text), len(text))
    return preamble + text + rest


def test_format_is_as_documented(saved):
    content, thing, cls = saved
    version, header, _ = parts_of(content)
    assert version == persistence.FORMAT_VERSION == 1
    assert header["kind"] == cls.__name__
    assert header["class"] == f"{cls.__module__}.{cls.__name__}"
    end = len(content) - len(parts_of(content)[2])
    arrays = {}
    for entry in header["arrays"]:
        begin = (end + 63) // 64 * 64
        assert not any(content[end:begin])
        dtype, shape = np.dtype(entry["dtype"]), entry["shape"]
        end = begin + math.prod(shape) * dtype.itemsize
        assert zlib.crc32(content[begin:end]) == entry["crc32"]
        arrays[entry["name"]] = np.frombuffer(content[begin:end], dtype).reshape(shape)
    assert end == len(content)

    if cls is LightFM:
        assert arrays.keys() == set(ARRAYS)
        for name in ARRAYS:
            np.testing.assert_array_equal(arrays[name], getattr(thing, name))
        parameters = thing.get_params()
        del parameters["random_state"]
        assert header["parameters"] == parameters
    else:
        assert bytes(arrays["user_ids"]) == b"annbob"
        assert arrays["user_ids_lengths"].tolist() == [3, 3]
        assert bytes(arrays["user_features"]) == b"old"
        assert header["mappings"]["user_features"]["ids_first"] == 2
        assert json.loads(bytes(arrays["item_ids"])) == [7, {"$int": hex(2**70)}]


def test_header_is_strict_json(path):
    model = small_model()
    model.history_ = [{"recall": math.nan}]
    model.save(path)

    def refuse(name):
        raise AssertionError(name)

    size = struct.unpack_from("<Q", path.read_bytes(), 16)[0]
    json.loads(path.read_bytes()[24 : 24 + size], parse_constant=refuse)


def test_unknown_optional_parts_are_ignored(saved, path):
    content, thing, cls = saved
    _, header, rest = parts_of(content)
    header["hue"] = {"of": ["later", 1]}
    header.get("parameters", {})["tomorrow"] = 1
    header.get("attributes", {})["later_"] = [1.5]
    extra = np.arange(3, dtype="<i8").tobytes()
    header["arrays"].append({"name": "z", "dtype": "<i8", "shape": [3], "crc32": zlib.crc32(extra)})
    path.write_bytes(forged(header, rest + bytes(-len(rest) % 64) + extra))
    assert_same(thing, cls.load(path))
    if cls is LightFM:
        assert vars(cls.load(path)).keys() <= vars(thing).keys() | {"history_", "global_mean_"}


def test_unknown_required_parts_are_refused(saved, path):
    content, _, cls = saved
    _, header, rest = parts_of(content)
    header["required"].append("tomorrow")
    header["saved_by"] = "lightfm_clone 99"
    path.write_bytes(forged(header, rest))
    with pytest.raises(ValueError, match="'tomorrow'.* lightfm_clone 99 .*upgrade"):
        cls.load(path)


def test_what_is_not_a_default_is_required(path):
    """So an older version without an option ignores it only where that changes nothing."""
    model = small_model(k=7)
    model.global_mean_ = 1.5
    model.save(path)
    required = set(parts_of(path.read_bytes())[1]["required"])
    expected = {"no_components", "loss", "k", "global_mean_", "initial_random_state"}
    assert required - {"history_"} == {*expected, "random_state", *ARRAYS}


def test_missing_parts_get_their_defaults(path):
    model = small_model(learning_rate=0.5)
    model.save(path)
    _, header, rest = parts_of(path.read_bytes())
    del header["parameters"]["learning_rate"], header["attributes"]["_fitted_with"]
    path.write_bytes(forged(header, rest))
    loaded = LightFM.load(path)
    assert loaded.learning_rate == 0.05 and loaded._fitted_with == frozenset()


# Files that are not as they were written


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("bits", ["one", "all"])
def test_every_single_byte_that_changed_is_noticed_or_harmless(saved, path, bits, mmap):
    content, thing, cls = saved
    if mmap and cls is Dataset:
        pytest.skip("datasets are not mapped")
    options = {"mmap": True} if mmap else {}
    header_end = len(content) - len(parts_of(content)[2])
    noticed = 0
    for position in range(header_end if mmap else len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF if bits == "all" else 1 << position % 8
        path.unlink()  # writing into a mapped file is not what is tested here
        path.write_bytes(damaged)
        try:
            loaded = cls.load(path, **options)
        except (ValueError, OSError):
            noticed += 1
        else:
            assert_same(thing, loaded)
    harmless = 0 if mmap else len(parts_of(content)[1]["arrays"]) * 63  # between arrays
    assert noticed >= position + 1 - harmless


def test_arrays_that_are_mapped_are_not_verified(path):
    """A checksum would read all of them; this is documented."""
    small_model().save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    LightFM.load(path, mmap=True)
    with pytest.raises(ValueError, match=r"saved'.*damaged.*user_bias_momentum"):
        LightFM.load(path)


def test_every_truncation_is_refused(saved, path):
    content, _, cls = saved
    for size in range(len(content)):
        path.unlink()
        path.write_bytes(content[:size])
        for options in [{}] if cls is Dataset else [{}, {"mmap": True}]:
            with pytest.raises(ValueError, match="truncated|not a file that"):
                cls.load(path, **options)


def test_bytes_at_the_end_are_refused(saved, path):
    content, _, cls = saved
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match=f"damaged.*{len(content)} bytes.*{len(content) + 1}"):
        cls.load(path)


@pytest.mark.parametrize("version", [2, 2**32 - 1])
def test_newer_versions_are_refused(saved, path, version):
    content, _, cls = saved
    # Whatever else has changed in them.
    path.write_bytes(struct.pack("<8sI", content[:8], version) + b"new")
    with pytest.raises(ValueError, match="truncated"):
        cls.load(path)
    path.write_bytes(struct.pack("<8sI", content[:8], version) + b"something new, longer")
    with pytest.raises(ValueError, match=f"version {version} .*reads up to 1; upgrade"):
        cls.load(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, item_embeddings=np.zeros((3, 2)))
    return buffer.getvalue()


OTHER_FILES = {
    "empty": b"",
    "text": b"user,item\n1,2\n",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "npz": npz(),
    **{f"pickle {n}": pickle.dumps(Bomb(), n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "pickled model": pickle.dumps(LightFM()),
    "JSON": b"{}",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES)
@pytest.mark.parametrize("cls", [LightFM, Dataset])
def test_other_files_are_refused(path, cls, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"cannot load {str(path)!r}: it is not a file")):
        cls.load(path)


def test_refusals_say_what_was_found(path):
    path.write_bytes(pickle.dumps(LightFM()))
    with pytest.raises(ValueError, match="looks like a pickle.*pickle.load"):
        LightFM.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        LightFM.load(path)
    small_dataset().save(path)
    with pytest.raises(ValueError, match=r"holds a Dataset, not a LightFM; call Dataset\.load"):
        LightFM.load(path)
    small_model().save(path)
    with pytest.raises(ValueError, match=r"holds a LightFM, not a Dataset; call LightFM\.load"):
        Dataset.load(path)


@pytest.mark.parametrize("cls", [LightFM, Dataset])
def test_paths_that_cannot_be_read(tmp_path, cls):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cls.load(tmp_path / "nowhere")
    with pytest.raises(OSError):  # what Windows says of a folder differs
        cls.load(tmp_path)
    with pytest.raises(ValueError, match="null"):
        cls.load("a\0b")
    for wrong in (3, None, b"x".hex):
        with pytest.raises(TypeError, match="path must be a string or an os.PathLike"):
            cls.load(wrong)


@POSIX
@pytest.mark.parametrize("thing", [LightFM(), Dataset()], ids=["model", "dataset"])
def test_pipes_are_neither_waited_for_nor_replaced(path, thing):
    os.mkfifo(path)
    with pytest.raises(ValueError, match="not a regular file"):
        type(thing).load(path)
    with pytest.raises(OSError, match="not a regular file"):
        thing.save(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


# Files that someone has forged, with checksums that are right


@pytest.mark.parametrize(
    "shape",
    [[2**40, 2], [2**62, 2**62], [10**30], [0, 2**70], [2**63, 0], [-1, 4], [True, 2], "ab", 7]
    + [[1] * 40, [], [1.0], None, {}],
    ids=str,
)
@pytest.mark.parametrize("mmap", [False, True])
def test_claimed_shapes_take_no_memory(path, shape, mmap):
    small_model().save(path)
    _, header, rest = parts_of(path.read_bytes())
    header["arrays"][0]["shape"] = shape
    path.unlink()
    path.write_bytes(forged(header, rest))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="cannot load"):
            LightFM.load(path, mmap=mmap)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"null", b"[]", b'"LightFM"', b"7", b"{}", b"\xff\xfe", b"[" * 100_000]
    + [b'{"a":' * 100_000, b"1" * 5000, b'{"kind": NaN}', b'{"kind": "LightFM"}']
    + [b'{"kind": {}, "arrays": []}', b'{"kind": "LightFM", "arrays": []}'],
    ids=lambda header: header[:20].decode("latin-1"),
)
def test_headers_of_nonsense(path, header):
    path.write_bytes(forged(header, b""))
    with pytest.raises(ValueError, match="cannot load"):
        LightFM.load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header["random_state"].update(pos=10**6), "random state"),
        (lambda header: header["random_state"].update(pos=-1), "random state"),
        (lambda header: header["random_state"].update(pos=3.0), "random state"),
        (lambda header: header["random_state"].update(bit_generator="PCG64"), "random state"),
        (lambda header: header["random_state"].update(key={"$bytes": "AAAA"}), "random state"),
        (lambda header: header["random_state"].update(key={"$bytes": "?"}), "cannot load"),
        (lambda header: header["parameters"].update(no_components=2**40), "no_components"),
        (lambda header: header["parameters"].update(loss="__import__"), "loss"),
        (lambda header: header["parameters"].update(learning_rate=None), "learning_rate"),
        (lambda header: header["parameters"].update(learning_rate={"$eval": "1"}), "eval"),
        (lambda header: header["attributes"].update(_fitted_with=["x"]), "fitted with"),
        (lambda header: header["attributes"].update(history_=3), "history_"),
        (lambda header: header["attributes"].update(history_=[3]), "history_"),
        (lambda header: header["attributes"].update(global_mean_={"$float": "nan"}), "finite"),
        (lambda header: header["arrays"][0].update(dtype="|O"), "type"),
        (lambda header: header["arrays"][0].update(dtype="|O8"), "type"),
        (lambda header: header["arrays"][0].update(name="item_biases"), "twice"),
        (lambda header: header["arrays"][0].update(name="item_embeddings2"), None),
        (lambda header: header["arrays"][0].update(shape=[6]), "item_embeddings"),
        (lambda header: header["arrays"][0].update(shape=[2, 3]), "embedding_gradients has 3"),
        (lambda header: header["arrays"][3].update(dtype="|u1", shape=[12]), "item_biases"),
        (lambda header: header["arrays"].pop(), "damaged"),
        (lambda header: header.pop("parameters"), "no sense"),
    ],
)
def test_forged_models_are_refused(path, change, said):
    small_model().save(path)
    _, header, rest = parts_of(path.read_bytes())
    change(header)
    path.write_bytes(forged(header, rest))
    if said is None:  # an array that is not there is None
        assert LightFM.load(path).item_embeddings is None
    else:
        with pytest.raises(ValueError, match=said):
            LightFM.load(path)


def dataset_file(ids: dict[str, object], **arrays: np.ndarray) -> bytes:
    """A forged dataset whose user ids are stored so."""
    none = {"type": "json"}
    arrays = {
        **arrays,
        **{
            name: np.frombuffer(b"[]", np.uint8)
            for name in ("user_features", "item_ids", "item_features")
        },
    }
    rest = b""
    entries = []
    for name, array in arrays.items():
        rest += bytes(-len(rest) % 64) + array.tobytes()
        entry = {"name": name, "dtype": array.dtype.str, "shape": array.shape}
        entries.append({**entry, "crc32": zlib.crc32(array.tobytes())})
    features = {**none, "ids_first": ids.pop("shared", 0)}
    header = {
        "kind": "Dataset",
        "required": [],
        "user_identity_features": True,
        "item_identity_features": True,
        "mappings": {
            "user_ids": ids,
            "user_features": features,
            "item_ids": none,
            "item_features": {**none, "ids_first": 0},
        },
        "arrays": entries,
    }
    return forged(header, rest)


def text(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


@pytest.mark.parametrize(
    ("ids", "array", "lengths"),
    [
        ({"type": "str"}, text(b"ab"), [1, 2]),
        ({"type": "str"}, text(b"ab"), [3, -1]),
        ({"type": "str"}, text(b"ab"), [2**62, 2**62, 2**62, 2**62 + 2]),
        ({"type": "str"}, text(b"ab"), []),
        ({"type": "str"}, text(b"ab"), None),
        ({"type": "str"}, text(b"aa"), [1, 1]),
        ({"type": "str"}, text(b"\xff\xff"), [1, 1]),
        ({"type": "str"}, np.arange(2), [1, 1]),
        ({"type": "bytes"}, text(b"ab"), [1, 2]),
        ({"type": "bytes"}, text(b"ab"), [1.0, 1.0]),
        ({"type": "int"}, text(b"ab"), None),
        ({"type": "int"}, np.array([1, 1]), None),
        ({"type": "int"}, np.array([[1, 2]]), None),
        ({"type": "int", "shared": 3}, np.array([1, 2]), None),
        ({"type": "int", "shared": -1}, np.array([1, 2]), None),
        ({"type": "float"}, np.array([1, 2]), None),
        ({"type": "pickle"}, text(b"ab"), None),
        ({"type": ["str"]}, text(b"ab"), None),
        ({}, text(b"ab"), None),
        ({"type": "json"}, text(b"{}"), None),
        ({"type": "json"}, text(b'[{"a": 1}]'), None),
        ({"type": "json"}, text(b"[[1]]"), None),
        ({"type": "json"}, text(b"[NaN]"), None),
        ({"type": "json"}, text(b'[{"$tuple": {}}]'), None),
        ({"type": "json"}, text(b'[{"$int": 5}]'), None),
        ({"type": "json"}, text(b'[{"$int": "five"}]'), None),
        ({"type": "json"}, text(b"[" * 100_000), None),
        ({"type": "json"}, text(b'[{"$tuple":[' * 400 + b"]}]" * 400), None),
        ({"type": "json"}, text(b"[1, 1.0]"), None),
        ({"type": "json"}, text(b"[" + b"7" * 5000 + b"]"), None),
    ],
)
def test_forged_datasets_are_refused(path, ids, array, lengths):
    arrays = {"user_ids": array}
    if lengths is not None:
        arrays["user_ids_lengths"] = np.array(lengths, dtype=None if lengths else np.int64)
    path.write_bytes(dataset_file(dict(ids), **arrays))
    with pytest.raises(ValueError, match="cannot load"):
        Dataset.load(path)


def test_ids_that_all_hash_alike_are_refused(path):
    """A dictionary of them would take hours."""
    alike = [{"$int": hex(n * (2**61 - 1))} for n in range(200_000)]
    path.write_bytes(dataset_file({"type": "json"}, user_ids=text(json.dumps(alike).encode())))
    with pytest.raises(ValueError, match="same hash"):
        Dataset.load(path)


def test_the_forger_can_write_a_dataset(path):
    """Else the test above would prove nothing."""
    lengths = np.array([1, 2])
    path.write_bytes(
        dataset_file({"type": "str", "shared": 1}, user_ids=text(b"abb"), user_ids_lengths=lengths)
    )
    dataset = Dataset.load(path)
    assert dataset.mapping() == ({"a": 0, "bb": 1}, {"a": 0}, {}, {})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["<f4", "str", "json", "int", "0x10"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$int", "$tuple", "$bytes", "$float", "type", "name"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=6,
)


def places_in(value: object, place: tuple = ()) -> list[tuple]:
    """The ways to all that a JSON value holds."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    places = [place] if place else []
    for key, element in inner if isinstance(value, dict | list) else ():
        places += (
            places_in(element, (*place, key))
            if isinstance(element, dict | list)
            else [(*place, key)]
        )
    return places


@functools.cache
def saved_bytes(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        SAVED[name][0]().save(file)
        return file.read_bytes()


@pytest.mark.parametrize("name", SAVED)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_forged_values_give_an_object_or_a_value_error(tmp_path_factory, name, data):
    cls = SAVED[name][1]
    file = tmp_path_factory.mktemp("forged") / "file"
    _, header, rest = parts_of(saved_bytes(name))
    *way, last = data.draw(st.sampled_from(places_in(header)))
    holder = header
    for step in way:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[last] = data.draw(JSON)
    else:
        del holder[last]
    file.write_bytes(forged(header, rest))
    with contextlib.suppress(ValueError):
        assert type(cls.load(file)) is cls
        if cls is LightFM:
            assert type(cls.load(file, mmap=True)) is cls


# Writing


class FailingFile(io.BufferedWriter):
    """Fails at the n-th write, half of which has been done."""

    left = 0

    def write(self, content):
        if type(self).left == 0:
            super().write(bytes(content)[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        type(self).left -= 1
        return super().write(content)


def fail_write(monkeypatch, n: int) -> None:
    def failing_open(path, mode, **options):
        assert mode == "xb"
        FailingFile.left = n
        return FailingFile(builtins.open(path, mode, buffering=0, **options))

    monkeypatch.setattr(persistence, "open", failing_open, raising=False)


def fail_call(monkeypatch, name: str, error: BaseException) -> None:
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, name, fail)


FAILURES = {
    **{f"write {n}": lambda patch, n=n: fail_write(patch, n) for n in (0, 1, 2, 5)},
    "fsync": lambda patch: fail_call(patch, "fsync", OSError(errno.EIO, "broken disk")),
    "replace": lambda patch: fail_call(patch, "replace", PermissionError(errno.EPERM, "in use")),
    "chmod": lambda patch: fail_call(patch, "chmod", PermissionError(errno.EPERM, "no")),
    "interrupt": lambda patch: fail_call(patch, "fsync", KeyboardInterrupt()),
}


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kind", SAVED)
def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch, kind, failure, exists):
    if failure == "chmod" and not exists:
        pytest.skip("a new file has the mode it was made with")
    thing = SAVED[kind][0]()
    if exists:
        path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        FAILURES[failure](patch)
        with pytest.raises((OSError, KeyboardInterrupt)):
            thing.save(path)
    assert os.listdir(path.parent) == (["saved"] if exists else [])
    if exists:
        assert path.read_bytes() == b"old"
    thing.save(path)
    assert_same(thing, type(thing).load(path))
    assert os.listdir(path.parent) == ["saved"]


def test_content_is_on_the_disk_before_it_has_the_name(path, monkeypatch):
    """The order is write, sync of the file, rename, sync of the folder."""
    done = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        status = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)
        fsync(descriptor)

    def note_replace(source, target):
        done.append((os.path.dirname(source), target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    small_model().save(path)
    folder = str(path.parent)
    expected = [path.stat().st_size, (folder, str(path))]
    assert done == expected + ["folder"] * (os.name == "posix")


@POSIX
def test_a_folder_that_cannot_be_synced_is_no_failure(path, monkeypatch):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    small_model().save(path)
    assert_same(small_model(), LightFM.load(path))


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_that_dies_leaves_the_old_file(path, moment):
    small_model().save(path)
    code = f"""
import os, sys
from lightfm_clone import LightFM
model = LightFM.load(sys.argv[1])
model.k = 77
os.{moment} = lambda *_: os._exit(9)
model.save(sys.argv[1])
"""
    assert run_python("-c", code, path).returncode == 9
    assert_same(small_model(), LightFM.load(path))


def test_exactly_the_path_that_was_given(tmp_path):
    class Place:
        def __fspath__(self):
            return str(tmp_path / "c.npz")

    os.mkdir(tmp_path / "ä b")
    for place, name in (
        (str(tmp_path / "a"), "a"),
        (tmp_path / "b.tar.gz", "b.tar.gz"),
        (Place(), "c.npz"),
        (tmp_path / "ä b" / "ü", "ä b/ü"),
        (tmp_path / ("n" * 255), "n" * 255),
    ):
        for thing in (small_model(), small_dataset()):
            thing.save(place)
            assert_same(thing, type(thing).load(place))
            assert (tmp_path / name).is_file()
    assert sorted(os.listdir(tmp_path)) == ["a", "b.tar.gz", "c.npz", "n" * 255, "ä b"]


def test_a_path_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model().save("model")
    assert os.listdir() == ["model"] and type(LightFM.load("model")) is LightFM


@pytest.mark.parametrize("thing", [LightFM(), Dataset()], ids=["model", "dataset"])
def test_paths_that_cannot_be_written(tmp_path, thing):
    for folder in (tmp_path, f"{tmp_path}{os.sep}", f"{tmp_path / 'new'}{os.sep}"):
        with pytest.raises(IsADirectoryError, match=re.escape(tmp_path.name)):
            thing.save(folder)
    with pytest.raises(FileNotFoundError, match="temporary file in the folder.*nowhere"):
        thing.save(tmp_path / "nowhere" / "file")
    for wrong in (3, None):
        with pytest.raises(TypeError, match="path must be a string or an os.PathLike"):
            thing.save(wrong)
    with pytest.raises(ValueError, match="null"):
        thing.save("a\0b")
    assert os.listdir(tmp_path) == []


@POSIX
@pytest.mark.parametrize("thing", [LightFM(), Dataset()], ids=["model", "dataset"])
def test_folders_and_files_one_may_not_write(tmp_path_factory, thing):
    """In a process without the rights of root, if that is who runs the tests."""
    folder = tmp_path_factory.mktemp("mine")
    folder.chmod(0o755)
    (folder / "readonly").mkdir()
    (folder / "writable").mkdir()
    for name in ("readonly", "writable"):
        (folder / name / "old").write_bytes(b"old")
        (folder / name / "old").chmod(0o444)
    (folder / "readonly").chmod(0o555)
    (folder / "writable").chmod(0o777)
    code = f"""
import os, sys
os.chdir(sys.argv[1])
from lightfm_clone import LightFM, data
thing = {"LightFM()" if isinstance(thing, LightFM) else "data.Dataset()"}
if os.geteuid() == 0:
    os.setuid(65534)
for name in ("readonly/new", "readonly/old", "writable/old"):
    try:
        thing.save(name)
    except PermissionError as error:
        print(error)
thing.save("writable/new")
"""
    said = output_of(code, folder, cwd=folder).splitlines()
    assert len(said) == 3 and "readonly" in said[0]
    assert os.listdir(folder / "readonly") == ["old"]
    assert sorted(os.listdir(folder / "writable")) == ["new", "old"]
    for name in ("readonly", "writable"):
        assert (folder / name / "old").read_bytes() == b"old"


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_mode_of_a_new_file_is_that_of_open(tmp_path, umask):
    before = os.umask(umask)
    try:
        small_model().save(tmp_path / "saved")
        (tmp_path / "opened").write_bytes(b"")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("saved", "opened")]
    assert modes[0] == modes[1] == 0o666 & ~umask


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_mode_of_an_old_file_is_kept(path, monkeypatch, mode):
    path.write_bytes(b"old")
    path.chmod(mode)
    while_written = []
    fsync = os.fsync

    def note(descriptor):
        while_written.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    small_model().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert while_written[0] & ~mode == 0  # nobody may read it on the way who may not in the end


@POSIX
def test_links_are_followed(tmp_path):
    (tmp_path / "releases").mkdir()
    link = tmp_path / "current"
    link.symlink_to("releases/1")
    for seed in (1, 2):  # leading nowhere, then to a file
        model = small_model(random_state=seed)
        model.save(link)
        assert link.is_symlink() and not (tmp_path / "releases" / "1").is_symlink()
        assert_same(model, LightFM.load(link))
    assert os.listdir(tmp_path / "releases") == ["1"]


# Round trips of datasets

PLAIN = (
    st.text(st.characters(exclude_categories=()), max_size=4)
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.binary(max_size=4)
    | st.booleans()
    | st.none()
)
IDS = st.lists(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple)))
ALIKE = st.sampled_from(
    [
        st.text(st.characters(exclude_categories=()), max_size=4),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(),
        st.floats(allow_nan=False),
        st.binary(max_size=4),
        st.booleans(),
    ]
).flatmap(st.lists)


@given(
    fits=st.lists(st.tuples(*[IDS | ALIKE] * 4), max_size=3),
    flags=st.tuples(st.booleans(), st.booleans()),
)
@settings(deadline=None, max_examples=100)
def test_any_ids(tmp_path_factory, fits, flags):
    dataset = Dataset(*flags)
    for ids in fits:
        dataset.fit_partial(*ids)
    file = tmp_path_factory.mktemp("any") / "dataset"
    dataset.save(file)
    loaded = Dataset.load(file)
    assert_same(dataset, loaded)
    for each in (dataset, loaded):
        each.fit_partial(["new", 5], [6], ["more"], [(1,)])
    assert_same(dataset, loaded)


def test_a_pair_of_surrogates_is_no_character(path):
    """As escapes in JSON they would come back as one."""
    dataset = Dataset()
    dataset.fit(["\ud83d\ude00", "\U0001f600", "\udcff"], [("\ud83d", "\ude00\0"), None, "\ud83d"])
    dataset.save(path)
    assert_same(dataset, Dataset.load(path))


def test_loaded_datasets_build_the_same_matrices(path):
    dataset = Dataset(item_identity_features=False)
    dataset.fit(["ann", "bob"], [10, 20], item_features=["hot"])
    dataset.fit_partial(users=["cid"], user_features=["old"])
    dataset.save(path)
    loaded = Dataset.load(path)
    pairs = [("cid", 20), ("ann", 10, 2.5)]
    for ours, theirs in zip(
        dataset.build_interactions(pairs), loaded.build_interactions(pairs), strict=True
    ):
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())
    for build, rows in (
        ("build_user_features", [("bob", {"old": 2.0})]),
        ("build_item_features", [(10, ["hot"]), (20, ["hot"])]),
    ):
        ours, theirs = (getattr(each, build)(rows) for each in (dataset, loaded))
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


def test_numpy_scalars_come_back_as_what_they_equal(path):
    dataset = Dataset()
    users = [np.int64(3), np.float32(0.1), np.str_("a"), np.bytes_(b"b"), np.bool_(False)]
    dataset.fit(users, [np.int64(n) for n in (5, 2)], item_features=[(np.int8(1), "x")])
    dataset.save(path)
    loaded = Dataset.load(path)
    assert loaded.mapping() == dataset.mapping()
    assert [*map(type, loaded.mapping()[0])] == [int, float, str, bytes, bool]
    assert [*map(type, loaded.mapping()[2])] == [int, int]


class Colour(str, enum.Enum):
    RED = "red"


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "wrong",
    [
        frozenset({1}),
        datetime.date(2020, 1, 2),
        Decimal("1.5"),
        1j,
        Colour.RED,
        Point(1, 2),
        (1, (2, frozenset())),
        np.datetime64("2020-01-01", "ns"),
        np.longdouble(1.5),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("among", [[], ["a", 1], ["a"]], ids=["alone", "mixed", "strings"])
def test_ids_that_cannot_be_saved(path, wrong, among):
    for place, noun in enumerate(("user id", "item id", "user feature", "item feature")):
        dataset = Dataset(False, False)
        dataset.fit_partial(*([*among, wrong] if at == place else [] for at in range(4)))
        said = f"the {noun} {wrong!r} of type {type(wrong).__name__} cannot be saved"
        with pytest.raises(TypeError, match=re.escape(said) + ".*str.*before Dataset.fit"):
            dataset.save(path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("wrong", [math.nan, (1, math.nan), np.float32("nan")], ids=str)
@pytest.mark.parametrize("among", [[], [1.5], ["a"]], ids=str)
def test_nan_is_no_id(path, wrong, among):
    dataset = Dataset()
    dataset.fit([*among, "x"], [])
    dataset._user_id_mapping[wrong] = dataset._user_id_mapping.pop("x")  # as older versions did
    with pytest.raises(ValueError, match="the user id .*nan.* cannot be saved.*missing"):
        dataset.save(path)


def test_mappings_changed_from_outside(path):
    dataset = small_dataset()
    del dataset.mapping()[2][7]
    with pytest.raises(ValueError, match="item ids must number them 0, 1, 2"):
        dataset.save(path)


def test_identity_features_are_stored_once(path):
    """And share their memory with the ids once they are loaded."""
    ids = [f"a rather long name of user {n}" for n in range(1000)]
    dataset = Dataset()
    dataset.fit(ids, [], ["old"])
    dataset.fit_partial(["one who came later"])
    dataset.save(path)
    assert path.stat().st_size < 1.5 * sum(map(len, ids))
    loaded = Dataset.load(path)
    assert_same(dataset, loaded)
    users, features = (list(mapping) for mapping in loaded.mapping()[:2])
    assert all(user is feature for user, feature in zip(users[:1000], features, strict=False))


class Shop(Dataset):
    def __init__(self, name):
        super().__init__()


def test_subclasses_of_datasets(path):
    dataset = Shop("here")
    dataset.fit(["ann"], ["tea"])
    dataset.save(path)
    loaded = Shop.load(path)
    assert_same(dataset, loaded)
    assert type(Dataset.load(path)) is Dataset


# What is said in docstrings


@pytest.mark.parametrize("method", [LightFM.save, Dataset.save], ids=["model", "dataset"])
def test_docstrings(method):
    (test,) = doctest.DocTestFinder().find(
        method, globs={"LightFM": LightFM, "Dataset": Dataset}, name="save"
    )
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        for example in test.examples:
            example.want = example.want.replace("np.True_", "True")
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
