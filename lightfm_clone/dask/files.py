"""Models on a cluster as folders of files, without pickle, and models that are on no cluster yet.

A folder holds a file for each shard, which a worker writes, and the main file, which names them.
Files of shards have other names at each save. The main file takes the place of the old one in one
step when all others are there, and what it does not name goes then: so at any time the folder holds
a whole model, the old one or the new one.

What comes out of a folder or a pickle is `Away` until it is needed, and then goes to the workers.
"""

from __future__ import annotations

import operator
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import dask
import distributed
import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone._model import parameters
from lightfm_clone.dask import asking
from lightfm_clone.dask.asking import Served
from lightfm_clone.dask.dealing import Deal, kind_of
from lightfm_clone.dask.features import Told
from lightfm_clone.dask.fitting import take_over
from lightfm_clone.dask.parts import (
    Frame,
    Part,
    checked,
    csr_from_arrays,
    csr_to_arrays,
    from_arrays,
    ids_from_arrays,
    ids_to_arrays,
    numbers,
    of_shard,
    rows_from_arrays,
    rows_to_arrays,
    to_arrays,
)
from lightfm_clone.dask.shards import (
    ITEM_ARRAYS,
    Array,
    Dealt,
    KeptState,
    ShardData,
    ShardState,
    Whole,
)
from lightfm_clone.data.encoder import FeatureEncoder
from lightfm_clone.lightfm import LightFM
from lightfm_clone.persistence import model_from_parts, model_to_parts
from lightfm_clone.persistence.container import MAIN_FILE, Arrays, Header, part_of, read, write
from lightfm_clone.persistence.files import as_string
from lightfm_clone.persistence.loading import name_in_errors
from lightfm_clone.persistence.plain import from_plain, to_plain
from lightfm_clone.typing import Path

_KIND = "DaskLightFM"
_SHARD = re.compile(r"shard-\d+-of-\d+\.[0-9a-f]+\.lfm")
_TEMPORARY = re.compile(r"\.lightfm-[0-9a-f]+\.tmp")  # of `persistence.files`
_LEARNED = ("global_mean_", "_fitted_with", "_seen_items")
_PARTS = {"model", "deal", "items", "users", "shards"}


# ---- on no cluster -------------------------------------------------------------------------------


class Away:
    """A model whose shards are on no cluster: in files, or in the memory of this process.

    Parameters
    ----------
    served : Served
        All but what is of single shards: there are no futures in it.
    parts : list of ShardFile or Part
    """

    def __init__(self, served: Served, parts: Sequence[ShardFile | Part]) -> None:
        self.served = served
        self.parts = parts

    @property
    def dealt(self) -> Dealt:
        return self.served.dealt

    def here(self) -> Away:
        """The same in the memory of this process."""
        return Away(self.served, [*map(_read, self.parts)])

    def to_local(self) -> LightFM:
        """See `asking.to_local`; no cluster is needed."""
        parts = [*map(_read, self.parts)]
        return asking.put_together(
            self.served,
            [asking.own_columns(part.data) for part in parts],
            (part.state for part in parts),
        )

    def user_ids(self) -> Array:
        """See `asking.all_users`."""
        return np.sort(np.concatenate([part.data.ids for part in map(_read, self.parts)]))

    def placed(self, client: Any) -> Served:
        """The same on a cluster, each shard near a worker of its own.

        Raises
        ------
        OSError, ValueError
            Where files cannot be read, or are damaged.
        TimeoutError
            If there are no workers.
        """
        workers = list(client.nthreads())
        placed = []
        # Tasks, so that Dask makes again what a worker dies with. What is in memory here goes with
        # its task to the scheduler, which keeps it.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            for shard, part in enumerate(self.parts):
                near = [workers[shard % len(workers)]] if workers else None
                whole = client.submit(
                    _read, part, workers=near, allow_other_workers=bool(near), pure=False
                )
                fields = map(operator.itemgetter, range(len(Part._fields)))
                placed.append([client.submit(field, whole, pure=False) for field in fields])
        data, states, told = (list(each) for each in zip(*placed, strict=True))
        asking.results_of(client, client.map(operator.attrgetter("n_users"), data, pure=False))
        dealt = self.dealt._replace(data=data)
        if _is_table(dealt.users_told):
            dealt = dealt._replace(users_told=dealt.users_told._replace(rows=told))
        before = self.served
        return Served(
            before.parameters, before.learned, before.items, dealt, [*map(KeptState, states)]
        )


def brought(served: Served, client: Any) -> Away:
    """What a pickle holds: all rows, in the memory of this process."""
    each = ((shard, (told,)) for shard, told in enumerate(_told(served)))
    parts = served.ask(client, _part, each, needs_items=False)
    return Away(_bare(served), parts)


def _bare(served: Served) -> Served:
    """All but what is of single shards."""
    told = served.dealt.users_told
    dealt = served.dealt._replace(
        data=[], n_examples=None, users_told=None if told is None else told._replace(rows=None)
    )
    return Served(served.parameters, served.learned, served.items, dealt, [])


def _told(served: Served) -> list[Any]:
    """Futures of what tables tell of the users of each shard."""
    told = served.dealt.users_told
    return list(told.rows) if _is_table(told) else [None] * len(served.states)


def _part(_: None, data: ShardData, state: ShardState, told: Any) -> Part:
    return of_shard(data, state, told)


def _read(part: ShardFile | Part) -> Part:
    return part if isinstance(part, Part) else part.read()


# ---- saving --------------------------------------------------------------------------------------


def save(model: Any, served: Served, client: Any, path: Path) -> None:
    """See `DaskLightFM.save`."""
    folder = _folder(path)
    tag = secrets.token_hex(8)
    n = len(served.states)
    names = [f"shard-{shard:05d}-of-{n:05d}.{tag}.lfm" for shard in range(n)]
    header, arrays = _main(model, served, tag, names)  # which says what cannot be saved
    os.makedirs(folder, exist_ok=True)
    _tidy(folder)
    each = (
        (shard, (told, folder, name, tag, shard))
        for shard, (told, name) in enumerate(zip(_told(served), names, strict=True))
    )
    try:
        written = served.ask(client, _write, each, needs_items=False)
        for name, worker in zip(names, written, strict=True):
            if not os.path.isfile(os.path.join(folder, name)):
                raise FileNotFoundError(
                    f"path must be a folder that the client and all workers see, got {folder!r}, "
                    f"where the client does not see what the worker {worker} has written; choose a "
                    "folder on a file system that they share"
                )
        write(os.path.join(folder, MAIN_FILE), _KIND, header, arrays)
    finally:
        _tidy(folder)


def _tidy(folder: str) -> None:
    """Remove the files of shards that the main file does not name, and what was never finished."""
    named: list[str] = []
    try:
        named = read(os.path.join(folder, MAIN_FILE), _KIND, mmap=True)[0]["parts"]["shards"][
            "names"
        ]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError):
        return  # who knows what it names
    with suppress(OSError):
        for name in os.listdir(folder):
            if name not in named and (_SHARD.fullmatch(name) or _TEMPORARY.fullmatch(name)):
                os.unlink(os.path.join(folder, name))


def _write(
    _: None,
    data: ShardData,
    state: ShardState,
    told: Any,
    folder: str,
    name: str,
    tag: str,
    shard: int,
) -> str:
    """Write the file of a shard, and return the name of the worker; a task."""
    worker: str = distributed.get_worker().address
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"path must be a folder that the client and all workers see, got {folder!r}, which the "
            f"worker {worker} does not see; choose a folder on a file system that they share"
        )
    header, arrays = to_arrays(of_shard(data, state, told))
    write(os.path.join(folder, name), _KIND, {"shard": shard, "tag": tag, **header}, arrays)
    return worker


def _main(model: Any, served: Served, tag: str, names: list[str]) -> tuple[Header, Arrays]:
    """What the main file holds."""
    dealt, whole = served.dealt, served.dealt.whole
    header, of_model = model_to_parts(model)
    arrays = {f"model/{name}": of_model[name] for name in ITEM_ARRAYS}
    arrays |= {"of_buckets": dealt.deal.of_buckets, "item_counts": whole.item_counts}
    arrays |= {"shared": whole.shared}
    if dealt.item_ids is not None:
        arrays |= ids_to_arrays(dealt.item_ids, "item_ids")
    if whole.item_features is not None:
        arrays |= csr_to_arrays(whole.item_features, "item_features")
    if _is_table(dealt.users_told):
        arrays["users_told/places"] = dealt.users_told.places
    if _is_table(dealt.items_told):
        arrays["items_told/places"] = dealt.items_told.places
        arrays |= rows_to_arrays(dealt.items_told.rows, "items_told")
    parts = {
        "model": header,
        "deal": {"n_shards": dealt.deal.n_shards, "kind": dealt.deal.kind},
        "items": {
            "n": whole.n_items,
            "ids": None if dealt.item_ids is None else kind_of(dealt.item_ids),
            "told": _plain_of(dealt.items_told),
        },
        "users": {
            "n_of_shards": dealt.n_users,
            "n_features": whole.n_user_features,
            "has_features": whole.has_user_features,
            "told": _plain_of(dealt.users_told),
        },
        "shards": {"tag": tag, "names": names},
    }
    return {"parts": parts}, arrays


def _is_table(told: Told | None) -> bool:
    """Whether tables tell of users or items, and not a matrix, nor nothing."""
    return told is not None and told.encoder is not None


def _plain_of(told: Told | None) -> Any:
    if told is None:
        return None
    if told.encoder is None:
        return {"encoder": None}
    return {"encoder": told.encoder.to_plain(), "column": to_plain(told.column, "a column of ids")}


# ---- loading -------------------------------------------------------------------------------------


class ShardFile(NamedTuple):
    """The file of a shard, and what it must hold."""

    folder: str
    name: str
    tag: str
    shard: int
    n_users: int
    frame: Frame

    def read(self) -> Part:
        """Read and check it; a task, or in the client."""
        path = os.path.join(self.folder, self.name)
        with name_in_errors(path):
            try:
                header, arrays = read(path, _KIND)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"the file {path!r} is not there {_for_whom()}: path must be a folder that the "
                    "client and all workers see; or the folder has been saved to since: load it "
                    "again"
                ) from error
            if (header.get("tag"), header.get("shard")) != (self.tag, self.shard):
                raise ValueError("it belongs to another model than the main file of its folder")
            part = from_arrays(header, arrays, self.frame)
            if part.data.n_users != self.n_users:
                raise ValueError(f"it must hold {self.n_users} users, got {part.data.n_users}")
        return part


def _for_whom() -> str:
    try:
        return f"for the worker {distributed.get_worker().address}"
    except ValueError:
        return "here"


def load(cls: type[Any], path: Path, *, mmap: bool, client: Any) -> Any:
    """See `DaskLightFM.load`."""
    if mmap:
        raise checks.UnsupportedError(
            "mmap must be False, got True: workers read their shards into memory"
        )
    folder = _folder(path)
    main = os.path.join(folder, MAIN_FILE)
    with name_in_errors(folder):
        if not os.path.isdir(folder):
            read(folder, _KIND)
            raise ValueError(
                "it is one of the files of a model, which is the folder; load "
                f"{os.path.dirname(folder)!r}"
            )
        if not os.path.exists(main):
            raise ValueError(
                f"it is a folder without a file {MAIN_FILE!r}, so DaskLightFM.save has not written "
                "it, or was interrupted when it did so for the first time"
            )
        header, arrays = read(main, _KIND)
        unknown = set(header["parts"]) - _PARTS
        if unknown:
            raise ValueError(
                f"it holds the part {min(unknown)!r}, which this version does not know; it was "
                f"saved by {header['saved_by']}: upgrade lightfm_clone"
            )
        model = _model(cls, folder, header, arrays)
    model.client = client
    if client is None:
        try:
            distributed.default_client()
        except ValueError:  # there is none; the shards are read when they are needed
            return model
    model._served = model._served.placed(model.client_)
    return model


def _model(cls: type[Any], folder: str, header: Header, arrays: Arrays) -> Any:
    """The model of what `_main` made, on no cluster."""
    parts = header["parts"]
    of_items, of_users = parts["items"], parts["users"]
    model = model_from_parts(
        cls, {"saved_by": header["saved_by"], **parts["model"]}, part_of(arrays, "model")
    )
    deal = _deal(parts["deal"], arrays)
    n_items, n_features = (
        _count(of[key]) for of, key in ((of_items, "n"), (of_users, "n_features"))
    )
    n_users, names, tag = of_users["n_of_shards"], parts["shards"]["names"], parts["shards"]["tag"]
    if not len(names) == len(n_users) == deal.n_shards:
        raise ValueError(f"it must have {deal.n_shards} shards, got {len(names)}")
    if not all(type(name) is str and _SHARD.fullmatch(name) for name in names):
        raise ValueError(f"its shards cannot be in the files {names}")
    items = {name: getattr(model, name) for name in ITEM_ARRAYS}
    if any(array is None for array in items.values()):
        raise ValueError("it lacks arrays of the items")
    n_rows, no_components = items["item_embeddings"].shape
    features: Any = None
    ids: Any = None
    if of_items["ids"] is not None:
        ids = ids_from_arrays(arrays, "item_ids", of_items["ids"])
        if len(ids) != n_items:
            raise ValueError(f"it must have the ids of {n_items} items, got {len(ids)}")
    if "item_features/indptr" in arrays:
        features = csr_from_arrays(arrays, "item_features", (n_items, n_rows))
    elif n_rows != n_items:
        raise ValueError(f"it has {n_items} items, but arrays of {n_rows}")
    item_counts = checked(arrays, "item_counts", np.int64, (n_items,))
    if (item_counts < 0).any():
        raise ValueError("item_counts must be counts")
    if type(of_users["has_features"]) is not bool:
        raise ValueError(f"has_features cannot be {of_users['has_features']!r}")
    users_told = _told_of(of_users["told"], arrays, "user", n_features)
    items_told = _told_of(of_items["told"], arrays, "item", n_rows)
    if _is_table(items_told):
        rows = rows_from_arrays(arrays, "items_told", ids, len(items_told.places), n_rows)
        items_told = items_told._replace(rows=rows)
    whole = Whole(
        n_items,
        item_counts,
        features,
        numbers(arrays, "shared", n_features),
        n_features,
        of_users["has_features"],
    )
    frame = Frame(
        deal.kind,
        n_items,
        len(whole.shared),
        n_features,
        whole.has_user_features,
        len(users_told.places) if _is_table(users_told) else None,
        no_components,
    )
    dealt = Dealt([], [*map(_count, n_users)], None, whole, ids, deal, users_told, items_told)
    learned = {name: getattr(model, name) for name in _LEARNED}
    served = Served(parameters.of(model) | {"random_state": None}, learned, items, dealt, [])
    take_over(model, served)
    model._served = Away(
        served,
        [
            ShardFile(folder, name, tag, shard, n_users[shard], frame)
            for shard, name in enumerate(names)
        ],
    )
    return model


def _deal(plain: Any, arrays: Arrays) -> Deal:
    of_buckets = arrays["of_buckets"]
    deal = Deal(_count(plain["n_shards"]), of_buckets, plain["kind"])
    checked(arrays, "of_buckets", np.int32, of_buckets.shape[:1])
    if not len(of_buckets) or not 0 <= of_buckets.min() <= of_buckets.max() < deal.n_shards:
        raise ValueError(f"of_buckets must hold numbers of {deal.n_shards} shards")
    return deal


def _told_of(plain: Any, arrays: Arrays, side: str, n_columns: int) -> Any:
    if plain is None:
        return None
    if plain["encoder"] is None:
        return Told()
    encoder = FeatureEncoder.from_plain(plain["encoder"])
    encoder.argument = f"{side}_features"
    column = from_plain(plain["column"])
    hash(column)
    places = numbers(arrays, f"{side}s_told/places", n_columns)
    if len(places) != len(encoder.feature_names_):
        raise ValueError(f"{side}s must tell of {len(encoder.feature_names_)} features")
    return Told(encoder, column, places)


def _count(given: Any) -> int:
    if type(given) is not int or not 0 <= given <= 2**53:
        raise ValueError(f"it counts {given!r}")
    return given


def _folder(path: Path) -> str:
    folder = as_string(path)
    if "://" in folder:
        raise ValueError(
            f"path must be a folder on a file system that the client and all workers see, got the "
            f"URL {folder!r}; mount it, or copy the folder there"
        )
    return os.path.abspath(folder)  # workers may be in other folders
