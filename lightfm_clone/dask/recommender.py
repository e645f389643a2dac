"""What `Recommender(DaskLightFM(...))` is: signatures, and what leads a question to the shards."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from lightfm_clone._checks import UnsupportedError, check_k, check_num_threads, names_ours
from lightfm_clone._model.explain import Explanation
from lightfm_clone._tables import is_missing, make
from lightfm_clone.dask import shop as shop_of
from lightfm_clone.dask import tables
from lightfm_clone.dask.asking import all_users, threads_of
from lightfm_clone.dask.dealing import Array
from lightfm_clone.dask.documented import as_in
from lightfm_clone.dask.evaluating import Evaluation, merged, sums_of
from lightfm_clone.dask.logs import Later, later
from lightfm_clone.dask.shop import Shard
from lightfm_clone.dask.writing import column_of, into_folder, schema_of, write_part
from lightfm_clone.data.columns import Codes
from lightfm_clone.evaluation.sums import Sums
from lightfm_clone.recommender import Recommender, judging, people, serving
from lightfm_clone.recommender.people import People
from lightfm_clone.recommender.serving import Lists
from lightfm_clone.recommender.sides import numbers_of
from lightfm_clone.typing import Id, Path, Table

_Asked = list[tuple[int, Array]]  # shards, and the places of those whom they have


class DaskRecommender(Recommender):
    """A `Recommender` whose users are dealt to shards on a cluster, with all that they have done.

    It is what ``Recommender(DaskLightFM(...))`` makes. No process reads all events: each worker
    reads partitions, and holds its users. The tables of users and items are read by the client.
    Ids of users and of items are texts or whole numbers.

    Attributes
    ----------
    model_ : DaskLightFM
    user_ids_, item_ids_ : arrays
        All ids; those of users ascending.
    report_ : DataReport
        Of the whole, as on one machine. Where there are more than 100,000 ids, others are looked at
        as examples.
    item_features_, item_columns_, item_encoder_, user_encoder_
        As those of `Recommender`.

    Notes
    -----
    With one worker of one thread, the model is bit for bit that of one machine, on events in order
    of their users' ids. What is not here (`update`, `compare`, `save` and others) is asked of
    `to_local()`.
    """

    _fit = shop_of.fit

    # What a fit leaves behind.
    _known: shop_of.Known
    _front: Shard
    _shards: list[Any] | None

    def __getstate__(self) -> dict[str, Any]:
        if hasattr(self, "_front"):
            raise UnsupportedError(
                "a recommender on a cluster cannot be pickled once it is fitted; pickle to_local()"
            )
        return super().__getstate__()

    def __copy__(self) -> Any:
        made = object.__new__(type(self))
        made.__dict__.update(super().__getstate__())
        return made

    def _now(self) -> NoReturn:
        self._fitted()
        raise UnsupportedError(
            "this needs all users in one process: ask it of to_local(), which brings them here"
        )

    def _fitted(self) -> Shard:
        """The recommender of no users: what knows items alone, and strangers, is asked there."""
        if not hasattr(self, "_front"):
            raise ValueError("the recommender is not fitted yet: call fit first")
        return self._front

    @property
    def user_ids_(self) -> Any:
        self._fitted()
        return all_users(self.model_._now(), self.model_.client_)

    @property
    def item_ids_(self) -> Any:
        return self._fitted().item_ids_

    # ---- lists -----------------------------------------------------------------------------------

    @as_in(Recommender.recommend, num_threads="num_threads : int or None\n    Of each worker.")
    @names_ours
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Any = None,
        exclude: bool | Id | Sequence[Id] = True,
        items: Any = None,
        deny: Any = None,
        where: Mapping[Hashable, Any] | None = None,
        at_most: Mapping[Hashable, int] | None = None,
        popularity: float = 0.0,
        diversity: float = 0.0,
        num_threads: int | None = None,
    ) -> Table:
        rules = {
            "exclude": exclude,
            "items": items,
            "deny": deny,
            "where": where,
            "at_most": at_most,
            "popularity": popularity,
            "diversity": diversity,
        }
        asked = self._people(users, history)
        found = self._lists(asked, k, num_threads, rules)
        return make(asked.kind or self._kind, serving.columns_of_lists(self._fitted(), found))

    @as_in(
        Recommender.write_lists,
        summary="""
            Write the lists of all users into a folder of Parquet files, a part for each shard.

            Each worker writes the lists of its own users, some thousand at a time.
            """,
        path="""
            path : str or os.PathLike
                A folder that all workers see, or a URL of an object store. A part is there when it
                is whole; parts of an earlier call are replaced.
            """,
        **{
            "users, k, num_threads": """
                users : None
                    All users.
                k, num_threads
                    As in `recommend`.
                """
        },
        verbose="verbose : bool\n    Not used.",
    )
    @names_ours
    def write_lists(
        self,
        path: Path,
        users: Any = None,
        k: int = 10,
        *,
        num_threads: int | None = None,
        verbose: bool = True,
        **rules: Any,
    ) -> None:
        front = self._fitted()
        if users is not None:
            raise UnsupportedError(
                "users must be None on a cluster, which writes the lists of all users; "
                "recommend(users) gives those of some"
            )
        rules = serving.checked_rules(rules)
        serving.rules(front, n_people=0, **rules)
        check_k(k)
        shift = self._shift(rules)

        def write(folder: str, names: list[str]) -> list[str]:
            further = (k, num_threads, shift, rules)
            each = ((shard, (folder, name, *further)) for shard, name in enumerate(names))
            return shop_of.ask(self, _write, each)

        into_folder(self.model_._now(), self.model_.client_, path, write)

    @as_in(Recommender.similar_items)
    @names_ours
    def similar_items(
        self,
        items: Any = None,
        k: int = 10,
        *,
        where: Mapping[Hashable, Any] | None = None,
        num_threads: int | None = None,
    ) -> Table:
        return serving.similar_items(self._fitted(), items, k, where, num_threads)

    @as_in(Recommender.explain)
    @names_ours
    def explain(self, user: Any, item: Id) -> Explanation:
        asked = self._people(user, None)
        of_shards, others = self._where(asked)
        if len(others) or len(asked) != 1:
            found: Explanation = serving.explain(self._fitted(), asked, item)
            return found
        (found,) = shop_of.ask(
            self, _explain, ((shard, (asked.part(at), item)) for shard, at in of_shards)
        )
        return found

    # ---- how good it is --------------------------------------------------------------------------

    @as_in(
        Recommender.evaluate,
        Returns="""
            Evaluation
                As on one machine, to the last digit, but without values of single users.
            """,
    )
    @names_ours
    def evaluate(
        self,
        events: Any,
        *,
        relevant: Id | Sequence[Id] | None = None,
        users: Any = None,
        exclude: bool | Id | Sequence[Id] = True,
        metrics: str | Sequence[str] | None = None,
        num_threads: int | None = None,
    ) -> Any:
        front = self._fitted()
        client, dealt = self.model_.client_, self.model_._now().dealt
        log = shop_of.read(client, events, front._rules | {"half_life": None}, front._kinds)
        pieces = tables.made_of(client, log.blocks, dealt, later, addresses=list(client.nthreads()))
        table = shop_of.computed(users)
        further = (log.kinds, relevant, table, exclude, metrics, num_threads)
        each = ((shard, (piece, *further)) for shard, piece in enumerate(pieces))
        answers = shop_of.ask(self, _judge, each)
        left_out: dict[str, int] = {}
        for _, of_shard in answers:
            left_out = {what: left_out.get(what, 0) + n for what, n in of_shard.items()}
        tallies = [tally for tally, _ in answers if tally]
        if not tallies:
            raise judging.nothing_left(left_out)
        parts = {
            label: merged([tally[label] for tally in tallies if label in tally])
            for label in (None, *judging.GROUPS, judging.NEW_ITEMS)
            if any(label in tally for tally in tallies)
        }
        whole = parts.pop(None)
        groups: dict[Id, Evaluation] = {
            str(label): Evaluation(part) for label, part in parts.items()
        }
        return Evaluation(whole, groups, left_out)

    def item_table(self, *, features: bool = True) -> Table:
        """Vectors of all items as a table; see `Recommender.item_table`."""
        return serving.table_of_vectors(self._fitted(), "item", features)

    # ---- on one machine --------------------------------------------------------------------------

    def to_local(self) -> Recommender:
        """All of it in this process: a plain recommender of a `LightFM`.

        Returns
        -------
        Recommender
            With all pairs, users in ascending order of their ids; it can be updated, saved and
            served.
        """
        self._fitted()
        return shop_of.to_local(self)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, model_class: Any = None) -> Any:
        """See `Recommender.load`: what a file holds is of one machine."""
        return Recommender.load(path, mmap=mmap, model_class=model_class)

    def __str__(self) -> str:
        return f"{self!r}\n{self.report_}" if hasattr(self, "_front") else repr(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    # ---- people ----------------------------------------------------------------------------------

    def _people(self, users: Any, history: Any) -> People:
        """Who is asked about, all as strangers: their shards know whether they are."""
        front = self._fitted()
        if users is None and history is None:
            ids = self.user_ids_
            return People(ids, np.full(len(ids), -1, np.int64), None, None, None)
        return people.find(front, users, history)

    def _where(self, asked: People) -> tuple[_Asked, Array]:
        """The shards that people belong to, with the places of theirs, and those of the others."""
        labels = asked.labels
        if not asked.have_ids or not len(labels):
            return [], np.arange(len(labels))
        served = self.model_._now()
        kind = served.dealt.deal.kind
        has_id = np.ones(len(labels), bool)
        if labels.dtype == object:
            has_id[:] = [not is_missing(one) for one in labels]
        at = np.flatnonzero(has_id)
        ids = labels[at]
        of = str if kind == "texts" else int
        if (labels.dtype == object) or of is str:
            other = next((one for one in ids.tolist() if type(one) is not of), None)
            if other is not None:
                raise ValueError(
                    f"users must hold {kind}, as the ids of the fit are, got {other!r}; convert "
                    "them, and mind leading zeros"
                )
            ids = ids.astype(object if of is str else np.int64)
        of_shards = [(shard, at[own]) for shard, own in served.shards_of(ids)] if len(at) else []
        return of_shards, np.flatnonzero(~has_id)

    def _lists(
        self, asked: People, k: int, num_threads: int | None, rules: dict[str, Any]
    ) -> Lists:
        front = self._fitted()
        serving.rules(front, n_people=len(asked), **rules)  # which checks them
        check_k(k)
        shift = self._shift(rules)
        of_shards, others = self._where(asked)
        each = (
            (shard, (asked.part(at), k, num_threads, shift, self._of(rules, at)))
            for shard, at in of_shards
        )
        found = list(zip((at for _, at in of_shards), shop_of.ask(self, _lists, each), strict=True))
        if len(others):
            threads, given = check_num_threads(num_threads), self._of(rules, others)
            found.append((others, _lists(front, asked.part(others), k, threads, shift, given)))
        n, width = len(asked), min(k, len(front.item_ids_))
        ids, scores = np.empty((n, width), np.int32), np.empty((n, width), np.float32)
        source = np.empty(n, np.int8)
        for at, of in found:
            ids[at], scores[at], source[at] = of
        return Lists(asked, ids, scores, source)

    def _of(self, rules: dict[str, Any], at: Array) -> dict[str, Any]:
        """The rules for some people, where each has a list of candidates."""
        items = rules["items"]
        if items is None:
            return rules
        items = people.listed(items, self._fitted().dataset_.mapping()[2])
        if any(map(serving.is_list, items)):
            items = [items[place] for place in at.tolist()]
        return rules | {"items": items}

    def _shift(self, rules: dict[str, Any]) -> Any:
        """What a dial of popularity is worth; None where it is at 0."""
        if not rules["popularity"]:
            return None
        front = self._fitted()
        kept = vars(front._serving)
        if "popularity_shift" not in kept:
            n_users = self.model_._now().dealt.n_users
            each = (
                (shard, (-(-serving.SAMPLED * n // sum(n_users)),))
                for shard, n in enumerate(n_users)
            )
            parts = shop_of.ask(self, serving.sampled, each)
            some = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            kept["popularity_shift"] = front._serving.shift_of(some)
        return kept["popularity_shift"]


def _attribute_of_one_machine(name: str) -> property:
    def refuse(self: DaskRecommender) -> NoReturn:
        raise AttributeError(f"{name} has all users, who are on the cluster: ask to_local().{name}")

    return property(refuse, doc=f"Of one machine alone: ask ``to_local().{name}``.")


for _name in ("dataset_", "interactions_", "pairs_", "user_features_"):
    setattr(DaskRecommender, _name, _attribute_of_one_machine(_name))


# ---- tasks ---------------------------------------------------------------------------------------


def _known_here(shop: Shard, asked: People) -> People:
    """People as the recommender of their shard numbers them, and the features of strangers."""
    numbers = numbers_of(asked.labels.tolist(), shop.dataset_.mapping()[0])
    if not asked.have_ids:
        numbers = np.full(len(asked), -1, np.int64)
    rows = asked.rows
    if rows is not None:
        n = len(shop.user_ids_)  # whose own features come first
        rows = sp.csr_matrix(
            (rows.data, rows.indices + np.int32(n), rows.indptr),
            (rows.shape[0], n + rows.shape[1]),
        )
    return People(asked.labels, numbers, rows, asked.history, asked.kind, asked.have_ids)


def _rule(shop: Shard, shift: Any) -> None:
    if shift is not None:
        vars(shop._serving)["popularity_shift"] = shift


def _lists(
    shop: Shard, asked: People, k: int, num_threads: int | None, shift: Any, rules: dict[str, Any]
) -> tuple[Array, Array, Array]:
    """The lists of some people, and what they go by."""
    _rule(shop, shift)
    threads = threads_of(num_threads)
    parts = serving.lists_of(shop, _known_here(shop, asked), k, threads, **rules)
    found = ((part.ids, part.scores, part.source) for part in parts)
    ids, scores, source = zip(*found, strict=True)
    return np.concatenate(ids), np.concatenate(scores), np.concatenate(source)


def _write(
    shop: Shard,
    folder: str,
    name: str,
    k: int,
    num_threads: int | None,
    shift: Any,
    rules: dict[str, Any],
) -> str:
    """Write the lists of a shard; see `writing.write_part`."""
    _rule(shop, shift)
    items = column_of(shop.item_ids_)
    schema = schema_of(shop.user_ids_, items).append(pa.field("source", pa.string()))
    everybody = people.find(shop, None, None)
    parts = serving.lists_of(shop, everybody, k, threads_of(num_threads), **rules)
    columns = (serving.columns_of_lists(shop, part) for part in parts)
    return write_part(folder, name, schema, (pa.table(one, schema=schema) for one in columns))


def _explain(shop: Shard, asked: People, item: Id) -> Explanation:
    found: Explanation = serving.explain(shop, _known_here(shop, asked), item)
    return found


def _judge(
    shop: Shard,
    given: Later,
    kinds: list[Any] | None,
    relevant: Any,
    users: Any,
    exclude: Any,
    metrics: Any,
    num_threads: int | None,
) -> tuple[dict[Id | None, dict[str, Sums]], dict[str, int]]:
    """The sums of a shard by group, and what could not be evaluated."""
    codes = None
    if kinds is not None:
        codes = Codes(np.empty(0, np.uint8) if given.kinds is None else given.kinds, kinds)
    read = judging.of_events(shop, given.users, given.items, codes, relevant, users, exclude)
    if not read.test.nnz:
        return {}, read.left_out
    found = judging.evaluate(shop, read, metrics, threads_of(num_threads))
    groups = {label: sums_of(part) for label, part in found.groups.items()}
    return {None: sums_of(found), **groups}, read.left_out
