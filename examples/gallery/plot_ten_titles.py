"""
A visitor known by ten titles
=============================

Somebody new names ten films that they like. What should they get, without training anything anew?
Three methods, each by itself and compared on people whom the model has never seen:

- *fold-in*: a vector for the visitor is fitted to the ten films, whose vectors stay as they are;
- *mean*: the visitor is the mean of the ten films' vectors;
- *neighbours*: the films that people who like these like, too.

It runs on MovieLens 100K where ``movielens.zip`` is in the folder that the environment variable
``LIGHTFM_CLONE_TEST_DATA`` names, or in the default place of
:func:`~lightfm_clone.datasets.fetch_movielens`, and on a made-up catalogue of its size elsewhere.
"""

# %%
# Visitors
# --------
# A rating of 4 or 5 is a like. Whoever has twenty likes or more is a visitor once: people are
# dealt into five groups, and each group in turn is unknown to a model that is trained on
# everybody else. Of a visitor's likes ten are named, in random order, and the others are what a
# list should hold.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from lightfm_clone import LightFM, Popularity, WithNeighbours
from lightfm_clone.datasets import load_ratings, synthetic_catalogue
from lightfm_clone.evaluation import Comparison, Evaluation

plt.style.use("tableau-colorblind10")
places = [os.environ.get("LIGHTFM_CLONE_TEST_DATA"), "~/lightfm_data/movielens100k"]
archives = [Path(place).expanduser() / "movielens.zip" for place in places if place]
archive = next(filter(Path.is_file, archives), None)
if archive is not None:
    data = load_ratings(archive)
    liked = data.interactions.data >= 4
    print("This page ran on MovieLens 100K.")
else:
    data = synthetic_catalogue(943, 1682, 55_000, random_state=0)
    liked = np.ones(data.interactions.nnz, bool)
    print("This page ran on made-up data.")

n_users, n_films = data.interactions.shape
entries = np.ones(liked.sum()), (data.interactions.row[liked], data.interactions.col[liked])
likes = sp.csr_matrix(entries, shape=(n_users, n_films), dtype=np.float32)
visitors = np.flatnonzero(np.diff(likes.indptr) >= 20)

rng = np.random.default_rng(0)
# Each visitor's films in random order: the first ten are named.
films_of = [rng.permutation(likes[visitor].indices) for visitor in visitors]
group_of = rng.permutation(len(visitors)) % 5


def matrix(rows):
    """Lists of films as a matrix of ones, a row for each list."""
    indptr = np.cumsum([0, *map(len, rows)])
    ones = np.ones(indptr[-1], np.float32)
    return sp.csr_matrix((ones, np.concatenate(rows), indptr), shape=(len(rows), n_films))


print(f"{len(visitors)} visitors of {n_users} people, {n_films} films, {likes.nnz:,} likes")

# %%
# The methods
# -----------
# All of them make of the named films something that a model's `recommend` takes as
# ``user_representations``. One fit serves them all: `WithNeighbours` holds factors and
# neighbours, which can be asked one by one or together.


def mean_of_films(model, named):
    """No bias, and the mean of the vectors of the films."""
    _, vectors = model.get_item_representations()
    means = named @ vectors / named.sum(axis=1)
    return np.zeros(len(means), np.float32), np.asarray(means, np.float32)


def lists_by(model, popular, named):
    """Ten films for each row of named ones, by each method."""
    factors, neighbours = model.model, model.neighbours
    people = {
        "popularity": (popular, popular.fold_in_users(named)),
        "mean": (factors, mean_of_films(factors, named)),
        "fold-in": (factors, factors.fold_in_users(named, random_state=0)),
        "neighbours": (neighbours, neighbours.fold_in_users(named)),
        "fold-in + neighbours": (model, model.fold_in_users(named, random_state=0)),
    }
    return {
        method: one.recommend(k=10, user_representations=representations, exclude=named)[0]
        for method, (one, representations) in people.items()
    }


def ndcg(lists, wanted):
    """NDCG@10 of lists, where wanted is a matrix of ones [lists, films]."""
    discounts = 1 / np.log2(np.arange(2, 12))
    hits = np.take_along_axis(wanted.toarray(), lists, axis=1)
    best = np.cumsum(discounts)[np.minimum(np.diff(wanted.indptr), 10) - 1]
    return hits @ discounts / best


sizes = [1, 2, 3, 5, 10]
values = {size: {} for size in sizes}
for group in range(5):
    members = np.flatnonzero(group_of == group)
    rest = likes.copy()
    rest.data[np.isin(np.repeat(np.arange(n_users), np.diff(likes.indptr)), visitors[members])] = 0
    rest.eliminate_zeros()
    softmax = LightFM(loss="softmax", no_components=64, temperature=0.2, random_state=0)
    model = WithNeighbours(softmax).fit(rest, epochs=15, num_threads=1)
    popular = Popularity().fit(rest)
    wanted = matrix([films_of[member][10:] for member in members])
    for size in sizes:
        named = matrix([films_of[member][:size] for member in members])
        for method, lists in lists_by(model, popular, named).items():
            values[size].setdefault(method, np.zeros(len(visitors)))[members] = ndcg(lists, wanted)

comparisons = {
    size: Comparison(
        {m: Evaluation(visitors, {"ndcg@10": v}) for m, v in of_size.items()}, baseline="mean"
    )
    for size, of_size in values.items()
}
print("Ten titles:")
print(comparisons[10])

# %%
# From one title to ten
# ---------------------
# The same with fewer titles. The films to be found stay the same, so that the points of a line
# can be compared. Bars are 95 % intervals of the means.

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
methods = list(values[10])
for shift, (method, marker) in enumerate(zip(methods, "oshD^", strict=True)):
    places = np.arange(len(sizes)) + 0.08 * (shift - 2)
    evaluations = [comparisons[size][method] for size in sizes]
    means = np.array([evaluation["ndcg@10"] for evaluation in evaluations])
    ends = np.array([one.confidence_intervals()["ndcg@10"] for one in evaluations]).T
    ax.errorbar(places, means, abs(ends - means), marker=marker, capsize=2, lw=1.2, label=method)
ax.set_xticks(range(len(sizes)), sizes)
ax.set_xlabel("titles that the visitor has named")
ax.set_ylabel("NDCG@10 of their other likes")
ax.set_ylim(bottom=0)
ax.grid(axis="y", alpha=0.3)
ax.legend()
plt.show()

# %%
# - Up to three titles the mean of the films' vectors is as good as a fold-in. It is one line, and
#   needs nothing but the vectors, so it can be computed where there is no model, as in a
#   database.
# - With ten, the fold-in is ahead by more than its interval.
# - Neighbours need a history. With one title they are behind what is popular, on MovieLens even
#   with five. They are made for people with many likes. For a newcomer the sum of both is not
#   better than the fold-in alone, and with few titles it is worse.
#
# One visitor
# -----------
# Ten titles of a visitor whom the last model does not know and, by two methods, the films they
# get. Those that they like, too, have a star.

named_first, others = np.split(films_of[members[-1]], [10])
named = matrix([named_first])
print("named:", *data.item_labels[named.indices], sep="\n    ")
last = lists_by(model, popular, named)
for method in ("popularity", "fold-in"):
    print(f"{method}:")
    for film in last[method][0]:
        print(f"  {'*' if film in others else ' '} {data.item_labels[film]}")
