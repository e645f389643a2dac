"""From tables to a fitted recommender, and on from there.

The path of a fit: `events.read` (the rows that count) -> `sides.read` (tables of users and items)
-> `Dataset.fit` (numbers) -> `events.pairs` (one entry a pair) -> `Side.matrix` (features) ->
`model.fit`. An update goes the same way over what is known already.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._checks import is_sparse, name_here
from lightfm_clone._model.parameters import Default
from lightfm_clone._warn import warn
from lightfm_clone.data import Dataset, sources
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data.columns import Codes
from lightfm_clone.data.item_columns import ItemColumns
from lightfm_clone.data.rules import cross
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import sides as sides_of
from lightfm_clone.recommender import updating
from lightfm_clone.recommender.ageing import half_life_seconds
from lightfm_clone.recommender.baselines import Baseline
from lightfm_clone.recommender.events import Log, Pairs
from lightfm_clone.recommender.people import known_numbers
from lightfm_clone.recommender.report import DataReport, Described
from lightfm_clone.recommender.sides import Side, SideTable, numbers_of
from lightfm_clone.recommender.with_neighbours import WithNeighbours

# What a recommender makes when it is asked for, and anew after each fit and update.
MADE_ANEW = ("_serving", "_ids", "_had")

# For those who are new, where tables tell of them. Known items lose nothing that can be measured.
_IDENTITY_DROPOUT = 0.1
_MANY = 10  # pairs that are all known, as if an update were done twice


def fit(
    shop: Any,
    events: Any,
    users: Any,
    items: Any,
    columns: Mapping[Hashable, Any] | None,
    rules: dict[str, Any],
    duplicates: str,
    epochs: int,
    num_threads: int | None,
    verbose: bool,
    further: dict[str, Any],
) -> None:
    """See `Recommender.fit`. Nothing of the recommender is changed until all is made."""
    _check_model(shop.model)
    fresh = begun(shop, sources.kind_of(events), rules, duplicates, further)
    log, of_users, of_items = _read(fresh, events, users, items)
    events_of.refuse_empty(len(log.users.codes), log.n_rows, log.removed)
    make_sides(fresh, columns or {}, of_users, of_items)
    fresh.dataset_, fresh.pairs_ = Dataset(), None
    _take(fresh, log, of_users, of_items)
    fresh.report_ = _report(fresh, log, fresh.pairs_, of_users, of_items)
    if verbose:
        print(fresh.report_)
    if is_table(further.get("validation")):
        further = further | {"validation": _held_out(fresh, further["validation"])}
    del log, of_users, of_items  # training needs the memory
    sources.give_back()
    fresh.model_ = train(fresh, shop.model, epochs, num_threads, verbose, further)
    shop.__dict__ = fresh.__dict__  # at once; what others are making now stays with the old one


def begun(
    shop: Any, kind: str, rules: dict[str, Any], duplicates: str, further: dict[str, Any]
) -> Any:
    """A copy of a recommender at the beginning of a fit, whose arguments are checked."""
    events_of.check_duplicates(duplicates)
    _check_options(shop, further)
    if rules["user"] == rules["item"]:
        raise ValueError(
            f"user and item must be two columns of events, got {rules['user']!r} for both"
        )
    fresh = copy.copy(shop)
    if rules["half_life"] is not None:  # in days, which a file can hold
        rules = rules | {"half_life": half_life_seconds(rules["half_life"]) / 86_400}
    fresh._rules, fresh._duplicates, fresh._kinds = rules, duplicates, []
    fresh._kind, fresh.item_columns_ = kind, None
    return fresh


def make_sides(
    shop: Any,
    columns: Mapping[Hashable, Any],
    of_users: SideTable | None,
    of_items: SideTable | None,
) -> None:
    """Let the recommender have a fresh side for each table, with the rules of its columns."""
    by_side = zip(("user", "item"), _by_side(columns, of_users, of_items), strict=True)
    shop._users, shop._items = (Side(name, shop._rules[name], rules) for name, rules in by_side)


def update(
    shop: Any,
    events: Any,
    users: Any,
    items: Any,
    epochs: int | None,
    num_threads: int | None,
    verbose: bool,
) -> None:
    """See `Recommender.update`."""
    shop._now()  # which refuses where there was no fit
    fresh = copy.copy(shop)
    fresh._users, fresh._items = copy.copy(shop._users), copy.copy(shop._items)
    fresh.dataset_ = copy.copy(shop.dataset_)
    log, of_users, of_items = _read(fresh, events, users, items)
    known_users, _, known_items, _ = shop.dataset_.mapping()
    for ids, mapping, argument in (
        (log.users, known_users, "events"),
        (log.items, known_items, "events"),
        (of_users and of_users.ids, known_users, "users"),
        (of_items and of_items.ids, known_items, "items"),
    ):
        if ids is not None:
            known_numbers(ids.values, mapping, argument)  # which refuses those of another type
    if log.n_rows and not len(log.users.codes):
        causes = "; ".join(f"{one.how_many:,} have {one.what}" for one in log.removed)
        warn(f"none of the {log.n_rows:,} events counts, so nothing is learned of them: {causes}")
    new = _take(fresh, log, of_users, of_items)
    n_again = len(shop.pairs_.indices) + len(new.indices) - len(fresh.pairs_.indices)
    if len(new.indices) >= _MANY and n_again == len(new.indices):
        warn(
            f"all {n_again:,} pairs of these events were known already, and are trained on again; "
            "was this update done before?"
        )
    fresh.report_ = _report(fresh, log, new, of_users, of_items, is_update=True)
    if verbose:
        print(fresh.report_)
    if isinstance(shop.model_, Baseline):  # which counts all anew
        fresh.model_ = train(fresh, shop.model, 1, num_threads, verbose)
    else:
        fresh.model_ = copy.deepcopy(shop.model_)
        interactions, weights = _examples(fresh, fresh.model_)
        if isinstance(fresh.model_, WithNeighbours):
            fresh.model_.neighbours.fit(interactions, num_threads=num_threads)
        updating.train_on_new(
            factors_of(fresh.model_),
            interactions,
            new.rows(),
            sample_weight=weights,
            user_features=fresh.user_features_,
            item_features=fresh.item_features_,
            num_threads=num_threads,
            **({} if epochs is None else {"epochs": epochs}),
        )
    shop.__dict__ = fresh.__dict__  # at once; what others are making now stays with the old one


def unfitted_copy(shop: Any, model: Any) -> Any:
    """A copy of a model, with the parameters that nobody has set as the tables suggest."""
    model = copy.deepcopy(model)
    factors = factors_of(model)
    if isinstance(getattr(factors, "negatives", None), Default):
        factors.set_params(negatives="seen")
    is_told = shop._users.encoder is not None or shop._items.encoder is not None
    if (
        isinstance(getattr(factors, "identity_dropout", None), Default)
        and factors.loss == "softmax"
        and is_told
    ):
        factors.set_params(identity_dropout=_IDENTITY_DROPOUT)
    return model


def train(
    shop: Any,
    model: Any,
    epochs: int,
    num_threads: int | None,
    verbose: bool,
    further: Mapping[str, Any] = {},
) -> Any:
    """A copy of a model, trained on what the recommender knows."""
    _check_model(model)
    model = unfitted_copy(shop, model)
    interactions, weights = _examples(shop, model)
    interactions = interactions.tocoo(copy=False)
    if weights is not None:
        entries = interactions.row, interactions.col
        weights = sp.coo_matrix((weights, entries), shape=interactions.shape)
    given = {
        "user_features": shop.user_features_,
        "item_features": shop.item_features_,
        "sample_weight": weights,
        "epochs": epochs,
        "num_threads": num_threads,
        "verbose": verbose,
        **further,
    }
    if "timestamps" in inspect.signature(model.fit).parameters:
        if shop.pairs_.times is None and getattr(model, "half_life", None) is not None:
            raise ValueError(
                f"{model!r} needs times; name their column with timestamp= of the fit, or leave "
                "out its half_life"
            )
        given["timestamps"] = shop.pairs_.times
    model.fit(interactions, **given)
    return model


def _check_model(model: Any) -> None:
    if getattr(factors_of(model), "_recommender_class", None) is not None:
        raise TypeError(
            f"model must be trained by a recommender of its own, got {model!r}: make a new "
            f"Recommender of it, as Recommender({type(factors_of(model)).__name__}(...))"
        )
    needed = ("fit", "get_user_representations", "get_item_representations")
    if isinstance(model, type) or not all(hasattr(model, name) for name in needed):
        given = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise TypeError(
            "model must be a LightFM, a Popularity or another object with their methods, got "
            f"{given}"
        )


def _check_options(shop: Any, options: Mapping[str, Any]) -> None:
    """Check that the model's fit takes the arguments that are not of `Recommender.fit`."""
    taken = dict(inspect.signature(shop.model.fit).parameters)
    for name in ("interactions", "user_features", "item_features", "sample_weight", "timestamps"):
        taken.pop(name, None)  # which follow from the tables
    unknown = next((name for name in options if name not in taken), None)
    if unknown is not None and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        names = {*inspect.signature(shop.fit).parameters, *taken} - {"fit_options", "y"}
        raise TypeError(
            f"{type(shop).__name__}.fit() got an unexpected keyword argument {unknown!r}; "
            f"{name_here(unknown, names)}"
        )


def is_table(validation: Any) -> bool:
    """Whether these are events, and not what a model takes: interactions, or a dict of these."""
    if validation is None or is_sparse(validation) or isinstance(validation, np.ndarray):
        return False
    return not (isinstance(validation, Mapping) and "interactions" in validation)


def _held_out(shop: Any, events: Any) -> Any:
    """The pairs of later events that can be foreseen: known on both sides, and new together."""
    log = events_of.of_source(events, shop._rules | {"half_life": None}, known_kinds=shop._kinds)
    users, _, items, _ = shop.dataset_.mapping()
    rows = known_numbers(log.users.values, users, "validation")[log.users.codes]
    cols = known_numbers(log.items.values, items, "validation")[log.items.codes]
    kept = (rows >= 0) & (cols >= 0)
    entries = np.ones(np.count_nonzero(kept), np.float32), (rows[kept], cols[kept])
    later = sp.csr_matrix(entries, shape=shop.pairs_.shape)
    later.data[:] = 1
    later -= later.multiply(shop.pairs_.rows())
    later.eliminate_zeros()
    return later


def factors_of(model: Any) -> Any:
    """The model that is trained by examples, of one that neighbours stand beside."""
    return model.model if isinstance(model, WithNeighbours) else model


def unfitted(model: Any) -> Any:
    """A new model with the parameters of a fitted one."""
    if isinstance(model, WithNeighbours):
        parts = unfitted(model.model), unfitted(model.neighbours)
        return type(model)(*parts, model.weight)
    given = model.get_params()
    if "random_state" in given:  # the live one has moved on
        given["random_state"] = getattr(model, "initial_random_state", given["random_state"])
    return type(model)(**given)


def check_dimensions(shop: Any) -> None:
    """Check that the model has a row for each feature of the numbering."""
    factors = factors_of(shop.model_)
    counted = shop.model_ if factors is shop.model_ else shop.model_.neighbours
    if isinstance(counted, Baseline):  # whose rows are users and items
        sizes = counted.n_users_, counted.n_items_
        if sizes != shop.pairs_.shape:
            raise ValueError(
                f"the model has {sizes} users and items, but the numbering {shop.pairs_.shape}"
            )
    if isinstance(factors, Baseline):
        return
    for side, n in zip(("user", "item"), shop.dataset_.model_dimensions(), strict=True):
        found = len(getattr(factors, f"{side}_biases"))
        if found != n:
            raise ValueError(f"the model has {found} {side} features, but the numbering {n}")


def check_half_life(shop: Any, loss: str | None) -> None:
    if events_of.predicts_values(loss) and shop._rules["half_life"] is not None:
        raise ValueError(
            f"half_life must be None for loss={loss!r}, which takes the weights of events for "
            "values to predict; leave half_life out, or choose loss='warp'"
        )


def _examples(shop: Any, model: Any) -> tuple[Any, Any]:
    """The pairs as a CSR matrix, and what each weighs, or None where all weigh the same.

    A loss that predicts values takes the weights of events for these: they are ratings.
    """
    pairs: Pairs = shop.pairs_
    interactions, loss = pairs.rows(), getattr(model, "loss", None)
    check_half_life(shop, loss)
    if events_of.predicts_values(loss):
        if pairs.weights is not None:
            interactions.data = pairs.weights
        return interactions, None
    return interactions, events_of.loss_weights(pairs.weights, loss, pairs.shape[1])


# ---- tables --------------------------------------------------------------------------------------


def _read(
    shop: Any, events: Any, users: Any, items: Any
) -> tuple[Log, SideTable | None, SideTable | None]:
    user, item = shop._rules["user"], shop._rules["item"]
    log = events_of.of_source(events, shop._rules, known_kinds=shop._kinds)
    return log, sides_of.read(users, "user", user), sides_of.read(items, "item", item)


def _by_side(
    columns: Mapping[Hashable, Any], *tables: SideTable | None
) -> tuple[dict[Hashable, Any], ...]:
    """The rules of the columns of each table."""
    if not isinstance(columns, Mapping):
        raise TypeError(
            f"columns must be a dict from columns to rules, got {type(columns).__name__}"
        )
    found = tuple(
        {}
        if table is None
        else {
            name: rule
            for name, rule in columns.items()
            if name in table.columns
            or (isinstance(rule, cross) and table.columns >= set(rule.columns))
        }
        for table in tables
    )
    unknown = [name for name in columns if not any(name in rules for rules in found)]
    if unknown:
        there = [sorted(map(str, table.columns)) for table in tables if table is not None]
        raise ValueError(
            f"columns names {unknown[0]!r}, which is no column of "
            + (" or of ".join(", ".join(names) for names in there) or "any table of users or items")
            + columns_of.meant(unknown[0], [name for names in there for name in names])
        )
    return found


def _take(shop: Any, log: Log, of_users: SideTable | None, of_items: SideTable | None) -> Pairs:
    """Number what a log and tables hold, over what is known, and make pairs and features of it.

    Returns the pairs of the log alone.
    """
    known: Pairs | None = shop.pairs_
    encoded, names = [], []
    for side, given in ((shop._users, of_users), (shop._items, of_items)):
        new_names, rows = side.encode(given)
        names.append(new_names)
        encoded.append(rows)
    shop.dataset_.fit_partial(
        _ids(log.users.values, of_users), _ids(log.items.values, of_items), *names
    )
    users, _, items, _ = shop.dataset_.mapping()
    rows, cols = _numbered(log.users, users), _numbered(log.items, items)
    shape = len(users), len(items)
    new = events_of.pairs(rows, cols, shape, log, duplicates=shop._duplicates)
    shop.pairs_ = new
    if known is not None:
        half_life = shop._rules["half_life"]
        shop.pairs_ = events_of.merge(known, new, duplicates=shop._duplicates, half_life=half_life)
    if log.kinds is not None:
        shop._kinds = log.kinds.values
    shop._users.place(of_users, encoded[0], users)
    shop._items.place(of_items, encoded[1], items)
    if of_items is not None:
        of_rows = np.append(numbers_of(of_items.ids.values, items), -1)[of_items.ids.codes]
        if shop.item_columns_ is None:
            column, its_rules = shop._items.column, shop._items.encoder.columns
            shop.item_columns_ = ItemColumns.of(
                of_items.table, of_rows, shape[1], id=column, rules=its_rules
            )
        else:
            shop.item_columns_ = shop.item_columns_.put(of_items.table, of_rows, shape[1])
    elif shop.item_columns_ is not None:
        shop.item_columns_ = shop.item_columns_.grown(shape[1])
    settle(shop)
    return new


def _numbered(ids: Codes, numbers: Mapping[Hashable, int]) -> npt.NDArray[Any]:
    """The number of the id in each row; of a first fit these are the codes."""
    of_value = numbers_of(ids.values, numbers).astype(np.int32)
    is_own = np.array_equal(of_value, np.arange(len(of_value)))
    return ids.codes if is_own else of_value[ids.codes]


def _report(
    shop: Any,
    log: Log,
    pairs: Pairs,
    of_users: SideTable | None,
    of_items: SideTable | None,
    *,
    is_update: bool = False,
) -> DataReport:
    users, items = (
        None if given is None else Described(given.table, given.ids)
        for given in (of_users, of_items)
    )
    decided = {*shop._users.rules, *shop._items.rules}
    return DataReport.of(log, pairs, users=users, items=items, decided=decided, is_update=is_update)


def settle(shop: Any) -> None:
    """Make what follows from numbers, pairs and encoded rows."""
    pairs: Pairs = shop.pairs_
    shop._users.has_own = np.diff(pairs.indptr) > 0
    shop._items.has_own = np.zeros(pairs.shape[1], dtype=bool)
    shop._items.has_own[pairs.indices] = True
    for side in (shop._users, shop._items):
        setattr(shop, f"{side.name}_features_", side.matrix(shop.dataset_))
    for name in MADE_ANEW:
        shop.__dict__.pop(name, None)


def _ids(values: list[Any], given: SideTable | None) -> list[Any]:
    return values if given is None else [*values, *given.ids.values]
