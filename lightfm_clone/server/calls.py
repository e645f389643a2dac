"""What may be asked, and what is answered: the calls of the API, in one table.

Every call but one is a POST of a JSON object, so that ids keep their type and no person's id is in
an address that others log. Routes, checks, the OpenAPI document and its page are made of this
table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.config import JsonDict, JsonValue

from lightfm_clone.data import between
from lightfm_clone.server.kept import Version
from lightfm_clone.server.problems import Problem
from lightfm_clone.server.shop import moment, parts

MAX_PEOPLE = 10_000  # in a batch, whatever the limits of a server say
_INT64 = 2**63

Text = Annotated[StrictStr, Field(max_length=1000)]
Whole = Annotated[StrictInt, Field(ge=-_INT64, lt=_INT64)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Id = Annotated[
    Text | Whole,
    Field(description="An id as the tables of the fit had it; 42 and '42' mean the same."),
]
Scalar = Text | StrictBool | Whole | Number | None
# Of many elements one that is wrong is enough to say so.
Ids = Annotated[list[Id], Field(max_length=10_000, fail_fast=True)]
Scalars = Annotated[list[Scalar], Field(max_length=1000, fail_fast=True)]
Texts = Annotated[list[Text], Field(max_length=100, fail_fast=True)]


def _is_short(given: Any) -> Any:
    """Refuse a large object before each of its values is refused, which takes seconds."""
    if isinstance(given, dict) and len(given) > 1000:
        raise ValueError("it has too many names")
    return given


class Asked(BaseModel):
    """A body: no field that is not known, nothing taken for what it is not."""

    model_config = ConfigDict(extra="forbid")


class Range(Asked):
    """Numbers, or dates as texts, both ends included."""

    low: Text | Whole | Number | None = None
    high: Text | Whole | Number | None = None


Where = Annotated[
    dict[Text, Text | StrictBool | Whole | Number | Scalars | Range],
    BeforeValidator(_is_short),
    Field(
        max_length=100,
        description="By column of the items what it must hold: a value, a list of values of which "
        "one is enough, or a range.",
    ),
]
Quotas = dict[Text, Annotated[StrictInt, Field(ge=1, lt=2**31)]]
K = Annotated[StrictInt, Field(ge=1)]
Features = Annotated[
    dict[Text, Scalar | Scalars], Field(max_length=1000), BeforeValidator(_is_short)
]


def _one_of(*names: str) -> ConfigDict:
    """The JSON schema of a body that names one of these at least."""
    is_null: JsonDict = {"type": "null"}
    ways: list[JsonValue] = [
        {"required": [name], "properties": {name: {"not": is_null}}} for name in names
    ]
    return ConfigDict(json_schema_extra={"anyOf": ways})


class Person(Asked):
    """Somebody, by one or more of the three: the first that is known counts."""

    model_config = _one_of("user", "history", "features")

    user: Id | None = Field(None, description="Somebody who is known.")
    history: Annotated[list[Id], Field(max_length=1000, fail_fast=True)] | None = Field(
        None, description="A visitor, by the items they looked at; unknown ones are skipped."
    )
    features: Features | None = Field(
        None, description="Somebody new, by columns of the table of users."
    )

    @model_validator(mode="after")
    def _is_somebody(self) -> Person:
        if self.user is None and self.history is None and self.features is None:
            raise ValueError("say who it is by user, history or features")
        return self


class Rules(Asked):
    """What lists may hold, and the dials."""

    k: K = Field(10, description="The length of the list.")
    exclude: StrictBool | Text | Texts = Field(
        True,
        description="What is left out: all that somebody has (true), nothing (false), or what they "
        "have by these kinds of events.",
    )
    items: Ids | None = Field(None, description="The only candidates.")
    deny: Ids | None = Field(None, description="Items that are left out.")
    where: Where | None = None
    at_most: Annotated[Quotas, BeforeValidator(_is_short)] | None = Field(
        None,
        max_length=100,
        description="By column, how many items of one value a list may hold.",
    )
    popularity: Number = Field(
        0.0, ge=-10, le=10, description="A dial: above 0 popular items, below 0 the long tail."
    )
    diversity: Number = Field(
        0.0, ge=0, le=0.99, description="A dial: 0 is the plain list, near 1 all differ."
    )


class OneList(Rules, Person):
    """A list for one person."""


class ManyLists(Rules):
    """Lists for many people under the same rules."""

    people: list[Person] = Field(min_length=1, max_length=MAX_PEOPLE, fail_fast=True)


class Similar(Asked):
    """The nearest items of one."""

    item: Id
    k: K = 10
    where: Where | None = None


class Explain(Asked):
    """Why an item scores as it does for somebody."""

    model_config = _one_of("user", "features")

    item: Id
    user: Id | None = None
    features: Features | None = None
    k: K = Field(10, description="How many terms.")

    @model_validator(mode="after")
    def _is_somebody(self) -> Explain:
        if self.user is None and self.features is None:
            raise ValueError("say who it is by user or features")
        return self


class OneUser(Asked):
    """What is known about somebody."""

    user: Id
    k: K = Field(50, description="How many items of their history.")


class SomeItems(Asked):
    """What is known about items."""

    items: Ids = Field(min_length=1)


class Search(Asked):
    """Users or items whose id or title holds a text."""

    text: Text
    of: Literal["users", "items"] = "items"
    k: K = 10


# ---- answers -------------------------------------------------------------------------------------


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class About(Answer):
    version: int = Field(description="1 for the first file since the start, 2 for the next ...")
    modified: str = Field(description="When the file was written.")
    users: int
    items: int
    pairs: int
    model: str
    kinds_of_events: list[str]
    item_columns: list[str]
    title: str | None = Field(description="The column that names items.")
    user_features: list[str] = Field(description="The columns that `features` may have.")


class Scored(Answer):
    item: str | int
    score: float


class List(Answer):
    user: str | int | None = None
    source: Literal["known", "features", "history", "popular"] = Field(
        description="What the list goes by."
    )
    items: list[Scored]


class Refused(Answer):
    """Why one of a batch has no list."""

    status: int
    error: str


class Lists(Answer):
    lists: list[List | Refused] = Field(description="In the order of the people.")


class Neighbours(Answer):
    item: str | int
    items: list[Scored]


class Term(Answer):
    value: float
    kind: str
    user_feature: str | None
    item_feature: str | None
    same_for_every_item: bool


class Reasons(Answer):
    score: float
    terms: list[Term]
    rest: float = Field(description="The sum of the terms that are not shown.")


class Had(Answer):
    item: str | int
    events: list[str] | None = None
    time: str | None = None
    weight: float | None = None


class User(Answer):
    user: str | int
    features: list[str]
    n_items: int
    history: list[Had] = Field(description="The latest first.")


class Item(Answer):
    item: str | int
    title: Any = None
    people: int = Field(description="How many people have it.")
    columns: dict[str, Any]


class Items(Answer):
    items: list[Item]


class Found(Answer):
    user: str | int | None = None
    item: str | int | None = None
    title: Any = None


class AllFound(Answer):
    found: list[Found]


class Failed(Answer):
    error: str
    near: list[str | int] = Field([], description="Ids that look like one that is not known.")


# ---- calls ---------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A call: its address, what it takes and gives, and the work."""

    path: str
    summary: str
    asked: type[Asked] | None  # None: a GET
    answer: type[Answer]
    run: Callable[[Version, Any], dict[str, Any]]
    # What is too much for one turn in the pool of threads, in parts, whose lists are joined.
    parts: Callable[[Any], Iterable[Any]] | None = None


def _about(version: Version, asked: None) -> dict[str, Any]:
    modified = moment(version.modified)
    return {"version": version.number, "modified": modified, **version.shop.about()}


def _one_list(version: Version, asked: OneList) -> dict[str, Any]:
    given = _rules(asked)
    person = {name: given.pop(name) for name in Person.model_fields}
    (answer,) = version.shop.lists([person], given.pop("k"), **given)
    if "error" in answer:
        if answer["status"] == 404 and asked.user is not None:
            version.shop.users.number(asked.user)  # which has ids that look like it
        raise Problem(answer["status"], answer["error"])
    return answer


def _many_lists(version: Version, asked: ManyLists) -> dict[str, Any]:
    given = _rules(asked)
    people = [one.__dict__ for one in given.pop("people")]
    return {"lists": version.shop.lists(people, given.pop("k"), **given)}


def _parts(asked: ManyLists) -> Iterator[ManyLists]:
    for part in parts(asked.people, asked.k, asked.diversity > 0):
        yield asked.model_copy(update={"people": part})


def _rules(asked: Rules) -> dict[str, Any]:
    return {**asked.__dict__, "where": _ranges(asked.where)}


def _ranges(where: dict[str, Any] | None) -> dict[str, Any] | None:
    if where is None:
        return None
    return {
        name: between(wanted.low, wanted.high) if isinstance(wanted, Range) else wanted
        for name, wanted in where.items()
    }


def _similar(version: Version, asked: Similar) -> dict[str, Any]:
    items = version.shop.similar(asked.item, asked.k, _ranges(asked.where))
    return {"item": asked.item, "items": items}


def _explain(version: Version, asked: Explain) -> dict[str, Any]:
    return version.shop.explain(asked.item, asked.k, user=asked.user, features=asked.features)


def _user(version: Version, asked: OneUser) -> dict[str, Any]:
    return version.shop.about_user(asked.user, asked.k)


def _items(version: Version, asked: SomeItems) -> dict[str, Any]:
    return {"items": version.shop.about_items(asked.items)}


def _search(version: Version, asked: Search) -> dict[str, Any]:
    return {"found": version.shop.search(asked.text, asked.of, asked.k)}


CALLS = (
    Call("/v1/recommend", "A list for one person", OneList, List, _one_list),
    Call("/v1/batch", "Lists for many people", ManyLists, Lists, _many_lists, _parts),
    Call("/v1/similar", "The nearest items of one", Similar, Neighbours, _similar),
    Call("/v1/explain", "Why an item scores as it does", Explain, Reasons, _explain),
    Call("/v1/user", "What is known about somebody", OneUser, User, _user),
    Call("/v1/items", "What is known about items", SomeItems, Items, _items),
    Call("/v1/search", "Users or items by a text", Search, AllFound, _search),
    Call("/v1/model", "What is served", None, About, _about),
)
