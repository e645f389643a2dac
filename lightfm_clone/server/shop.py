"""A recommender as requests see it: ids and values of JSON in, and out again.

It goes below the methods of `Recommender`, which make tables and read paths: a server needs no
library of tables, and no request may name a file. All is read-only, so threads may share it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from lightfm_clone.recommender import Recommender, people, serving
from lightfm_clone.recommender.people import SOURCES, People
from lightfm_clone.server.problems import Problem

JsonId: TypeAlias = str | int

_WHOLE = 2**53  # up to here readers of JSON keep whole numbers as they are
_NEAR = 5  # ids that are named where one is unknown
_WARM = 13  # lists after which a catalogue is asked by its codes
_ENTRIES = 4_000  # of the lists in a part of a batch, which takes some hundredths of a second


class Ids:
    """The ids of users, or of items, by number, and the numbers of ids as JSON has them."""

    def __init__(self, mapping: Mapping[Hashable, int], what: str) -> None:
        self._mapping = mapping
        self._what = what
        self.shown: list[JsonId] = [*map(plain_id, mapping)]
        self._others = {
            shown: number
            for number, (id, shown) in enumerate(zip(mapping, self.shown, strict=True))
            if id is not shown
        }

    def find(self, given: JsonId) -> int:
        """The number, -1 if there is none.

        A number and its text mean the same id, where the file has one of the two.
        """
        twin = _twin(given)
        for one, mapping in ((given, self._mapping), (twin, self._mapping), (given, self._others)):
            if one is not None and one in mapping:
                return mapping[one]
        return -1

    def number(self, given: JsonId) -> int:
        """The number of an id that must be known."""
        number = self.find(given)
        if number < 0:
            raise Problem(404, self.is_unknown(given), near=self.near(given))
        return number

    def is_unknown(self, given: JsonId) -> str:
        """What is said of an id that is not known."""
        return f"there is no {self._what} {shortened(given)}"

    def near(self, given: JsonId) -> list[JsonId]:
        """Some ids that look like it."""
        text = str(given)
        for part in (text, text[: max(3, len(text) - 2)], text[-3:]):
            found = self.search.find(part, _NEAR)
            if found:
                return [self.shown[number] for number in found]
        return self.shown[:_NEAR]

    @cached_property
    def search(self) -> Search:
        return Search(map(str, self.shown))


class Search:
    """Texts, and which of them hold another: those that begin so first."""

    def __init__(self, texts: Iterator[str]) -> None:
        # One text of all of them, which is searched as fast as memory is read.
        parts = ["\n" + text.casefold().replace("\n", " ") for text in texts]
        self._text = "".join(parts)
        self._begins = [0, *accumulate(map(len, parts))]

    def find(self, part: str, most: int) -> list[int]:
        """The numbers of the first texts that hold a part, in upper or lower case."""
        part = part.casefold().replace("\n", " ")
        found: dict[int, None] = {}
        for wanted in ("\n" + part, part):
            at = self._text.find(wanted)
            while 0 <= at < len(self._text) and len(found) < most:
                number = bisect_right(self._begins, at) - 1
                found[number] = None
                at = self._text.find(wanted, self._begins[number + 1])
        return list(found)


class Shop:
    """A recommender.

    Parameters
    ----------
    recommender : Recommender
    title : str, optional
        The column of items that names them for people; by default one called title or name.

    Raises
    ------
    ValueError
        If there is no such column.
    """

    def __init__(self, recommender: Recommender, title: str | None = None) -> None:
        self.recommender: Any = recommender
        users, _, items, _ = recommender.dataset_.mapping()
        self.users = Ids(users, "user")
        self.items = Ids(items, "item")
        columns = recommender.item_columns_
        self.columns: dict[str, Hashable] = {
            str(name): name for name in ([] if columns is None else columns.names)
        }
        self.title = self._title_column(title)
        self.kinds: dict[str, Hashable] = {str(kind): kind for kind in self.recommender._kinds}
        encoder = recommender.user_encoder_
        told = () if encoder is None else encoder.decisions_
        own = self.recommender._users.column
        self.features: dict[str, Hashable] = {str(name): name for name in told if name != own}

    @property
    def words(self) -> str:
        return f"{len(self.users.shown):,} users, {len(self.items.shown):,} items"

    def warm(self) -> None:
        """Make now what the first requests would wait for; who is refused here is told later."""
        n = min(len(self.users.shown), _WARM)
        everybody = People(np.arange(n), np.arange(n), None, None, None)
        for one in range(n):
            self._lists(everybody.part(slice(one, one + 1)), 10, {})
        for _ in (self.users.search, self.titles):
            pass
        for call, argument in (
            (self.similar, {"item": self.items.shown[0], "k": 1}),
            (self.lists, {"people": [{"history": self.items.shown[:1]}], "k": 1}),
        ):
            try:
                call(**argument)
            except (ValueError, TypeError, IndexError):  # Popularity has no neighbours
                pass

    # ---- what it is ------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        shop = self.recommender
        return {
            "users": len(self.users.shown),
            "items": len(self.items.shown),
            "pairs": len(shop.pairs_.indices),
            "model": repr(shop.model_),
            "kinds_of_events": list(self.kinds),
            "item_columns": list(self.columns),
            "title": self.title,
            "user_features": list(self.features),
        }

    # ---- lists -----------------------------------------------------------------------------------

    def lists(self, people: list[Mapping[str, Any]], k: int, **rules: Any) -> list[dict[str, Any]]:
        """The list of each of the people, or what is wrong with them.

        Each says who they are by "user", "history" or "features", the first of these that is known.
        """
        answers: list[dict[str, Any]] = [{} for _ in people]
        ways: dict[str, list[int]] = {"user": [], "history": [], "features": []}
        for place, one in enumerate(people):
            try:
                ways[self._way(one)].append(place)
            except Problem as problem:
                answers[place] = {"status": problem.status, **problem.content}
        given = self._rules(rules)
        for way, places in ways.items():
            if not places:
                continue
            some = getattr(self, f"_by_{way}")([people[place] for place in places])
            for place, answer in zip(places, self._lists(some, k, given), strict=True):
                named = people[place].get("user")
                answers[place] = answer if named is None else {"user": named, **answer}
        return answers

    def _way(self, person: Mapping[str, Any]) -> str:
        """What somebody is known by."""
        user, history, features = map(person.get, ("user", "history", "features"))
        if user is not None and self.users.find(user) >= 0:
            return "user"
        are_known = history is not None and any(self.items.find(one) >= 0 for one in history)
        if are_known or (history is not None and features is None):
            return "history"
        if features is not None:
            self._check_features(features)
            return "features"
        assert user is not None  # as `calls` has checked
        raise Problem(404, self.users.is_unknown(user))

    def _by_user(self, people_given: list[Mapping[str, Any]]) -> People:
        numbers = np.array([self.users.find(one["user"]) for one in people_given])
        return People(numbers, numbers, None, None, None)

    def _by_history(self, people_given: list[Mapping[str, Any]]) -> People:
        ids = self.recommender.item_ids_
        numbers = [map(self.items.find, one["history"]) for one in people_given]
        return people.of_histories(
            self.recommender, [[ids[n] for n in some if n >= 0] for some in numbers]
        )

    def _by_features(self, people_given: list[Mapping[str, Any]]) -> People:
        rows = [
            {self.features[name]: value for name, value in one["features"].items()}
            for one in people_given
        ]
        return people.of_table(self.recommender, rows)

    def _check_features(self, features: Mapping[str, Any]) -> None:
        unknown = next((name for name in features if name not in self.features), None)
        if unknown is None:
            return
        there = "this recommender was fitted without a table of users"
        if self.features:
            there = f"there are {', '.join(self.features)}"
        raise Problem(422, f"features: there is no column {shortened(unknown)}; {there}")

    def _rules(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The rules of `serving.rules`."""
        found = {name: value for name, value in given.items() if value is not None}
        ids = self.recommender.item_ids_
        if "items" in found:
            found["items"] = ids[[self.items.number(one) for one in found["items"]]]
        if "deny" in found:
            numbers = [self.items.find(one) for one in found["deny"]]
            found["deny"] = ids[[number for number in numbers if number >= 0]]
        if "at_most" in found:
            found["at_most"] = {
                self._column(name, "at_most"): n for name, n in found["at_most"].items()
            }
        exclude = found.get("exclude")
        if exclude is not None and not isinstance(exclude, bool):
            kinds = [exclude] if isinstance(exclude, str) else exclude
            found["exclude"] = [self._kind(kind) for kind in kinds]
        if "where" in found:
            found["where"] = where = self._where(found["where"])
            if not self.recommender.item_columns_.mask(where).any():
                # No item is left, of which a caller in Python would be warned.
                found = {"items": ids[:0]}
        return found

    def _where(self, given: Mapping[str, Any]) -> dict[Hashable, Any]:
        return {self._column(name, "where"): wanted for name, wanted in given.items()}

    def _column(self, name: str, argument: str) -> Hashable:
        if name not in self.columns:
            there = ", ".join(self.columns) or "none, for it was fitted without a table of items"
            raise Problem(422, f"{argument}: no column {shortened(name)}; there are {there}")
        return self.columns[name]

    def _kind(self, name: str) -> Hashable:
        if name not in self.kinds:
            there = ", ".join(self.kinds) or "none"
            raise Problem(422, f"exclude: no kind of event {shortened(name)}; there are {there}")
        return self.kinds[name]

    def _lists(self, some: People, k: int, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        answers = []
        shown = self.items.shown
        for part in serving.lists_of(self.recommender, some, k, 1, **{**serving.NO_RULES, **given}):
            scores = np.round(part.scores.astype(np.float64), 6).tolist()
            for ids, values, source in zip(
                part.ids.tolist(), scores, part.source.tolist(), strict=True
            ):
                items = [
                    {"item": shown[id], "score": value}
                    for id, value in zip(ids, values, strict=True)
                    if id >= 0
                ]
                answers.append({"source": SOURCES[source], "items": items})
        return answers

    # ---- items -----------------------------------------------------------------------------------

    def similar(self, item: JsonId, k: int, where: Any = None) -> list[dict[str, Any]]:
        """The nearest items."""
        rows = np.array([self.items.number(item)], np.int32)
        if where is not None:
            where = self._where(where)
        ids, scores = serving.neighbours_of(self.recommender, rows, k, where, 1)
        return [
            {"item": self.items.shown[id], "score": round(score, 6)}
            for id, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True)
            if id >= 0
        ]

    def about_items(self, items: Sequence[JsonId]) -> list[dict[str, Any]]:
        """What is known about items: their title, their columns and how many people have them."""
        rows = np.array([self.items.number(one) for one in items], np.int64)
        columns = self.recommender.item_columns_
        taken = {} if columns is None else columns.take(rows)
        named = {name: [*map(plain, taken[key])] for name, key in self.columns.items()}
        counts = self.recommender._serving.n_people[rows].tolist()
        return [
            {
                "item": self.items.shown[row],
                "title": named[self.title][place] if self.title else None,
                "people": counts[place],
                "columns": {name: values[place] for name, values in named.items()},
            }
            for place, row in enumerate(rows.tolist())
        ]

    @cached_property
    def titles(self) -> Search:
        """Ids and titles of items."""
        if self.title is None:
            return self.items.search
        column = self.columns[self.title]
        values = self.recommender.item_columns_.take(np.arange(len(self.items.shown)))[column]
        return Search(
            f"{id} {'' if value is None else plain(value)}"
            for id, value in zip(self.items.shown, values, strict=True)
        )

    def _title_column(self, wanted: str | None) -> str | None:
        if wanted is not None:
            if wanted not in self.columns:
                raise ValueError(
                    f"title must be a column of the items, got {wanted!r}; there are "
                    f"{', '.join(map(repr, self.columns)) or 'none'}"
                )
            return wanted
        ends = ("title", "name")
        whole = (name for name in self.columns if name.casefold() in ends)
        return next(whole, next((n for n in self.columns if n.casefold().endswith(ends)), None))

    # ---- people ----------------------------------------------------------------------------------

    def about_user(self, user: JsonId, k: int) -> dict[str, Any]:
        """What somebody has, the latest first, and the features that their row of a table makes."""
        number = self.users.number(user)
        shop, pairs = self.recommender, self.recommender.pairs_
        at = np.arange(pairs.indptr[number], pairs.indptr[number + 1])
        order = pairs.times if pairs.times is not None else pairs.weights
        if order is not None:
            at = at[np.argsort(-order[at], kind="stable")]
        history = []
        for place in at[:k].tolist():
            one: dict[str, Any] = {"item": self.items.shown[pairs.indices[place]]}
            if pairs.kinds is not None:
                mask = int(pairs.kinds[place])
                one["events"] = [name for bit, name in enumerate(self.kinds) if mask >> bit & 1]
            if pairs.times is not None:
                one["time"] = moment(float(pairs.times[place]))
            if pairs.weights is not None:
                one["weight"] = round(float(pairs.weights[place]), 6)
            history.append(one)
        features: list[str] = []
        if shop.user_encoder_ is not None:
            names = shop.user_encoder_.feature_names_
            features = [names[place] for place in shop._users.encoded[number].indices]
        return {
            "user": self.users.shown[number],
            "features": features,
            "n_items": len(at),
            "history": history,
        }

    def explain(self, item: JsonId, k: int, **person: Any) -> dict[str, Any]:
        """The terms of a score, the largest first."""
        self.items.number(item)
        way = self._way({name: value for name, value in person.items() if value is not None})
        found = serving.explain(
            self.recommender,
            getattr(self, f"_by_{way}")([person]),
            self.recommender.item_ids_[self.items.number(item)],
        )
        terms = [
            {
                "value": round(one.value, 6),
                "kind": one.kind,
                "user_feature": None if one.user_feature is None else str(one.user_feature),
                "item_feature": None if one.item_feature is None else str(one.item_feature),
                "same_for_every_item": one.is_same_for_every_item,
            }
            for one in found.contributions[:k]
        ]
        rest = math.fsum(one.value for one in found.contributions[k:])
        return {"score": round(found.score, 6), "terms": terms, "rest": round(rest, 6)}

    # ---- search ----------------------------------------------------------------------------------

    def search(self, text: str, of: str, k: int) -> list[dict[str, Any]]:
        """Users whose id, or items whose id or title, holds a text."""
        if of == "users":
            found = self.users.search.find(text, k)
            return [{"user": self.users.shown[number], "title": None} for number in found]
        found = self.titles.find(text, k)
        titles: list[Any] = [None] * len(found)
        if self.title is not None:
            taken = self.recommender.item_columns_.take(np.array(found, np.int64))
            titles = [*map(plain, taken[self.columns[self.title]])]
        return [
            {"item": self.items.shown[number], "title": title}
            for number, title in zip(found, titles, strict=True)
        ]


def parts(people_given: list[Any], k: int, is_diverse: bool) -> Iterator[list[Any]]:
    """A batch in parts, so that others get their turn between them."""
    cost = max(k, 40) * (5 if is_diverse else 1)  # of each list, which all items are scanned for
    step = max(1, _ENTRIES // cost)
    for first in range(0, len(people_given), step):
        yield people_given[first : first + step]


def plain_id(id: Hashable) -> JsonId:
    """An id of JSON: texts and whole numbers as they are, all else as text."""
    if type(id) is str or type(id) is int and -_WHOLE <= id <= _WHOLE:
        return id
    if isinstance(id, bytes):
        return id.decode("utf-8", "backslashreplace")
    return str(id)


def plain(value: Any) -> Any:
    """A value of a column in terms of JSON; None where it is missing."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value.astype("M8[s]"))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [*map(plain, value)]
    if value is None or isinstance(value, bool | int | str):
        return value
    return plain_id(value)


def moment(seconds: float) -> str | None:
    """Seconds since 1970 as a text of ISO 8601; None beyond the calendar of Python."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
    except (OverflowError, ValueError, OSError):
        return None


def shortened(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _twin(given: JsonId) -> JsonId | None:
    """The number of a text, or the text of a number."""
    if isinstance(given, int):
        return str(given)
    digits = given.removeprefix("-")
    if len(digits) > 19 or not digits.isascii() or not digits.isdecimal():
        return None
    return int(given) if str(int(given)) == given else None
