"""A synthetic shop: tables of events, visitors and products, with what is wrong in real ones.

Products lie in departments. A visitor's taste is a distribution over these; it depends on country
and age, so that something is known of visitors who have no events. The next product a visitor
looks at is drawn by popularity, in most cases from a department drawn by taste. Who likes the
department puts it into the cart more often, and some of these buy. All that is drawn is kept in
`Shop.truth`, for tests of what a recommender makes of the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import check_random_state, is_integer
from lightfm_clone.datasets._drawn import Column, Columns, Tables, ids
from lightfm_clone.typing import Floats, Seed

# A department, and what it sells: five categories each.
DEPARTMENTS = {
    "garden": "Spade Lantern Hammock Planter Fountain",
    "kitchen": "Kettle Pan Teapot Grater Mixer",
    "toys": "Kite Puzzle Robot Train Doll",
    "books": "Novel Atlas Cookbook Diary Almanac",
    "sports": "Racket Helmet Ball Paddle Skates",
    "games": "Console Headset Joystick Controller Keyboard",
    "health": "Thermometer Cushion Massager Lamp Scale",
    "music": "Guitar Flute Drum Violin Ukulele",
    "office": "Desk Chair Stapler Binder Printer",
    "fashion": "Scarf Jacket Hat Belt Gloves",
    "travel": "Suitcase Tent Backpack Compass Map",
    "pets": "Leash Basket Aquarium Perch Feeder",
}
COUNTRIES = ("DE", "FR", "US", "NA", "GB")  # NA is Namibia
COUNTRY_SHARES = (0.33, 0.22, 0.22, 0.06, 0.17)
# What a country likes more than others: the departments in their order. The young like games, the
# old health.
YOUNG, OLD = 35, 55
FOR_THE_YOUNG, FOR_THE_OLD = 5, 6
QUALITIES = "Blue Copper Folding Giant Golden Green Light Little Oak Quiet Red Silver Soft".split()
BRANDS = (
    "Abelia Borealis Cassini Dunmore Eastwick Fjord Galanthus Hollis Ilex Juniper Kestrel Larkin "
    "Morrow Norden Orchard Pemberton Quill Rowan Sable Tamarind Umber Vesper Willow Yarrow"
).split()
TAGS_OF_A_DEPARTMENT = 12
KINDS = np.array(["view", "addtocart", "transaction"], dtype=object)

START = 1_730_419_200_000  # 2024-11-01, in milliseconds
MINUTE, DAY = 60_000, 86_400_000

BY_TASTE = 0.85  # of the views; the others go by popularity alone
IS_NEW = 0.15  # of the products: those that appear during the log
MACHINES = 3


class ShopTruth(NamedTuple):
    """What only the maker of a shop knows. Users and items are those of its `user_ids`, `item_ids`.

    Attributes
    ----------
    user_ids : str [n_users]
        All visitors but the machines, those who are missing in the table of visitors too.
    item_ids : str [n_items]
    tastes : float32 [n_users, n_departments]
        What share of a visitor's looks goes to each department, by taste.
    departments : int64 [n_items]
        The department of each product, a number into `DEPARTMENTS`.
    appears : int64 [n_items]
        From when on there is a product, in milliseconds since 1970; 0 for those of before.
    never_seen : bool [n_items]
        The products nobody ever looks at.
    machines : str [3]
        The visitors that are none.
    """

    user_ids: Column
    item_ids: Column
    tastes: Floats
    departments: npt.NDArray[np.int64]
    appears: npt.NDArray[np.int64]
    never_seen: npt.NDArray[np.bool_]
    machines: Column


@dataclass(frozen=True, eq=False, repr=False)
class Shop(Tables):
    """Tables of a shop, as columns by name, and the truth behind them.

    Attributes
    ----------
    events, visitors, products : dict of str to array
        Texts are arrays of objects, None where they are missing; missing numbers are NaN.
    truth : ShopTruth
    """

    events: Columns
    visitors: Columns
    products: Columns
    truth: ShopTruth

    TABLES = "events", "visitors", "products"


def synthetic_shop(
    n_users: int = 3_000,
    n_items: int = 800,
    n_events: int = 50_000,
    *,
    days: int = 90,
    random_state: Seed = 0,
) -> Shop:
    """Draw a shop's tables as they come: events, visitors and products, dirt included.

    What a reader of such tables meets is planted here on purpose:

    - ids are texts with leading zeros; so are the codes of categories; the country ``NA``;
    - the same event twice; several events of a visitor and a product, of different kinds;
    - events without a visitor or a product, and three machines, each of which makes more than 1 %
      of all events within two days;
    - products that nobody has seen (1 %), that appear during the log (15 %), that are listed twice
      (the second row, at the end, has another price);
    - visitors of the log who are missing in the table of visitors (15 %); missing ages (20 %),
      countries, dates and prices (10 %), tags (5 %) and brands (3 %);
    - tags as ``a|b|c``, a title for each product, prices over three orders of magnitude.

    Tastes depend on country and age, so visitors whom nobody knows can be served better than by
    popularity. Carts and purchases follow taste more than views do.

    Parameters
    ----------
    n_users, n_items : int, default 3000 and 800
        Numbers of visitors without the machines, at least 20, and of products, at least 36.
    n_events : int, default 50000
        Rows of the table of events, at least 500.
    days : int, default 90
        How long the log is, from 1 November 2024 on; at least 1.
    random_state : int, RandomState, Generator or None, default 0
        Seed. The same seed gives the same shop on the same version of NumPy; None gives another one
        every time.

    Returns
    -------
    Shop
        With the columns

        - ``events``, in no order: visitorid, itemid, event ("view", "addtocart" or "transaction"),
          timestamp (int64, milliseconds since 1970);
        - ``visitors``: visitorid, country, signup_date (ISO text), age;
        - ``products``: itemid, categoryid, price, tags, brand, title;

        and what only the maker knows, as `truth`.

    Raises
    ------
    ValueError
        If a number is too small.

    Examples
    --------
    >>> shop = synthetic_shop()
    >>> shop
    Shop(50,000 events, 2,550 visitors, 803 products)
    >>> list(shop.events)
    ['visitorid', 'itemid', 'event', 'timestamp']
    >>> events, visitors, products = shop.to_frames("pandas")
    >>> len(products), products["itemid"].nunique()
    (803, 800)
    """
    for name, value, least in (
        ("n_users", n_users, 20),
        ("n_items", n_items, 36),
        ("n_events", n_events, 500),
        ("days", days, 1),
    ):
        if not is_integer(value) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    # Python integers, for NumPy's small ones overflow.
    n_users, n_items, n_events, days = int(n_users), int(n_items), int(n_events), int(days)
    seeds = check_random_state(random_state).randint(2**32, size=8, dtype=np.uint32)
    rng = np.random.default_rng(seeds)

    people = _draw_people(rng, n_users)
    goods = _draw_goods(rng, n_items)
    n_repeats = n_events // 240
    log = _draw_log(rng, n_events - n_repeats, days, people, goods)

    user_ids = ids(rng, n_users + MACHINES, 8)
    item_ids = ids(rng, n_items, 6)
    appears = np.where(goods.appears > 0, START + (goods.appears * days * DAY).astype(np.int64), 0)
    truth = ShopTruth(
        user_ids[:n_users],
        item_ids,
        people.tastes.astype(np.float32),
        goods.categories // 5,
        appears,
        goods.popularity == 0,
        user_ids[n_users:],
    )
    return Shop(
        _events(rng, log, n_repeats, user_ids, item_ids),
        _visitors(rng, people, truth.user_ids, days),
        _products(rng, goods, item_ids),
        truth,
    )


# ---- the truth -----------------------------------------------------------------------------------


class _People(NamedTuple):
    countries: npt.NDArray[np.int64]  # [n], numbers into COUNTRIES
    ages: npt.NDArray[np.int64]  # [n]
    tastes: npt.NDArray[np.float64]  # [n, n_departments], rows of sum 1
    activity: npt.NDArray[np.float64]  # [n], of sum 1
    first: npt.NDArray[np.float64]  # [n], when they come, as a share of the log's time


class _Goods(NamedTuple):
    categories: npt.NDArray[np.int64]  # [n], five to a department
    popularity: npt.NDArray[np.float64]  # [n], 0 for what is never seen
    appears: npt.NDArray[np.float64]  # [n], as a share of the log's time


class _Log(NamedTuple):
    users: npt.NDArray[np.int64]  # [n], the machines behind the people
    items: npt.NDArray[np.int64]  # [n]
    kinds: npt.NDArray[np.int64]  # [n], numbers into KINDS
    times: npt.NDArray[np.int64]  # [n], milliseconds


def _draw_people(rng: np.random.Generator, n: int) -> _People:
    countries = rng.choice(len(COUNTRIES), n, p=COUNTRY_SHARES)
    ages = rng.integers(16, 80, n)
    tastes = rng.dirichlet(np.full(len(DEPARTMENTS), 0.25), n)
    tastes[np.arange(n), countries] += 0.5
    tastes[ages < YOUNG, FOR_THE_YOUNG] += 0.6
    tastes[ages >= OLD, FOR_THE_OLD] += 0.6
    tastes /= tastes.sum(axis=1, keepdims=True)
    activity = np.minimum(rng.pareto(1.3, n) + 0.15, 20)
    return _People(countries, ages, tastes, activity / activity.sum(), 0.8 * rng.random(n))


def _draw_goods(rng: np.random.Generator, n: int) -> _Goods:
    departments = rng.permutation(np.arange(n) % len(DEPARTMENTS))
    categories = 5 * departments + rng.integers(5, size=n)
    popularity = 1 / (rng.permutation(n) + 8) ** 0.9
    # One product of each department is always there.
    _, always = np.unique(departments, return_index=True)
    others = rng.permutation(np.setdiff1d(np.arange(n), always))
    n_never, n_new = max(n // 100, 2), round(n * IS_NEW)
    popularity[others[:n_never]] = 0
    appears = np.zeros(n)
    appears[others[n_never : n_never + n_new]] = rng.uniform(0.05, 0.95, n_new)
    return _Goods(categories, popularity, appears)


def _draw_log(rng: np.random.Generator, n: int, days: int, people: _People, goods: _Goods) -> _Log:
    """Events of people and machines."""
    n_of_a_machine = n // 85
    missing = n - MACHINES * n_of_a_machine
    parts = []
    while missing:
        part = _visits(rng, missing, days, people, goods)
        parts.append(part)
        missing -= len(part.users)
    for machine in range(MACHINES):
        begin = rng.random() * max(days - 2, 0) / days
        there = np.flatnonzero((goods.appears <= begin) & (goods.popularity > 0))
        times = START + (begin * days + min(days, 2) * rng.random(n_of_a_machine)) * DAY
        parts.append(
            _Log(
                np.full(n_of_a_machine, len(people.ages) + machine),
                rng.choice(there, n_of_a_machine),
                np.zeros(n_of_a_machine, np.int64),
                times.astype(np.int64),
            )
        )
    return _Log(*map(np.concatenate, zip(*parts, strict=True)))


def _visits(rng: np.random.Generator, most: int, days: int, people: _People, goods: _Goods) -> _Log:
    """Up to so many events of people: views, of which some lead into the cart and beyond."""
    n_departments, departments = len(DEPARTMENTS), goods.categories // 5
    users = rng.choice(len(people.ages), most, p=people.activity)
    when = people.first[users] + (1 - people.first[users]) * rng.random(most)

    # The departments they look for: one search in all cumulative tastes, each user's behind those
    # of the one before.
    cumulative = people.tastes.cumsum(axis=1)[:, :-1] + np.arange(len(people.ages))[:, None]
    wanted = np.searchsorted(cumulative.ravel(), users + rng.random(most))
    wanted = np.clip(wanted - users * (n_departments - 1), 0, n_departments - 1)
    # A product of the department by popularity, or of all: a point of its range of the cumulative
    # popularity. What is never seen comes first there, so that no rounding leads to it.
    order = np.lexsort((goods.popularity > 0, departments))
    running = goods.popularity[order].cumsum()
    last = np.searchsorted(departments[order], np.arange(n_departments), side="right") - 1
    ends = np.concatenate([[0], running[last]])
    anywhere = rng.random(most) >= BY_TASTE
    low = np.where(anywhere, 0, ends[wanted])
    high = np.where(anywhere, ends[-1], ends[wanted + 1])
    places = np.searchsorted(running, low + (high - low) * rng.random(most), side="right")
    items = order[np.minimum(places, len(order) - 1)]
    there = goods.appears[items] <= when
    users, items, when = users[there], items[there], when[there]

    liking = people.tastes[users, departments[items]]
    into_cart = rng.random(len(users)) < 0.03 + 0.3 * liking
    bought = into_cart & (rng.random(len(users)) < 0.2 + 0.4 * liking)
    steps = 1 + into_cart + bought
    visits = np.repeat(np.arange(len(users)), steps)[:most]
    kinds = np.arange(len(visits)) - (np.cumsum(steps) - steps)[visits]
    waits = MINUTE * rng.integers(1, 30, len(users))
    times = START + (when * days * DAY).astype(np.int64)
    return _Log(users[visits], items[visits], kinds, times[visits] + kinds * waits[visits])


# ---- the tables ----------------------------------------------------------------------------------


def _without(rng: np.random.Generator, column: Column, share: float) -> Column:
    """The column with a share of its values missing."""
    gone = rng.permutation(len(column))[: max(round(share * len(column)), 1)]
    column = column.astype(np.float64 if column.dtype.kind in "if" else object)
    column[gone] = np.nan if column.dtype.kind == "f" else None
    return column


def _events(
    rng: np.random.Generator, log: _Log, n_repeats: int, user_ids: Column, item_ids: Column
) -> Columns:
    columns = {
        "visitorid": user_ids[log.users],
        "itemid": item_ids[log.items],
        "event": KINDS[log.kinds],
        "timestamp": log.times,
    }
    # Each event of people has one fault at most.
    n = len(log.users)
    n_faults = np.array([max(n // 2500, 1), max(n // 5000, 1), n_repeats])
    by_people = np.flatnonzero(log.users < len(user_ids) - MACHINES)
    faults = rng.choice(by_people, n_faults.sum(), replace=False)
    no_item, no_user, again = np.split(faults, n_faults.cumsum()[:-1])
    columns["itemid"][no_item] = None
    columns["visitorid"][no_user] = None
    order = rng.permutation(np.concatenate([np.arange(n), again]))
    return {name: column[order] for name, column in columns.items()}


def _visitors(rng: np.random.Generator, people: _People, user_ids: Column, days: int) -> Columns:
    n = len(user_ids)
    first_days = np.datetime64(START, "ms").astype("M8[D]") + (people.first * days).astype(int)
    signed_up = np.datetime_as_string(first_days - rng.integers(0, 900, n)).astype(object)
    columns = {
        "visitorid": user_ids,
        "country": _without(rng, np.array(COUNTRIES, dtype=object)[people.countries], 0.1),
        "signup_date": _without(rng, signed_up, 0.1),
        "age": _without(rng, people.ages, 0.2),
    }
    listed = np.sort(rng.permutation(n)[: round(0.85 * n)])
    return {name: column[listed] for name, column in columns.items()}


def _products(rng: np.random.Generator, goods: _Goods, item_ids: Column) -> Columns:
    n = len(item_ids)
    departments = goods.categories // 5
    names = np.array(list(DEPARTMENTS))[departments].tolist()
    nouns = np.array([sold.split() for sold in DEPARTMENTS.values()]).ravel()
    # Two labels of the department, which may be the same one, and one of all.
    own = rng.integers(TAGS_OF_A_DEPARTMENT, size=(n, 2)).tolist()
    others = rng.integers(40, size=n).tolist()
    tags = [
        "|".join(dict.fromkeys([f"{name}{a}", f"{name}{b}", f"label{c}"]))
        for name, (a, b), c in zip(names, own, others, strict=True)
    ]
    titles = [
        f"{quality} {noun} {number}"
        for quality, noun, number in zip(
            rng.choice(QUALITIES, n).tolist(),
            nouns[goods.categories].tolist(),
            range(1, n + 1),
            strict=True,
        )
    ]
    brands = (2 * departments + rng.integers(4, size=n)) % len(BRANDS)
    columns = {
        "itemid": item_ids,
        "categoryid": np.array([f"{100 + code:04d}" for code in goods.categories], dtype=object),
        "price": _without(rng, np.exp(rng.normal(3, 1.3, n)).round(2), 0.1),
        "tags": _without(rng, np.array(tags, dtype=object), 0.05),
        "brand": _without(rng, np.array(BRANDS, dtype=object)[brands], 0.03),
        "title": np.array(titles, dtype=object),
    }
    twice = rng.choice(n, max(n // 250, 3), replace=False)
    again = {name: column[twice] for name, column in columns.items()}
    again["price"] = (0.9 * again["price"]).round(2)
    return {name: np.concatenate([columns[name], again[name]]) for name in columns}
