"""
MovieLens: what genres are good for
===================================

From the raw files of MovieLens 100K to a list with its reasons. On the way: do genres make the
lists better?

In short: they do not, as far as films are concerned that people have rated. Genres help with
films that nobody has rated yet, and they are words in which a list can be explained.

The files may not be passed on, so this page takes them from the folder that the environment
variable ``LIGHTFM_CLONE_TEST_DATA`` names, or from the default place of
:func:`~lightfm_clone.datasets.fetch_movielens`. If they are in neither, it writes made-up files
with the same layout.
"""

# %%
# The raw files
# -------------
# ``u.data`` has a rating in each row, ``u.item`` a film with a flag for each genre, ``u.user`` a
# person.

import os
import tempfile
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lightfm_clone import ItemNeighbours, LightFM, Popularity, Recommender, WithNeighbours
from lightfm_clone.data import bins, split
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import Comparison

plt.style.use("tableau-colorblind10")


def made_up_files(folder):
    """Write u.data, u.item, u.user and u.genre as MovieLens 100K has them."""
    rng = np.random.default_rng(0)
    drawn = synthetic_catalogue(943, 1682, 55_000, random_state=0)
    liked = drawn.interactions
    columns = [liked.row + 1, liked.col + 1, rng.integers(4, 6, liked.nnz), drawn.timestamps]
    others = [rng.integers(1, 944, 40_000), rng.integers(1, 1683, 40_000)]
    others += [rng.integers(1, 4, 40_000), rng.choice(drawn.timestamps, 40_000)]
    ratings = pd.DataFrame(np.hstack([columns, others]).T)
    ratings.drop_duplicates([0, 1]).to_csv(folder / "u.data", sep="\t", header=False, index=False)

    is_genre = np.char.startswith(drawn.item_tag_labels, "genre:")
    names = [label.removeprefix("genre:") for label in drawn.item_tag_labels[is_genre]]
    (folder / "u.genre").write_text("".join(f"{n}|{i}\n" for i, n in enumerate(names)))
    flags = drawn.item_tags[:, is_genre].toarray().astype(int)
    films = pd.DataFrame({"film": drawn.item_ids + 1, "title": drawn.item_labels})
    films["released"] = "01-Jan-" + films["title"].str[-5:-1]
    films = pd.concat([films, films[[]].assign(video="", url=""), pd.DataFrame(flags)], axis=1)
    films.to_csv(folder / "u.item", sep="|", header=False, index=False, encoding="latin-1")

    people = pd.DataFrame({"person": drawn.user_ids + 1, "age": rng.integers(7, 74, 943)})
    people["gender"] = rng.choice(["F", "M"], 943)
    people["occupation"] = rng.choice(["artist", "engineer", "student", "writer"], 943)
    people["zip"] = rng.integers(10_000, 99_999, 943)
    people.to_csv(folder / "u.user", sep="|", header=False, index=False)


def raw_files(folder):
    """The raw files, written below a folder: where they are, and what to call them."""
    places = [os.environ.get("LIGHTFM_CLONE_TEST_DATA"), "~/lightfm_data/movielens100k"]
    for place in filter(None, places):
        archive = Path(place).expanduser() / "movielens.zip"
        if archive.is_file():
            zipfile.ZipFile(archive).extractall(folder)
            return folder / "ml-100k", "MovieLens 100K"
    made_up_files(folder)
    return folder, "made-up data"


scratch = tempfile.TemporaryDirectory()
folder, name = raw_files(Path(scratch.name))
genres = pd.read_csv(folder / "u.genre", sep="|", names=["genre", "number"])["genre"]
ratings = pd.read_csv(folder / "u.data", sep="\t", names=["person", "film", "rating", "timestamp"])
films = pd.read_csv(
    folder / "u.item",
    sep="|",
    encoding="latin-1",
    names=["film", "title", "released", "video", "url", *genres],
)
people = pd.read_csv(
    folder / "u.user", sep="|", names=["person", "age", "gender", "occupation", "zip"]
)

scratch.cleanup()

films["genres"] = ["|".join(genres[row == 1]) for row in films[genres].to_numpy()]
films["released"] = pd.to_datetime(films["released"], format="%d-%b-%Y")
films = films[["film", "title", "released", "genres"]]
print(f"This page ran on {name}.")
films.head()

# %%
# Likes, and what comes later
# ---------------------------
# A rating of 4 or 5 is a like. Each person's last fifth of likes is what the models have to
# foresee. (A single date for all would be closer to real use, but in MovieLens most people come
# for a day, so nearly everybody after a date is a stranger.) One film in twenty, drawn at random,
# plays the part of a film that is not out yet: nobody's like of it is learned from.

likes = ratings[ratings["rating"] >= 4].sort_values("timestamp", kind="stable")
place = likes.groupby("person").cumcount()
is_past = place < 0.8 * likes.groupby("person")["film"].transform("size")
is_new = likes["film"].isin(films["film"].sample(frac=0.05, random_state=0))
past = likes[is_past & ~is_new]
later = {"known films": likes[~is_past & ~is_new], "new films": likes[~is_past & is_new]}
print(f"{len(past):,} likes to learn from")
for kind, events in later.items():
    print(f"{len(events):,} likes of {kind} to foresee")

# %%
# With and without genres
# -----------------------
# The same model twice: once with what the tables say, and once with all their columns switched
# off, so that a film is a number and nothing else. Both know of all films, so both are asked the
# same.

log = {"user": "person", "item": "film", "timestamp": "timestamp"}
tables = {"users": people, "items": films}
described = {"genres": split("|"), "released": "year", "age": bins(5), "title": None, "zip": None}
nothing = dict.fromkeys([*people.columns[1:], *films.columns[1:]])
softmax = LightFM(loss="softmax", no_components=64, temperature=0.2, random_state=0)


def fitted(model, columns):
    recommender = Recommender(model)
    options = {"epochs": 15, "num_threads": 1, "verbose": False}
    return recommender.fit(past, **log, **tables, columns=columns, **options)


recommenders = {
    "popularity": fitted(Popularity(), nothing),
    "item neighbours": fitted(ItemNeighbours(), nothing),
    "factors": fitted(softmax, nothing),
    "factors + genres": fitted(softmax, described),
    "factors + genres + neighbours": fitted(WithNeighbours(softmax), described),
}
comparisons = {
    kind: Comparison(
        {
            name: recommender.evaluate(events, metrics=["ndcg@10", "auc"], num_threads=1)
            for name, recommender in recommenders.items()
        },
        baseline="factors",
    )
    for kind, events in later.items()
}
for kind, comparison in comparisons.items():
    print(f"{kind}: difference to factors alone")
    for name, differences in comparison.differences.items():
        for metric, (mean, low, high) in differences.items():
            print(f"  {name:30} {metric:8} {mean:+.4f}  95 % from {low:+.4f} to {high:+.4f}")

# %%
# For known films, genres and ages gain nothing: on MovieLens they move NDCG@10 by less than the
# width of its interval, and on the made-up films they cost some of it. What people did tells more
# about a film than its genre. Neighbours beside them gain more. New films turn that round. Without
# columns a model has to guess (an AUC of 0.5 is chance; ties count against a model, so popularity,
# to which all new films are the same, has 0), and with columns it does better than chance, but not
# as well as for known ones.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, (kind, comparison), metric in zip(
    axes, comparisons.items(), ["ndcg@10", "auc"], strict=True
):
    for line, evaluation in enumerate(comparison.values()):
        low, high = evaluation.confidence_intervals()[metric]
        ax.plot([low, high], [line, line], color="C0", marker="|")
        ax.plot(evaluation[metric], line, color="C0", marker="o")
    ax.set_yticks(range(len(comparison)), comparison)
    ax.set_xlabel(f"{metric}, with 95 % intervals")
    ax.set_title(f"{kind}: {len(evaluation.users)} people")
    ax.grid(axis="x", alpha=0.3)
axes[0].invert_yaxis()
axes[1].axvline(0.5, color="grey", ls="--", lw=1)
axes[1].annotate("chance", (0.5, 0.1), ha="center", backgroundcolor="white", fontsize=8)
plt.show()

# %%
# A list, and why
# ---------------
# Somebody with an average number of likes: what they liked last, and what they get.

recommender = recommenders["factors + genres + neighbours"]
n_likes = past["person"].value_counts()
person = n_likes.index[len(n_likes) // 2]
titles = films.set_index("film")["title"]
print("Liked last:", *titles[past[past["person"] == person]["film"].tail(5)], sep="\n  ")

best = recommender.recommend([person], k=5, num_threads=1)
best.assign(title=titles[best["item"]].to_numpy())[["rank", "title", "score"]]

# %%
# The score is a sum, and an explanation is that sum, term by term. In a term of the kind
# "history" a film that they like speaks for this one. A "pair" is what a feature of theirs and a
# feature of the film have in common; where a feature is the person or the film as such, it has
# their number.

reasons = {film: recommender.explain(person, film).to_frame("pandas") for film in best["item"]}
first = reasons[best["item"][0]].head(8)
is_history = first["kind"] == "history"
first.loc[is_history, "user_feature"] = titles[
    first["user_feature"][is_history].astype(int)
].to_numpy()
print(titles[best["item"][0]])
first[["value", "kind", "user_feature", "item_feature"]]

# %%
# Now all terms of the five films, summed up by what they belong to: a film of the history, a
# column such as the genre, or nothing but the person and the film as such.

rows = {}
for rank, (film, terms) in enumerate(reasons.items(), start=1):
    terms = terms[~terms["same_for_every_item"]]
    as_such = terms["user_feature"].isin([None, str(person)]) & (terms["item_feature"] == str(film))
    part = np.select([terms["kind"] == "history", as_such], ["history", "as such"], "columns")
    rows[f"{rank}. {titles[film][:30]}"] = terms.groupby(part)["value"].sum()
parts = pd.DataFrame(rows).T.fillna(0)

fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
parts.plot.barh(stacked=True, ax=ax)
ax.invert_yaxis()
ax.axvline(0, color="grey", lw=1)
ax.set_xlabel("part of the score")
ax.set_title("What the list goes by")
ax.legend(title="", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# Columns make up a large part of the scores, and yet the lists without them are no worse. That is
# no contradiction: without columns, the numbers of people and films learn the same from the
# likes. An explanation tells how the model comes to its score, not what the score would be
# without a feature.
