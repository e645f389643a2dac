"""A synthetic catalogue: films, people with tastes, and what they watched when.

Films lie in hidden *niches*, a few to a genre; genre, themes and decade of a film are its public
tags. Everybody likes three niches, which depend on age class and region. A person's next film is
drawn by popularity from one of those niches, from the genre around it, or from everything::

    P(film | person) = sum over segments s of  P(s | person) * popularity(film) / popularity(s)

A segment (niche, genre, everything) is a contiguous range of one list that is sorted by niche, and
so is the cumulative popularity along it: a draw is one random number in the segment's range and
one binary search. No matrix of users x items is ever made.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone._checks import check_random_state, is_integer
from lightfm_clone.datasets._catalogue import Catalogue, tag_matrix
from lightfm_clone.typing import Seed

# A genre, and nouns for the titles of its films.
GENRES = {
    "Drama": "Promise Inheritance Silence Letter Farewell Garden Daughter Winter",
    "Comedy": "Wedding Roommate Vacation Neighbour Mistake Butler Reunion Parrot",
    "Thriller": "Witness Pursuit Conspiracy Hostage Signal Passenger Code Deadline",
    "Romance": "Kiss Summer Waltz Heart Proposal Postcard Encounter Balcony",
    "Action": "Strike Fury Commando Explosion Showdown Convoy Mission Avenger",
    "Crime": "Heist Alibi Verdict Gangster Detective Informant Ransom Safe",
    "Adventure": "Expedition Treasure Island River Summit Compass Voyage Jungle",
    "Sci-Fi": "Galaxy Android Starship Orbit Colony Paradox Machine Comet",
    "Horror": "Cellar Nightmare Curse Scream Asylum Ritual Shadow Crypt",
    "Fantasy": "Dragon Kingdom Sorcerer Crown Prophecy Forest Sword Spell",
    "Mystery": "Clue Riddle Manor Disappearance Portrait Key Diary Lighthouse",
    "Animation": "Robot Penguin Toy Balloon Fox Lantern Raindrop Pirate",
    "War": "Battalion Trench Siege Armistice Bridge Soldier Front Cipher",
    "Documentary": "Glacier Ocean Orchestra Election Archive City Harvest Laboratory",
    "Western": "Sheriff Canyon Saloon Stagecoach Frontier Bandit Prairie Railroad",
    "Musical": "Chorus Stage Melody Tango Audition Carnival Trumpet Encore",
}
ADJECTIVES = (
    "Silent Golden Lost Crimson Broken Hidden Frozen Last Burning Secret Endless Hollow Wild "
    "Midnight Forgotten Electric Gentle Savage Distant Velvet Restless Iron Painted Sleeping "
    "Stolen Second Invisible Bitter Paper Northern Southern Blue Scarlet Emerald Silver Copper "
    "Lonely Curious Fearless Quiet Clever Ancient Modern Perfect Impossible Unlikely Ordinary "
    "Glorious Wandering Falling Rising Dancing Laughing Whispering Vanishing Borrowed Haunted "
    "Tender Reckless Faithful Crooked Honest Shining Final"
).split()
YEARS = np.arange(1960, 2024)
THEMES = (
    "revenge friendship family betrayal coming-of-age road-trip survival first-love justice "
    "ambition identity memory underdog small-town big-city workplace school politics music food "
    "sports travel technology nature time-travel outer-space magic ghosts monsters spies police "
    "courtroom journalism art history rebellion loss hope humour secrets"
).split()
AGES = ("under 18", "18-24", "25-34", "35-44", "45-54", "55 and over")
REGIONS = ("north", "east", "south", "west", "centre", "islands", "coast", "mountains")

FIRST_DAY = 1_577_836_800  # 2020-01-01
LAST_DAY = 1_704_067_200  # 2024-01-01

# How likely a film comes from the niche or the genre of somebody's first, second and third taste,
# or from everything.
SEGMENT_PROBABILITIES = np.append(np.outer((0.6, 0.25), (0.5, 0.3, 0.2)).ravel(), 0.15)
# Who has seen nearly all that fits their taste looks further: how often a missing interaction is
# drawn by taste, then by popularity alone. After that every film is as likely as the other.
TASTE_ATTEMPTS, POPULARITY_ATTEMPTS = 5, 3
# Sampled together, so that the arrays of one step stay in the cache.
BLOCK_INTERACTIONS = 1_000_000


def synthetic_catalogue(
    n_users: int = 1_000,
    n_items: int = 600,
    n_interactions: int = 40_000,
    random_state: Seed = 0,
) -> Catalogue:
    """Draw a catalogue of films, the people who watch them, and what they watched when.

    Popularity of films and activity of people follow power laws. People's tastes can be learnt
    from the interactions, from the tags of the films, and in part from the tags of the people.

    Parameters
    ----------
    n_users, n_items : int, default 1000 and 600
        Numbers of people and films, at least 1.
    n_interactions : int, default 40000
        Number of interactions, all of them different (user, item) pairs, and met exactly: pairs
        that come up a second time are drawn anew, first by taste, then by popularity, at last
        evenly from all films. Nobody watches more than half of the films (rounded up), so it
        can be at most ``n_users * ceil(n_items / 2)``.
    random_state : int, RandomState, Generator or None, default 0
        Seed. The same seed gives the same catalogue on the same version of NumPy; None gives
        another one every time.

    Returns
    -------
    Catalogue
        ``interactions`` are ones, in the order of time, with ``timestamps`` in the years 2020 to
        2023. Item tags are ``genre:``, ``theme:`` and ``decade:`` (one or two genres, up to two
        themes, one decade); user tags are ``age:`` and ``region:`` (one each). ``item_labels``
        are distinct titles such as ``The Frozen Galaxy (1987)``. Ids count from 0. About 50
        bytes of memory per interaction are needed while it is made, 20 afterwards.

    Raises
    ------
    ValueError
        If a number is too small, or ``n_interactions`` too large for the users and items.
    """
    for name, value, least in (
        ("n_users", n_users, 1),
        ("n_items", n_items, 1),
        ("n_interactions", n_interactions, 0),
    ):
        if not is_integer(value) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    # Python integers, for NumPy's small ones overflow.
    n_users, n_items, n_interactions = int(n_users), int(n_items), int(n_interactions)
    most = (n_items + 1) // 2
    if n_interactions > n_users * most:
        raise ValueError(
            f"n_interactions must be at most {n_users * most}, half of all pairs of {n_users} "
            f"users and {n_items} items, got {n_interactions}; ask for fewer interactions or "
            "for more users or items"
        )
    seeds = check_random_state(random_state).randint(2**32, size=8, dtype=np.uint32)
    rng = np.random.default_rng(seeds)

    films = _draw_films(rng, n_items)
    people = _draw_people(rng, n_users, films)
    degrees = _activity(rng, n_users, n_interactions, most)
    users = np.repeat(np.arange(n_users, dtype=np.int32), degrees)
    items = np.empty(n_interactions, dtype=np.int32)
    ends = np.cumsum(degrees)
    first = 0
    while first < n_users:
        start = ends[first] - degrees[first]
        stop = int(np.searchsorted(ends, start + BLOCK_INTERACTIONS, side="right"))
        stop = max(stop, first + 1)
        items[start : ends[stop - 1]] = _draw_interactions(
            rng, degrees[first:stop], people.segments[first:stop], films
        )
        first = stop

    joined = rng.uniform(FIRST_DAY, FIRST_DAY + 0.8 * (LAST_DAY - FIRST_DAY), n_users)
    timestamps = rng.random(n_interactions)
    timestamps *= (LAST_DAY - joined)[users]
    timestamps += joined[users]
    timestamps = timestamps.astype(np.int64)
    order = np.argsort(timestamps, kind="stable")

    return Catalogue(
        interactions=sp.coo_matrix(
            (np.ones(n_interactions, dtype=np.float32), (users[order], items[order])),
            shape=(n_users, n_items),
        ),
        timestamps=timestamps[order],
        user_ids=np.arange(n_users),
        item_ids=np.arange(n_items),
        item_labels=films.titles,
        item_tags=films.tags,
        item_tag_labels=films.tag_labels,
        user_tags=people.tags,
        user_tag_labels=people.tag_labels,
    )


class Films(NamedTuple):
    titles: np.ndarray
    tags: sp.csr_matrix
    tag_labels: np.ndarray
    genre_shares: np.ndarray  # (n_genres,), sums to 1
    n_niches: int  # in each genre
    # The list to draw from: a film stands in its own niche and once more in that of its second
    # genre, if it has one.
    listed: np.ndarray  # int32: film of each entry, sorted by niche
    cumulative: np.ndarray  # float64: popularity of all entries up to and including this one
    # Segments are numbered: all niches, genre by genre; the genres; everything.
    segment_low: np.ndarray
    segment_high: np.ndarray


class People(NamedTuple):
    tags: sp.csr_matrix
    tag_labels: np.ndarray
    segments: np.ndarray  # (n_users, 7), aligned with SEGMENT_PROBABILITIES


def _power_law(n: int, exponent: float) -> np.ndarray:
    """Zipf-Mandelbrot weights by rank; the offset keeps the first few from taking everything."""
    return (np.arange(1, n + 1) + 0.005 * n) ** -exponent


def _draw_films(rng: np.random.Generator, n_items: int) -> Films:
    n_genres = min(max(n_items // 40, 2), len(GENRES))
    n_niches = min(max(n_items // (n_genres * 100), 1), 8)
    shares = np.arange(3, 3 + n_genres) ** -0.7
    shares /= shares.sum()

    genre = rng.choice(n_genres, n_items, p=shares)
    niche = genre * n_niches + rng.integers(n_niches, size=n_items)
    second = np.flatnonzero(rng.random(n_items) < 0.35)
    second_genre = (genre[second] + rng.integers(1, n_genres, size=len(second))) % n_genres
    second_niche = second_genre * n_niches + rng.integers(n_niches, size=len(second))
    titles, year = _titles(rng, genre)

    popularity = rng.permutation(_power_law(n_items, 0.9))
    listed = np.concatenate([np.arange(n_items), second]).astype(np.int32)
    niches = np.concatenate([niche, second_niche])
    weights = np.concatenate([popularity, 0.5 * popularity[second]])
    order = np.argsort(niches, kind="stable")
    cumulative = np.cumsum(weights[order])
    bounds = np.concatenate([[0.0], cumulative])[
        np.searchsorted(niches[order], np.arange(n_genres * n_niches + 1))
    ]

    # A niche has two themes of its own, which show in most of its films.
    own_themes = rng.integers(len(THEMES), size=(n_genres * n_niches, 2))
    themes = own_themes[niche]
    themes[second, 1] = own_themes[second_niche, 1]
    noise = rng.random(themes.shape) < 0.25
    themes[noise] = rng.integers(len(THEMES), size=np.count_nonzero(noise))
    decades, decade = np.unique(year // 10 * 10, return_inverse=True)
    labels = np.array(
        [f"genre:{name}" for name in itertools.islice(GENRES, n_genres)]
        + [f"theme:{name}" for name in THEMES]
        + [f"decade:{first}s" for first in decades]
    )
    everything = np.arange(n_items)
    tags = tag_matrix(
        np.concatenate([everything, second, everything, everything, everything]),
        np.concatenate(
            [
                genre,
                second_genre,
                n_genres + themes[:, 0],
                n_genres + themes[:, 1],
                n_genres + len(THEMES) + decade,
            ]
        ),
        n_items,
        labels,
    )
    return Films(
        titles=titles,
        tags=tags,
        tag_labels=labels,
        genre_shares=shares,
        n_niches=n_niches,
        listed=listed[order],
        cumulative=cumulative,
        segment_low=np.concatenate([bounds[:-1], bounds[:-1:n_niches], bounds[:1]]),
        segment_high=np.concatenate([bounds[1:], bounds[n_niches::n_niches], bounds[-1:]]),
    )


def _titles(rng: np.random.Generator, genre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct titles, and the years in them."""
    nouns = np.array([words.split() for words in GENRES.values()])
    per_genre = len(ADJECTIVES) * nouns.shape[1] * len(YEARS)
    # Number of each film within its genre, which an odd step takes through all combinations (a
    # power of two) before one comes up again; from then on films are further parts of others.
    order = np.argsort(genre, kind="stable")
    number = np.empty(len(genre), dtype=np.int64)
    number[order] = np.arange(len(genre)) - np.searchsorted(genre[order], genre[order])
    part, number = np.divmod(number, per_genre)
    code = (number * 20_183 + rng.integers(per_genre, size=len(nouns))[genre]) % per_genre
    adjective, code = np.divmod(code, nouns.shape[1] * len(YEARS))
    noun, code = np.divmod(code, len(YEARS))
    year = YEARS[code]
    titles = [
        f"The {ADJECTIVES[a]} {n}{f', Part {p + 1}' if p else ''} ({y})"
        for a, n, p, y in zip(adjective, nouns[genre, noun], part, year, strict=True)
    ]
    return np.array(titles), year


def _draw_people(rng: np.random.Generator, n_users: int, films: Films) -> People:
    n_genres = len(films.genre_shares)
    age = rng.integers(len(AGES), size=n_users)
    region = rng.integers(len(REGIONS), size=n_users)
    leaning = rng.normal(scale=1.2, size=(len(AGES), 1, n_genres)) + rng.normal(
        scale=0.6, size=(1, len(REGIONS), n_genres)
    )
    likes = films.genre_shares * np.exp(leaning)
    likes = np.cumsum(likes / likes.sum(axis=2, keepdims=True), axis=2)

    group = likes[age, region][:, None, :-1]
    genres = (group < rng.random((n_users, 3, 1))).sum(axis=2)
    niches = genres * films.n_niches + rng.integers(films.n_niches, size=genres.shape)
    n_all_niches = n_genres * films.n_niches
    everything = np.full((n_users, 1), n_all_niches + n_genres)
    segments = np.hstack([niches, n_all_niches + genres, everything])

    labels = np.array([f"age:{name}" for name in AGES] + [f"region:{name}" for name in REGIONS])
    rows = np.tile(np.arange(n_users), 2)
    tags = tag_matrix(rows, np.concatenate([age, len(AGES) + region]), n_users, labels)
    return People(tags, labels, segments.astype(np.int16))


def _activity(rng: np.random.Generator, n_users: int, n_interactions: int, most: int) -> np.ndarray:
    """Number of interactions of each user: a power law, cut at ``most``, of the given sum."""
    weights = rng.permutation(_power_law(n_users, 0.8))
    degrees = np.zeros(n_users, dtype=np.int64)
    while missing := n_interactions - int(degrees.sum()):
        # What the most active may not have goes to the others, in proportion. Rounding the
        # running sum, in place of each number, keeps the total.
        below = np.flatnonzero(degrees < most)
        running = np.cumsum(weights[below])
        running = np.rint(running * (missing / running[-1])).astype(np.int64)
        more = np.diff(running, prepend=0)
        degrees[below] += np.minimum(more, most - degrees[below])
    return degrees


def _draw_interactions(
    rng: np.random.Generator, degrees: np.ndarray, segments: np.ndarray, films: Films
) -> np.ndarray:
    """Distinct films for each user, ``degrees`` of them, user by user."""
    n_items = len(films.titles)
    cumulative_probabilities = np.cumsum(SEGMENT_PROBABILITIES)[:-1]
    pairs = np.empty(0, dtype=np.int64)  # user * n_items + item, sorted
    missing = degrees
    attempt = 0
    while len(users := np.repeat(np.arange(len(degrees)), missing)):
        if attempt < TASTE_ATTEMPTS + POPULARITY_ATTEMPTS:
            if attempt < TASTE_ATTEMPTS:
                source = np.searchsorted(cumulative_probabilities, rng.random(len(users)))
                segment = segments[users, source]
            else:
                segment = segments[users, -1]
            low, high = films.segment_low[segment], films.segment_high[segment]
            target = low + (high - low) * rng.random(len(users))
            drawn = np.searchsorted(films.cumulative, target, side="right")
            # An empty segment at the very end, or rounding, may lead past the last entry.
            items = films.listed[np.minimum(drawn, len(films.listed) - 1)]
        else:
            items = rng.integers(n_items, size=len(users))
        pairs = np.sort(np.concatenate([pairs, users * n_items + items]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        missing = degrees - np.bincount(pairs // n_items, minlength=len(degrees))
        attempt += 1
    return pairs % n_items
