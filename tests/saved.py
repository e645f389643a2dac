"""What the tests of saved files share: things to save, and what a file holds."""

from __future__ import annotations

import json
import os
import struct
import zlib

import numpy as np
import pytest
from helpers import ARRAYS, random_features, random_interactions

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset

N_USERS, N_ITEMS = 12, 9
INTERACTIONS = random_interactions(1, (N_USERS, N_ITEMS), n_entries=60)
FEATURES = {
    "user_features": random_features(N_USERS, 5),
    "item_features": random_features(N_ITEMS, 4),
}
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, pipes and links of POSIX")


def small_model(**parameters: object) -> LightFM:
    """A fitted model of a few kilobytes."""
    model = LightFM(**{"no_components": 2, "random_state": 3, "loss": "warp", **parameters})
    return timeless(model.fit(random_interactions(2, (4, 3), n_entries=8)))


def timeless(model: LightFM) -> LightFM:
    """The model with epochs that took no time: the same training then leaves the same history."""
    for record in model.history_:
        record["seconds"] = 0.0
    return model


def small_dataset() -> Dataset:
    dataset = Dataset()
    dataset.fit(["ann", "bob"], [7, 2**70], ["old"], [("a", 1), b"x", None])
    return dataset


SAVED = {"model": (small_model, LightFM), "dataset": (small_dataset, Dataset)}


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
    for name in ("_fitted_with", "_seen_items", "initial_random_state"):
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
