"""Saved recommenders come back as they were, and what is damaged or hostile is refused."""

from __future__ import annotations

import copy
import mmap as memory_map
import os
import pickle
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved import forged, parts_of, timeless
from shops import LATER, PAST, PRODUCTS, VISITORS, fitted, model, pd, rows, same_state, small

from lightfm_clone import LightFM, Popularity, Recommender
from lightfm_clone.data import between, bins, cross, split
from lightfm_clone.recommender import Random

SMALL = {
    "u": ["ann", "ann", "bob", "cid", "cid"],
    "i": ["x", "y", "x", "z", "y"],
    "k": ["view", "buy", "view", "view", "buy"],
    "t": [1.7e9, 1.7001e9, 1.7002e9, 1.7003e9, 1.7004e9],
}
PEOPLE = pd.DataFrame({"u": ["ann", "bob", "dan"], "c": ["p", "q", "p"]})
GOODS = pd.DataFrame(
    {"i": ["x", "y", "z"], "tags": ["a|b", "b", None], "price": [1.5, None, 3], "day": None}
)


def little(of=None, **options):
    """A recommender of a few kilobytes that has a bit of everything."""
    given = {
        "event": "k",
        "event_weights": {"view": 1, "buy": 2.5},
        "timestamp": "t",
        "half_life": "7d",
        "users": PEOPLE,
        "items": GOODS,
        "columns": {"price": "number"},
    }
    return small(SMALL, of, **given | options)


def arrays_in(content: bytes) -> dict[str, tuple[int, int, dict]]:
    """Where each array begins and ends, and its entry in the header, by name."""
    _, header, rest = parts_of(content)
    at, found = len(content) - len(rest), {}
    for entry in header["arrays"]:
        at += -at % 64
        size = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
        found[entry["name"]] = at, at + size, entry
        at += size
    assert at == len(content)
    return found


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a file."""
    path = tmp_path_factory.mktemp("content") / "shop"
    little().save(path)
    return path.read_bytes()


# ---- back as they were ---------------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [False, True])
def test_the_same_lists(path, mmap):
    shop = fitted(PAST)
    shop.save(path)
    loaded = Recommender.load(path, mmap=mmap)
    same_state(shop, loaded)
    assert repr(loaded.model_) == repr(shop.model_)
    some = PAST["visitorid"].dropna()[:9].tolist()
    item = shop.item_ids_[0]
    for ask in (
        lambda of: of.recommend(num_threads=1),
        lambda of: of.recommend(some, where={"price": between(2), "tags": "pets9"}, deny=item),
        lambda of: of.recommend(some, at_most={"brand": 1}, exclude="transaction"),
        lambda of: of.recommend(some, popularity=1, diversity=0.2),
        lambda of: of.recommend(VISITORS.drop(columns="visitorid")[:9]),
        lambda of: of.recommend({"country": "DE", "age": 31}),
        lambda of: of.recommend(history=[[item]], num_threads=1),
        lambda of: of.recommend(["nobody"]),
        lambda of: of.similar_items(item),
        lambda of: of.user_table(),
        lambda of: of.item_table(),
    ):
        pd.testing.assert_frame_equal(ask(loaded), ask(shop))
    assert str(loaded.explain(some[0], item)) == str(shop.explain(some[0], item))
    assert dict(loaded.evaluate(LATER)) == dict(shop.evaluate(LATER))
    assert loaded.user_encoder_.decisions_ == shop.user_encoder_.decisions_
    assert "epochs" in str(loaded) and "last loss" in str(loaded)
    assert isinstance(memory_of(loaded.model_.item_embeddings), memory_map.mmap) == mmap
    again = path.with_name("again")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def memory_of(array):
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array


def test_all_that_a_recommender_holds_is_saved(path):
    """Fails for a new attribute: give it a place in recommender/files.py."""
    shop = little()
    shop.save(path)
    loaded = Recommender.load(path)
    assert vars(shop).keys() == vars(loaded).keys()
    for name in ("_rules", "_kinds", "_duplicates", "_kind"):
        assert getattr(shop, name) == getattr(loaded, name), name
    for side in ("_users", "_items"):
        ours, theirs = (getattr(of, side) for of in (shop, loaded))
        assert (ours.name, ours.column) == (theirs.name, theirs.column)
        assert ours.encoder.to_plain() == theirs.encoder.to_plain()
        assert (ours.encoded != theirs.encoded).nnz == 0
    # Nothing of the report: it is about tables that are not there any more.
    assert loaded.report_ is None and "warnings" not in str(loaded)


@pytest.mark.parametrize(
    "options",
    [
        {"users": None},
        {"items": None, "columns": None},
        {"users": None, "items": None, "columns": None},
        {"event": None, "event_weights": None},
        {"timestamp": None, "half_life": None, "duplicates": "sum"},
        {"event_weights": None, "duplicates": "last"},
        {
            "columns": {
                "both": cross("tags", "price"),
                "price": bins([2]),
                "tags": split("|"),
                "c": None,
            }
        },
        {"watched": ("t", "t"), "min_watched": 0.5},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.filterwarnings("ignore:the model was fitted with user_features")
def test_with_and_without(path, options):
    shop = little(**options)
    shop.save(path)
    for mmap in (False, True):
        loaded = Recommender.load(path, mmap=mmap)
        same_state(shop, loaded)
        assert rows(loaded.recommend(exclude=False)) == rows(shop.recommend(exclude=False))
        twin = copy.deepcopy(shop)
        later = pd.DataFrame({"u": ["dan"], "i": ["z"], "k": ["view"], "t": [1.71e9]})
        for each in (twin, loaded):
            each.update(later, num_threads=1, verbose=False)
        same_state(twin, loaded)


def test_what_was_watched_as_a_list(path):
    shop = little(watched=["t", "t"], min_watched=0.5)
    shop.save(path)
    same_state(little(watched=("t", "t"), min_watched=0.5), Recommender.load(path))


@pytest.mark.parametrize(
    "of",
    [model(), model(loss="softmax"), Popularity("3d"), Popularity(), Random(7), Random()],
    ids=repr,
)
def test_models(path, of):
    shop = little(of)
    shop.save(path)
    for mmap in (False, True):
        loaded = Recommender.load(path, mmap=mmap)
        assert type(loaded.model_) is type(of) and repr(loaded.model_) == repr(shop.model_)
        assert rows(loaded.recommend(exclude=False)) == rows(shop.recommend(exclude=False))
        fitted_again = loaded.fit(
            pd.DataFrame(SMALL), user="u", item="i", timestamp="t", verbose=False, num_threads=1
        )
        assert type(fitted_again.model_) is type(of)


class Mine(LightFM):
    """A class of the caller's."""


class OurShop(Recommender):
    """Another."""


def test_subclasses(path):
    shop = OurShop(Mine(loss="warp", random_state=0)).fit(
        pd.DataFrame(SMALL), user="u", item="i", epochs=1, verbose=False
    )
    shop.save(path)
    loaded = OurShop.load(path, model_class=Mine)
    assert type(loaded) is OurShop and type(loaded.model_) is type(loaded.model) is Mine
    assert type(Recommender.load(path).model_) is LightFM
    same_state(shop, loaded)


@pytest.mark.parametrize(
    ("kinds", "ids"),
    [((1, 2), [1, 2]), ((("a", 1), None), ["x", ("y", 2)]), ((True, "x"), [2**70, b"raw"])],
    ids=str,
)
def test_names_of_any_type(path, kinds, ids):
    one, other = kinds
    events = pd.DataFrame(
        {
            0: pd.Series([ids[0], ids[1], ids[1]], dtype=object),
            ("i", 1): pd.Series([ids[0], ids[0], ids[1]], dtype=object),
            "k": pd.Series([one, other, one], dtype=object),
        }
    )
    shop = Recommender(model(loss="bpr")).fit(
        events, user=0, item=("i", 1), event="k", epochs=1, num_threads=1, verbose=False
    )
    shop.save(path)
    loaded = Recommender.load(path)
    same_state(shop, loaded)
    assert loaded._kinds == shop._kinds and loaded._rules == shop._rules
    for kind in loaded._kinds:
        assert rows(loaded.recommend(exclude=[kind])) == rows(shop.recommend(exclude=[kind]))


def test_what_serves_keeps_the_kind_of_tables(path):
    pl = pytest.importorskip("polars")
    Recommender(model()).fit(
        pl.DataFrame({"u": [1, 1, 2], "i": [1, 2, 3]}), user="u", item="i", verbose=False
    ).save(path)
    assert isinstance(Recommender.load(path).recommend(1), pl.DataFrame)


def test_pickles_of_mapped_recommenders(path):
    little().save(path)
    mapped = Recommender.load(path, mmap=True)
    mapped.recommend()
    twin = pickle.loads(pickle.dumps(mapped))
    same_state(mapped, twin)
    assert not isinstance(memory_of(twin.pairs_.indices), memory_map.mmap)


# ---- saving --------------------------------------------------------------------------------------


class Unknown:
    """A model of another kind."""

    def get_params(self, deep=True):
        return {}

    def fit(self, interactions, **given):
        return self

    get_user_representations = get_item_representations = None  # which saving does not ask for


def test_what_a_file_has_nothing_for(path):
    path.write_bytes(b"old")
    dated = small({**SMALL, "u": pd.to_datetime(pd.Series(SMALL["t"]), unit="s")})
    for shop, said in (
        (little(Unknown()), "a Unknown cannot be saved.*LightFM, Popularity, Random.*pickle"),
        (dated, "user id.*cannot be saved"),
    ):
        with pytest.raises(TypeError, match=said):
            shop.save(path)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == [path.name]


def test_an_error_while_saving_leaves_the_old_file(path, monkeypatch):
    shop = little()
    shop.save(path)
    before = path.read_bytes()

    def fail(*given, **more):
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, fail)
            with pytest.raises(OSError, match="No space"):
                shop.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    with pytest.raises(FileNotFoundError):
        shop.save(path.parent / "nowhere" / "shop")


def test_saving_over_a_mapped_file(path):
    shop = little()
    shop.save(path)
    mapped = Recommender.load(path, mmap=True)
    mapped.update(pd.DataFrame({**SMALL, "i": ["w"] * 5}), verbose=False, num_threads=1)
    mapped.save(path)
    same_state(Recommender.load(path), mapped)


# ---- damage --------------------------------------------------------------------------------------


def test_every_part_that_is_damaged_is_named(content, path):
    arrays = arrays_in(content)
    assert {name.split("/")[0] for name in arrays} == {
        "numbering", "pairs", "model", "users", "items", "columns",
    }  # fmt: skip
    for name, (begin, end, _) in arrays.items():
        for at in {begin, (begin + end) // 2, end - 1} if end > begin else ():
            damaged = bytearray(content)
            damaged[at] ^= 4
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"cannot load .*checksum of {name} does not"):
                Recommender.load(path)


def test_files_that_end_early_or_late(content, path):
    for size in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:size])
        for mmap in (False, True):
            with pytest.raises(ValueError, match="cannot load .*(truncated|is not a file|empty)"):
                Recommender.load(path, mmap=mmap)
    path.write_bytes(content + b"x")
    with pytest.raises(ValueError, match="it is damaged: it should have"):
        Recommender.load(path)


def test_other_files(content, path):
    LightFM().save(path)
    with pytest.raises(
        ValueError, match="it holds a LightFM, not a Recommender; call LightFM.load"
    ):
        Recommender.load(path)
    path.write_bytes(content)
    for cls in (LightFM, Popularity):
        with pytest.raises(ValueError, match="it holds a Recommender.*call Recommender.load"):
            cls.load(path)
    path.write_bytes(pickle.dumps(1))
    with pytest.raises(ValueError, match="looks like a pickle"):
        Recommender.load(path)
    with pytest.raises(FileNotFoundError):
        Recommender.load(path.with_name("nowhere"))


def test_newer_files(content, path):
    _, header, rest = parts_of(content)
    path.write_bytes(forged(header, rest, version=2))
    with pytest.raises(ValueError, match="version 2 of the format.*upgrade"):
        Recommender.load(path)
    header["parts"]["telepathy"] = {}
    path.write_bytes(forged(header, rest))
    with pytest.raises(ValueError, match="the part 'telepathy', which this version does not know"):
        Recommender.load(path)
    del header["parts"]["telepathy"]
    header["parts"]["model"]["required"].append("telepathy")
    path.write_bytes(forged(header, rest))
    with pytest.raises(ValueError, match="it holds 'telepathy'.*upgrade"):
        Recommender.load(path)


# ---- the fingerprint -----------------------------------------------------------------------------


def with_part_of(content: bytes, other: bytes, part: str) -> bytes:
    """A file one of whose parts is that of another file."""
    _, header, _ = parts_of(content)
    _, theirs, _ = parts_of(other)
    header["parts"][part] = theirs["parts"][part]
    mine, its = arrays_in(content), arrays_in(other)
    kept = [
        (name, content, place) for name, place in mine.items() if not name.startswith(f"{part}/")
    ]
    kept += [(name, other, place) for name, place in its.items() if name.startswith(f"{part}/")]
    header["arrays"] = [place[2] for _, _, place in kept]
    rest = b""
    for _, source, (begin, end, _) in kept:  # the header's end is aligned
        rest += bytes(-len(rest) % 64) + source[begin:end]
    return forged(header, rest)


def test_parts_of_another_numbering_are_refused(content, path):
    """The same people, items and columns, in another order: all shapes are equal."""
    other = path.with_name("other")
    backwards = {name: values[::-1] for name, values in SMALL.items()}
    small(
        backwards,
        event="k",
        event_weights={"view": 1, "buy": 2.5},
        timestamp="t",
        half_life="7d",
        users=PEOPLE,
        items=GOODS,
        columns={"price": "number"},
    ).save(other)
    theirs = other.read_bytes()
    shapes = [
        {name: entry["shape"] for name, (_, _, entry) in arrays_in(each).items() if "model" in name}
        for each in (content, theirs)
    ]
    assert shapes[0] == shapes[1]
    for part in ("model", "numbering"):
        path.write_bytes(with_part_of(content, theirs, part))
        for mmap in (False, True):
            with pytest.raises(ValueError, match="do not belong together: their fingerprints"):
                Recommender.load(path, mmap=mmap)
    path.write_bytes(with_part_of(content, content, "model"))
    Recommender.load(path)
    # A model of the same numbering may be put in.
    little(model(no_components=2, random_state=5)).save(other)
    path.write_bytes(with_part_of(content, other.read_bytes(), "model"))
    assert Recommender.load(path).model_.no_components == 2


# ---- files by strangers --------------------------------------------------------------------------

HOSTILE = [
    None, True, -1, 0, 3, 2**31, 2**63, 1e308, "", "x", "$tuple", "\ud800", [], [[]], [None], {},
    {"x": 1}, {"$tuple": [1]}, {"$tuple": 3}, {"$int": "z"}, {"$float": "nan"}, {"$bytes": "=="},
    [[1, 2], [1, 2]], [["a", -1]], ["view", "view"], ["view"],
]  # fmt: skip


def places_in(plain, at=()):
    """The paths to everything in a header but the arrays' entries, which other tests forge."""
    if at == ("arrays",):
        return
    if at:
        yield at
    if type(plain) in (dict, list):
        for key in plain if type(plain) is dict else range(len(plain)):
            yield from places_in(plain[key], (*at, key))


def changed(header, at, value):
    header = copy.deepcopy(header)
    inner = header
    for key in at[:-1]:
        inner = inner[key]
    if value is places_in:  # stands for nothing
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return header


def use(shop):
    """What must not crash, whatever a file held; a refusal is right."""
    later = pd.DataFrame({**SMALL, "u": ["eve"] * 5})
    for ask in (
        lambda: shop.recommend(exclude=False, num_threads=1),
        lambda: shop.recommend({"c": "p"}, k=2, popularity=1.0, num_threads=1),
        lambda: shop.recommend(["ann", "nobody"], exclude="view", where={"price": between(1)}),
        lambda: shop.recommend(history=[["x"]], at_most={"price": 1}, num_threads=1),
        lambda: shop.similar_items(num_threads=1),
        lambda: shop.explain("ann", "x"),
        lambda: (str(shop), shop._repr_html_()),
        lambda: shop.evaluate(later, num_threads=1),
        lambda: copy.deepcopy(shop).update(later, num_threads=1, verbose=False),
    ):
        try:
            ask()
        except (ValueError, TypeError, ImportError):
            pass


@pytest.mark.filterwarnings("ignore")
def test_hostile_headers(content, path):
    """Every value of the header in turn, and others in its place: a ValueError, or of use."""
    _, header, rest = parts_of(content)
    n_loaded = 0
    for n, at in enumerate(list(places_in(header))):
        for value in [places_in, *HOSTILE[n % 5 :: 5]]:
            path.write_bytes(forged(changed(header, at, value), rest))
            try:
                shop = Recommender.load(path)
            except ValueError:
                continue
            n_loaded += 1
            if n_loaded % 9 == 0:  # which takes its time
                use(shop)
    assert n_loaded > 50


@pytest.mark.filterwarnings("ignore")
def test_hostile_arrays(content, path):
    """Arrays of any numbers, whose checksums are right."""
    _, header, _ = parts_of(content)
    for name, (begin, end, entry) in arrays_in(content).items():
        dtype = np.dtype(entry["dtype"])
        for value in (0, 1, -1, 2**31 - 1, 2**63 - 1, np.nan):
            with np.errstate(all="ignore"):
                filled = np.full(entry["shape"], value, np.float64)
                array = filled.astype(dtype) if value == value or dtype.kind == "f" else None
            if array is None:
                continue
            damaged = bytearray(content)
            damaged[begin:end] = array.tobytes()
            new = copy.deepcopy(header)
            (own,) = (one for one in new["arrays"] if one["name"] == name)
            own["crc32"] = zlib.crc32(array.tobytes())
            _, _, rest = parts_of(content)
            rest = bytes(damaged[len(content) - len(rest) :])
            path.write_bytes(forged(new, rest))
            for mmap in (False, True):
                try:
                    shop = Recommender.load(path, mmap=mmap)
                except ValueError as error:
                    assert "cannot load" in str(error)
                else:
                    if not mmap:  # of which it makes no difference
                        use(shop)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (("settings", "rules", "user"), None, "must name the columns of users"),
        (("settings", "rules", "user"), ["u"], "by texts, numbers or tuples"),
        (("settings", "rules", "half_life"), -1, "half_life must be a time above 0"),
        (("settings", "rules", "min_watched"), "x", "weights of events cannot be"),
        (("settings", "event_weights"), [["view", -1]], "weights of events cannot be"),
        (("settings", "kinds"), ["view", "view"], "kinds of events cannot be"),
        (("settings", "kinds"), ["view"], "pairs/kinds"),
        (("settings", "kinds"), [], "must name the columns"),
        (("settings", "duplicates"), "first", "duplicates must be one of"),
        (("settings", "tables"), 3, "cannot make tables of 3"),
        (("parts", "pairs", "n_events"), -1, "n_events=-1"),
        (("parts", "columns", "n_items"), 2, "columns"),
        (("parts", "model", "kind"), "GPT", "a model of the kind 'GPT', which is not known"),
        (("parts", "model", "fingerprint"), "0", "the model and the numbering"),
        (("fingerprint",), "0", "the file and the numbering"),
        (("parts", "users", "encoder"), {}, "encoder"),
        (
            ("parts", "users", "encoder", "encodings", 0, "labels", 0),
            "z",
            "numbering does not have",
        ),
    ],
    ids=str,
)
def test_what_is_said_of_hostile_files(content, path, at, value, said):
    _, header, rest = parts_of(content)
    path.write_bytes(forged(changed(header, at, value), rest))
    with pytest.raises(ValueError, match=f"cannot load .*{said}"):
        Recommender.load(path)


def test_a_baseline_of_other_sizes_is_refused(path):
    little(Popularity()).save(path)
    _, header, rest = parts_of(path.read_bytes())
    path.write_bytes(forged(changed(header, ("parts", "model", "learned", "n_users_"), 9), rest))
    with pytest.raises(ValueError, match=r"the model has \(9, 3\) users and items"):
        Recommender.load(path)


@given(data=st.data())
@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.filterwarnings("ignore")
def test_damage_anywhere(content, tmp_path_factory, data):
    """Bytes changed anywhere in the file, mapped or read, with or without its checksums."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged)
    for mmap in (False, True):
        try:
            use(Recommender.load(path, mmap=mmap))
        except ValueError:
            pass


def test_times_of_training_are_all_that_differs(path):
    """Equal fits make equal files."""
    files = []
    for name in ("a", "b"):
        shop = fitted(PAST, items=PRODUCTS)
        timeless(shop.model_)
        shop.save(path.with_name(name))
        files.append(path.with_name(name).read_bytes())
    assert files[0] == files[1]


def test_a_file_of_more_events_than_int32_can_number(path, monkeypatch):
    """Then SciPy has int64 everywhere, for the items, too."""

    class Wide(sp.coo_matrix):
        def tocsr(self, copy=False):
            by_user = super().tocsr(copy).tocsc()
            by_user.indptr, by_user.indices = (
                part.astype(np.int64) for part in (by_user.indptr, by_user.indices)
            )
            return SimpleNamespace(tocsc=lambda: by_user)

    wide = SimpleNamespace(coo_matrix=Wide, csr_matrix=sp.csr_matrix)
    monkeypatch.setattr("lightfm_clone.recommender.events.sp", wide)
    shop = fitted(epochs=0)
    monkeypatch.undo()
    assert shop.pairs_.indptr.dtype == np.int64
    shop.save(path)
    same_state(shop, Recommender.load(path))


def test_tables_come_out_where_the_library_of_the_fit_is_not_there(tmp_path, monkeypatch):
    fitted().save(tmp_path / "shop.rec")
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    lists = Recommender.load(tmp_path / "shop.rec").recommend(k=1)
    assert type(lists).__module__.split(".")[0] == "pyarrow"
