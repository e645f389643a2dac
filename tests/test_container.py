"""The file format, read by an independent reader; files that were damaged or forged."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import pickle
import re
import stat
import struct
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import ARRAYS
from hypothesis import given, settings
from hypothesis import strategies as st
from saved import POSIX, SAVED, assert_same, forged, parts_of, small_dataset, small_model

from lightfm_clone import LightFM, persistence
from lightfm_clone.data import Dataset


@pytest.fixture(params=SAVED)
def saved(request, path) -> tuple[bytes, object, type]:
    """The bytes of a file at `path`, what was saved in it, and the class that loads it."""
    make, cls = SAVED[request.param]
    thing = make()
    thing.save(path)
    return path.read_bytes(), thing, cls


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


def damages(size: int, every: int) -> list[tuple[int, int]]:
    """Positions to damage, and which bits there: one and all by turns."""
    return [
        (at, 0xFF if turn % 2 else 1 << at % 8) for turn, at in enumerate(range(0, size, every))
    ]


# The default run tries every ninth byte, the slow one all.
@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("make", "cls", "options"),
    [
        (small_model, LightFM, {}),
        (small_model, LightFM, {"mmap": True}),
        (small_dataset, Dataset, {}),
    ],
    ids=["model", "mapped", "dataset"],
)
def test_every_single_byte_that_changed_is_noticed_or_harmless(path, make, cls, options, every):
    thing = make()
    thing.save(path)
    content = path.read_bytes()
    header_end = len(content) - len(parts_of(content)[2])
    tried = damages(header_end if options else len(content), every)
    noticed = 0
    for position, bits in tried:
        damaged = bytearray(content)
        damaged[position] ^= bits
        path.unlink()  # writing into a mapped file is not what is tested here
        path.write_bytes(damaged)
        try:
            loaded = cls.load(path, **options)
        except (ValueError, OSError):
            noticed += 1
        else:
            assert_same(thing, loaded)
    harmless = 0 if options else len(parts_of(content)[1]["arrays"]) * 63  # between arrays
    assert noticed >= len(tried) - harmless / every


def test_arrays_that_are_mapped_are_not_verified(path):
    """A checksum would read all of them; this is documented."""
    small_model().save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    LightFM.load(path, mmap=True)
    with pytest.raises(ValueError, match=r"saved'.*damaged.*user_bias_momentum"):
        LightFM.load(path)


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_every_truncation_is_refused(saved, path, every):
    content, _, cls = saved
    for size in {*range(0, len(content), every), *range(100), len(content) - 1}:
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
    alike = [{"$int": hex(n * (2**61 - 1))} for n in range(20_000)]
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
@settings(deadline=None, max_examples=60)
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
