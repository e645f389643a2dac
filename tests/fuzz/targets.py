"""Cheap targets, each one input: a call with hostile arguments whose outcome is checked.

A target returns None; an AssertionError, or any exception that is not documented, is a failure.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import functools
import json
import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import LightFM, cross_validation, evaluation
from lightfm_clone import _checks as checks
from lightfm_clone.data import Dataset

from . import hostile

N_USERS, N_ITEMS = 7, 9  # few, so that hostile indices are often right and often wrong


class Failure(AssertionError):
    """Something that must not happen."""


@contextlib.contextmanager
def outcome(**lent: Any) -> Iterator[None]:
    """A result or a documented refusal; what was lent is as it was afterwards."""
    before = {name: hostile.content(value) for name, value in lent.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            if not hostile.refused(error):
                raise Failure(f"{type(error).__name__}: {error}") from error
    for name, value in lent.items():
        if hostile.content(value) != before[name]:
            raise Failure(f"{name} was changed")


def require(holds: Any, what: str) -> None:
    if not holds:
        raise Failure(what)


@functools.cache
def model(kind: str = "plain") -> LightFM:
    """A fitted model, shared by all inputs of this process and never changed by one."""
    rng = np.random.default_rng(0)
    interactions = sp.coo_matrix(rng.random((N_USERS, N_ITEMS)) < 0.4)
    if kind == "hybrid":
        return LightFM(no_components=3, random_state=0).fit(
            interactions,
            user_features=sp.csr_matrix(rng.random((N_USERS, 4)).astype(np.float32)),
            item_features=sp.csr_matrix(rng.random((N_ITEMS, 5)).astype(np.float32)),
        )
    return LightFM(no_components=3, random_state=0, loss=kind if kind != "plain" else "warp").fit(
        interactions, epochs=2
    )


# ---- ids -----------------------------------------------------------------------------------------


def ids(c: Any) -> None:
    """`predict`, `recommend`, `similar_items` and `explain` of ids of any sort."""
    plain = model()
    users, items = hostile.ids(c, N_USERS), hostile.ids(c, N_ITEMS)
    wanted = [hostile.whole_numbers(value) for value in (users, items)]
    with outcome(users=users, items=items):
        scores = plain.predict(users, items)
        require(None not in wanted, f"scores for {users!r}, {items!r}")
        rows, columns = wanted
        rows = rows * len(columns) if len(rows) == 1 else rows
        require(min(rows) >= 0 and max(rows) < N_USERS, "a user beyond the model")
        require(min(columns) >= 0 and max(columns) < N_ITEMS, "an item beyond the model")
        expected = (plain.user_embeddings[rows] * plain.item_embeddings[columns]).sum(axis=1)
        expected += plain.user_biases[rows] + plain.item_biases[columns]
        require(scores.dtype == np.float32 and scores.shape == (len(columns),), "type of scores")
        require(np.allclose(scores, expected, atol=1e-5), "wrong scores")
    if c.integer(0, 1):
        k = c.pick([1, 2, 20]) if c.integer(0, 3) else hostile.parameter(c)
        if isinstance(k, int) and k > 1000:
            k = 1000
        with outcome(users=users, items=items):
            found, scores = plain.recommend(users, k, items=items)
            require(found.shape == scores.shape and found.shape[1] == k, "shape of lists")
            allowed = {-1, *(range(N_ITEMS) if items is None else hostile.whole_numbers(items))}
            require(set(found.ravel().tolist()) <= allowed, "an item that was not offered")
            require(bool((np.diff(np.nan_to_num(scores), axis=1) <= 0).all()), "order of scores")
        with outcome(items=items, users=users):
            near, _ = plain.similar_items(items, k, among=users)
            require(near.min() >= -1 and near.max() < N_ITEMS, "an item beyond the model")
    if c.integer(0, 3) == 0:
        with outcome(users=users, items=items):
            why = plain.explain(users, items)
            require(
                math.isclose(why.score, plain.predict(users, [*wanted[1]])[0], abs_tol=1e-5),
                "explanation differs from the score",
            )


# ---- matrices ------------------------------------------------------------------------------------


def matrices(c: Any) -> None:
    """Every place that takes a matrix, and what SciPy-independent arithmetic says of it."""
    given = hostile.matrix(c, N_USERS, N_ITEMS)
    known = hostile.entries(given) if sp.issparse(given) and given.format in ENTRIES else None
    with outcome(given=given):
        csr = checks.as_csr(given, "given")
        if sp.issparse(given) and given.format in ENTRIES:
            require(known is not None, "a matrix that is none was taken")
            found = hostile.entries(csr)
            require(found is not None, "an invalid matrix came out")
            require(
                found.keys() == known.keys()
                and (
                    given.dtype.kind != "f"  # sums of small integers may wrap around
                    or np.allclose([*found.values()], [known[at] for at in found])
                ),
                "other entries came out",
            )
    MATRIX_USES[c.integer(0, len(MATRIX_USES) - 1)](c, given)


ENTRIES = ("coo", "csr", "csc")


def _fit(c: Any, given: Any) -> None:
    losses = ("logistic", "bpr", "warp", "warp-kos", "mse", "softmax")
    fresh = LightFM(
        no_components=c.integer(1, 5),
        random_state=1,
        loss=c.pick(losses),
        learning_schedule=c.pick(("adagrad", "adadelta", "sgd")),
        item_alpha=c.pick((0, 0, 1e-3)),
        stored_negatives=c.pick((0, 0.5)),
        negatives=c.pick(("all", "seen")),
        identity_dropout=c.pick((0, 0.5)),
    )
    weights = None
    if c.integer(0, 3) == 0:
        weights = given if c.integer(0, 1) else hostile.matrix(c, N_USERS, N_ITEMS)
    features = {}
    if c.integer(0, 2) == 0:
        features["user_features"] = hostile.matrix(c, N_USERS, 4)
    if c.integer(0, 2) == 0:
        features["item_features"] = hostile.matrix(c, N_ITEMS, 4)
    threads = c.pick((1, 1, 1, 2))
    with outcome(given=given, weights=weights, **features):
        fresh.fit(given, sample_weight=weights, epochs=2, num_threads=threads, **features)
        for side in ("user", "item"):
            for name in ("embeddings", "biases"):
                require(np.isfinite(getattr(fresh, f"{side}_{name}")).all(), "not finite")
    if fresh.item_embeddings is None:
        require(all(getattr(fresh, name) is None for name in ARRAYS), "half a model")


ARRAYS = tuple(f"{side}_{name}" for side in ("user", "item") for name in ("embeddings", "biases"))


def _rank(c: Any, given: Any) -> None:
    train = hostile.matrix(c, N_USERS, N_ITEMS) if c.integer(0, 1) else None
    check = bool(c.integer(0, 1))
    with outcome(given=given, train=train):
        ranks = model().predict_rank(given, train, check_intersections=check)
        require(ranks.shape == (N_USERS, N_ITEMS), "shape of ranks")
        require(
            not ranks.nnz or (ranks.data.min() >= 0 and ranks.data.max() < N_ITEMS), "rank beyond"
        )
    with outcome(given=given, train=train):
        evaluation.evaluate(
            model(), given, train, metrics=["ndcg@3", "auc"], check_intersections=check
        )


def _exclude(c: Any, given: Any) -> None:
    kind = c.pick(("plain", "softmax", "mse"))
    with outcome(given=given):
        found, _ = model(kind).recommend(None, 4, exclude=given)
        known = None
        if sp.issparse(given) and given.format in ENTRIES:
            known = hostile.entries(given)
        for user, row in enumerate(found.tolist()):
            for item in row:
                require(known is None or (user, item) not in known, "an excluded item")


def _features(c: Any, given: Any) -> None:
    hybrid = model("hybrid")
    side, width = c.pick([("user", 4), ("item", 5)])
    features = {f"{side}_features": hostile.matrix(c, 6, width)}
    with outcome(**features):
        hybrid.predict([0, 1, 5], [2, 4, 3], **features)
    with outcome(**features):
        biases, vectors = getattr(hybrid, f"get_{side}_representations")(*features.values())
        require(len(biases) == len(vectors) and vectors.shape[1] == 3, "shape of representations")
    with outcome(**features):
        hybrid.recommend([0, 1], 3, **features)
    with outcome(**features):
        getattr(hybrid, f"similar_{side}s")([0, 1], 3, **features)
    with outcome(**features):
        hybrid.explain(0, 1, **features)


def _fold_in(c: Any, given: Any) -> None:
    known = model(c.pick(("plain", "bpr", "mse", "softmax", "warp-kos", "logistic")))
    epochs = c.pick((1, 3, 0, -1))
    with outcome(given=given):
        biases, vectors = known.fold_in_users(given, epochs=epochs, random_state=0)
        require(np.isfinite(vectors).all() and np.isfinite(biases).all(), "not finite")
        found, _ = known.recommend(user_representations=(biases, vectors), k=2, exclude=given)
        require(len(found) == given.shape[0], "users got lost")
    given = hostile.matrix(c, N_USERS, 3)
    train = model_data() if c.integer(0, 1) else hostile.matrix(c, N_USERS, N_ITEMS)
    with outcome(given=given, train=train):
        biases, vectors = known.fold_in_items(
            given, train_interactions=train, epochs=epochs, random_state=0
        )
        require(np.isfinite(vectors).all() and len(biases) == given.shape[1], "not finite")


def _split(c: Any, given: Any) -> None:
    share = c.pick([0.2, 0.5, 0, 1]) if c.integer(0, 2) else hostile.parameter(c)
    seed = c.pick([0, 1]) if c.integer(0, 5) else hostile.parameter(c)
    times = c.pick([None, list(range(given.nnz)) if sp.issparse(given) and _counts(given) else 0])
    if c.integer(0, 2) == 0:
        times = hostile.ids(c, 5)
    with outcome(given=given):
        split = c.integer(0, 5)
        if split == 0:
            parts = cross_validation.random_train_test_split(given, share, seed)
        elif split == 1:
            parts = cross_validation.time_split(given, times, share)
        elif split == 2:
            parts = cross_validation.leave_last_out(given, times, share)
        elif split == 3:
            parts = next(iter(cross_validation.k_fold(given, share, seed)))
        elif split == 4:
            parts = cross_validation.cold_user_split(given, share, seed)
        else:
            parts = cross_validation.cold_item_split(given, share, seed)
        train, test = parts
        if given.format in ENTRIES:
            require(train.nnz + test.nnz == given.nnz, "entries got lost")
        require(train.shape == test.shape == given.shape, "shape of a split")


def _counts(given: Any) -> bool:
    try:
        return given.nnz <= 100
    except Exception:  # a broken matrix cannot even count
        return False


MATRIX_USES = (_fit, _fit, _rank, _exclude, _features, _fold_in, _split)


# ---- parameters ----------------------------------------------------------------------------------


def parameters(c: Any) -> None:
    """Constructor, set_params, and the numbers that methods take."""
    names = [name for name in LightFM().get_params() if name != "random_state"]
    chosen = {c.pick(names): hostile.parameter(c) for _ in range(c.integer(1, 3))}
    if c.integer(0, 3) == 0:
        chosen["random_state"] = hostile.parameter(c)
    interactions = model_data()
    fresh = None
    with outcome():
        fresh = LightFM(**chosen)
    if fresh is None:
        other = LightFM(random_state=1)
        before = repr(other.get_params())
        with outcome():
            other.set_params(**chosen)
        require(repr(other.get_params()) == before, "a refused set_params changed something")
        # Assigned behind our back, they are noticed at the next fit.
        other.__dict__.update(chosen)
        fresh = other
    if isinstance(getattr(fresh, "no_components", 0), int) and fresh.no_components > 1000:
        fresh.no_components = 7
    with outcome(interactions=interactions):
        epochs = c.pick([1, 2]) if c.integer(0, 3) else hostile.parameter(c)
        threads = c.pick([1, 2, None]) if c.integer(0, 3) else hostile.parameter(c)
        if isinstance(epochs, int | np.integer) and epochs > 10:
            epochs = 10
        fresh.fit(interactions, epochs=epochs, num_threads=threads)
        for name in ARRAYS:
            require(np.isfinite(getattr(fresh, name)).all(), "not finite")
        fresh.predict_rank(interactions)


@functools.cache
def model_data() -> sp.coo_matrix:
    return sp.coo_matrix(np.random.default_rng(2).random((N_USERS, N_ITEMS)) < 0.4)


# ---- arrays that users assign --------------------------------------------------------------------


def assigned(c: Any) -> None:
    """Any of the arrays replaced; everything that reads them, and training on."""
    fresh = copy.deepcopy(model(c.pick(("plain", "mse", "softmax"))))
    for _ in range(c.integer(1, 2)):
        name = c.pick([name for name in vars(fresh) if _is_array(name)])
        setattr(fresh, name, hostile.array_like(c, np.shape(getattr(fresh, name))))
    lent = {name: getattr(fresh, name) for name in vars(fresh) if _is_array(name)}
    with outcome(**lent):
        fresh.predict([0, 1], [1, 2])
    with outcome(**lent):
        fresh.recommend([0, 1], 3)
    with outcome(**lent):
        fresh.predict_rank(model_data())
    with outcome(**lent):
        fresh.get_item_representations()
    with outcome(**lent):
        fresh.explain(0, 1)
    with outcome(**lent):
        fresh.score_vectors()
    if c.integer(0, 9) == 0:
        with outcome(**lent):
            path = os.path.join(hostile.scratch_folder(), f"lightfm-assigned-{os.getpid()}")
            try:
                fresh.save(path)
                LightFM.load(path)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(path)
    with outcome(**lent):
        trained = copy.deepcopy(fresh)  # training writes into arrays
        trained.fit_partial(model_data(), epochs=1)
        for name in ARRAYS:
            require(np.isfinite(getattr(trained, name)).all(), "not finite")


def _is_array(name: str) -> bool:
    return name.startswith(("item_", "user_")) and not name.endswith("alpha")


# ---- datasets ------------------------------------------------------------------------------------

_NAMES = (*"abcdef", 1, 2, 3, 1.0, True, None, (1, "a"), b"a", "", "\ud800", math.nan, 2**70, 0.5)


def _id_list(c: Any) -> Any:
    kind = c.integer(0, 9)
    if kind == 0:
        return hostile.ids(c, 4)
    names = [c.pick(_NAMES) for _ in range(c.integer(0, 8))]
    if kind == 1:
        names.append(c.pick(hostile._ODD))
    if kind == 2:
        return np.array(names, dtype=object)
    if kind == 3:
        return np.array([c.integer(-3, 9) for _ in range(c.integer(0, 8))], c.pick(["i4", "f8"]))
    if kind == 4:
        return iter(names)
    return names


def datasets(c: Any) -> None:
    """Ids and features of any sort through `Dataset`."""
    dataset = Dataset(bool(c.integer(0, 3)), bool(c.integer(0, 3)))
    lists = [_id_list(c) for _ in range(4)]
    lent = {f"list {i}": each for i, each in enumerate(lists) if not hasattr(each, "__next__")}
    with outcome(**lent):
        dataset.fit(*lists)
    with outcome():
        dataset.fit_partial(users=_id_list(c), item_features=_id_list(c))
    for mapping in dataset.mapping():
        require([*mapping.values()] == [*range(len(mapping))], "numbers with gaps")
    users, _, items, _ = map(list, dataset.mapping())
    with outcome():
        rows = []
        for _ in range(c.integer(0, 5)):
            known = users and items and c.integer(0, 5)
            row = (c.pick(users), c.pick(items)) if known else (c.pick(_NAMES), c.pick(_NAMES))
            rows.append((*row, hostile.parameter(c)) if c.integer(0, 3) == 0 else row)
        if c.integer(0, 9) == 0:
            rows.append(c.pick(hostile._ODD))
        interactions, weights = dataset.build_interactions(rows)
        require(interactions.nnz == weights.nnz == len(rows), "rows got lost")
        require(interactions.shape == dataset.interactions_shape(), "shape of interactions")
    with outcome():
        features = list(dataset.mapping()[3])
        rows = []
        for _ in range(c.integer(0, 4)):
            name = c.pick(features) if features and c.integer(0, 5) else c.pick(_NAMES)
            bag = c.pick([[name], {name: hostile.parameter(c)}, (name, name), name])
            rows.append((c.pick(items) if items else 0, bag))
        built = dataset.build_item_features(rows, normalize=bool(c.integer(0, 1)))
        require(built.shape == dataset.item_features_shape(), "shape of features")
        require(hostile.entries(built) is not None, "an invalid matrix")
    with outcome():
        bags = [bag for _, bag in rows]
        made = dataset.item_feature_rows(bags, unknown=c.pick(("error", "skip")))
        require(made.shape == (len(bags), dataset.item_features_shape()[1]), "shape of rows")
        require(np.isfinite(made.data).all(), "not finite")
    if c.integer(0, 9) == 0:
        path = os.path.join(hostile.scratch_folder(), f"lightfm-dataset-{os.getpid()}")
        with outcome():
            try:
                dataset.save(path)
                require(Dataset.load(path).mapping() == dataset.mapping(), "another dataset")
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _column(c: Any, n: int) -> Any:
    import pandas as pd

    pool = c.pick(
        (
            (1, 2, 3),
            ("a", "b", "c"),
            (1, 2, None, math.nan),
            (0.5, math.nan, math.inf),
            (True, False, None),
            (["a", "b"], ["a"], [], None),
            (datetime.date(2020, 1, 1), None),
            (np.datetime64("2020-01-01"), np.datetime64("NaT")),
            (2**70, -1, 10**400),
            _NAMES,
        )
    )
    values = pd.Series([c.pick(pool) for _ in range(n)], dtype=object)
    try:
        return values.astype(c.pick(("O", "O", "category", "string", "Int64", "f4", "M8[ns]", "?")))
    except Exception:  # pandas has not every value in every type
        return values


def frames(c: Any) -> None:
    """Tables of any content through `Dataset.from_frame`."""
    import pandas as pd

    n = c.integer(0, 5)
    seen = pd.DataFrame({name: _column(c, n) for name in "uiwt"})
    films = None
    if c.integer(0, 1):
        rows = c.integer(0, 4)
        films = pd.DataFrame({name: _column(c, rows) for name in "ifg"})
    table = seen if c.integer(0, 20) else c.pick((None, 3, "a", [], {}, np.ones((2, 2))))
    with outcome():
        made = Dataset.from_frame(
            table,
            user="u",
            item="i",
            weight=c.pick((None, "w", "x")),
            timestamp=c.pick((None, "t", 3)),
            item_features=films,
            numeric=c.pick(("standard", "minmax", None, "other", {"f": "minmax"}, 3)),
            normalize=bool(c.integer(0, 1)),
        )
        require(made.interactions.nnz == n, "rows got lost")
        require(hostile.entries(made.interactions) is not None, "an invalid matrix")
        if films is not None:
            require(hostile.entries(made.item_features) is not None, "an invalid matrix")
            require(np.isfinite(made.item_features.data).all(), "not finite")


def lists(c: Any) -> None:
    """The measures of recommended lists."""
    rows = [[c.integer(-1, N_ITEMS - 1) for _ in range(3)] for _ in range(c.integer(0, 3))]
    given = rows if c.integer(0, 2) else c.pick([hostile.ids(c, 5), [hostile.ids(c, 5)]])
    train = model_data() if c.integer(0, 2) else hostile.matrix(c, N_USERS, N_ITEMS)
    number = c.pick([N_ITEMS, 0.2]) if c.integer(0, 1) else hostile.parameter(c)
    if isinstance(number, int) and number > 10**6:
        number = 10**6
    with outcome(given=given, train=train):
        require(0 <= evaluation.catalogue_coverage(given, number) <= 1, "coverage")
    with outcome(given=given, train=train):
        evaluation.novelty(given, train)
    with outcome(given=given, train=train):
        evaluation.popularity_share(given, train, number)
    with outcome(given=given, train=train):
        evaluation.intra_list_diversity(given, train)


# ---- saved files ---------------------------------------------------------------------------------


@functools.cache
def saved() -> dict[type, list[bytes]]:
    """The bytes of some valid files."""
    path = os.path.join(hostile.scratch_folder(), f"lightfm-saved-{os.getpid()}")
    small = Dataset()
    small.fit(["ann", "bob"], [7, 2**70], ["old"], [("a", 1), b"x", None])
    numbers = Dataset()
    numbers.fit([3, 1], [0.5, 2.5], ["x"], ["y"])
    things = [model(), model("mse"), LightFM(), small, numbers, Dataset()]
    files: dict[type, list[bytes]] = {LightFM: [], Dataset: []}
    for thing in things:
        thing.save(path)
        with open(path, "rb") as file:
            files[type(thing)].append(file.read())
    os.unlink(path)
    return files


_JSON = (
    *(None, True, False, 0, 1, -1, 2, 10, 2**31, 2**63, 2**64, 1.5, -0.0, 1e308, "", "a", "<f4"),
    *("|O", "<f8", "$int", [], [0], [[]], {}, {"$int": "0x1"}, {"$tuple": []}, {"$bytes": "AA=="}),
    *({"$float": "nan"}, {"$float": "inf"}, {"$pickle": "x"}, {"a": 1}, "\ud800", [1, 2, 3], [2]),
    *(["item_embeddings"], {"$bytes": "!"}, {"$int": "9" * 50}, [10**9, 10**9], [-1, 1]),
)


def files(c: Any) -> None:
    """Files that were damaged, or forged with right checksums."""
    cls = c.pick((LightFM, Dataset))
    content = c.pick(saved()[cls])
    for _ in range(c.integer(0, 2)):
        content = c.pick((_damaged, _forged, _forged))(c, content)
    load(cls, content, mapped=c.integer(0, 3) == 0, used=c.integer(0, 9) == 0)


def _damaged(c: Any, content: bytes) -> bytes:
    body = bytearray(content)
    kind = c.integer(0, 5)
    at = c.integer(0, max(len(body) - 1, 0))
    if kind == 0:
        del body[at:]
    elif kind == 1:
        del body[at : at + c.integer(1, 70)]
    elif kind == 2:
        body[at:at] = bytes(c.pick((1, 8, 64)))
    elif kind == 3:
        other = c.pick(saved()[c.pick((LightFM, Dataset))])
        body[at:] = other[c.integer(0, len(other) - 1) :]
    else:
        for _ in range(c.integer(1, 4)):
            if body:
                body[c.integer(0, len(body) - 1) % len(body)] = c.pick(range(256))
    return bytes(body)


def _forged(c: Any, content: bytes) -> bytes:
    """One value in the header replaced or left out, or one in the arrays, with right checksums."""
    try:
        _, _, _, size = struct.unpack_from("<8sIIQ", content)
        header = json.loads(content[24 : 24 + size].decode("utf-8", "surrogatepass"))
        places = list(_places(header))
    except (ValueError, struct.error):
        return content
    rest = bytearray(content[24 + size :])
    if places and c.integer(0, 3):
        holder, key = c.pick(places)
        if c.integer(0, 5) == 0:
            del holder[key]
        elif c.integer(0, 2) == 0 and type(holder[key]) is int:
            holder[key] += c.pick((-1, 1, 2**31, -(2**31)))
        else:
            holder[key] = copy.deepcopy(c.pick(_JSON))
    elif rest:
        at = c.integer(0, len(rest) - 1) % len(rest)
        rest[at : at + 4] = c.pick(
            (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"\0\0\0\x80")
        )
    return sealed(header, bytes(rest))


def sealed(header: Any, rest: bytes) -> bytes:
    """A file whose checksums are right, as far as its arrays are where they should be."""
    entries = header.get("arrays") if isinstance(header, dict) else None
    for _ in range(2):  # the checksums' digits move the arrays no further than to the next 64 bytes
        text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
        text += b" " * (-(24 + len(text)) % 64)
        end = 0
        try:
            for entry in entries:
                begin = end + -end % 64
                end = begin + math.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize
                if 0 <= begin <= end <= len(rest):
                    entry["crc32"] = zlib.crc32(rest[begin:end])
        except (TypeError, LookupError, ValueError, AttributeError, OverflowError):
            pass
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    text += b" " * (-(24 + len(text)) % 64)
    preamble = struct.pack("<8sIIQ", b"\x89LFM\r\n\x1a\n", 1, zlib.crc32(text), len(text))
    return preamble + text + rest


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a header, as a holder and a key."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def load(cls: type, content: bytes, mapped: bool = False, used: bool = True) -> None:
    """Load a file of that content, in one of two ways, and use what comes out, or not."""
    path = os.path.join(hostile.scratch_folder(), f"lightfm-fuzz-{os.getpid()}")
    with open(path, "wb") as file:
        file.write(content)
    options = {"mmap": True} if cls is LightFM and mapped else {}
    loaded = None
    with outcome():
        loaded = cls.load(path, **options)
        require(type(loaded) is cls, "another class")
    if cls is Dataset and loaded is not None:
        for mapping in loaded.mapping():
            require([*mapping.values()] == [*range(len(mapping))], "numbers with gaps")
        with outcome():
            loaded.build_interactions([])
    elif loaded is not None and used:
        with outcome():
            repr(loaded)
            loaded.predict([0, 1], [0, 1])
        with outcome():
            loaded.recommend([0], 3)
        loaded.no_components = min(loaded.no_components, 7)
        with outcome():
            loaded.fit_partial(model_data(), epochs=1)
    with open(path, "rb") as file:
        require(file.read() == content, "the file was changed")


TARGETS: dict[str, Callable[[Any], None]] = {
    "ids": ids,
    "matrices": matrices,
    "parameters": parameters,
    "assigned": assigned,
    "datasets": datasets,
    "frames": frames,
    "lists": lists,
    "files": files,
}
