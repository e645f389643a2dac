"""
MovieLens 32M: where the time goes
==================================

From a ratings file to lists for everybody, with a clock at each stage. The data have the shape of
MovieLens 32M (200,948 people, 84,432 films, 32 million ratings) and are made up, so nothing has
to be downloaded. By default a fiftieth of it runs; the environment variable
``LIGHTFM_CLONE_GALLERY=full`` asks for the whole, which needs 5 GB of memory.
"""

# %%
# A ratings file
# --------------
# The file has the columns of MovieLens' own ratings.csv. Writing it is not on the clock.

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lightfm_clone import LightFM, Popularity, Recommender
from lightfm_clone.datasets import synthetic_catalogue

plt.style.use("tableau-colorblind10")
part = 1 if os.environ.get("LIGHTFM_CLONE_GALLERY") == "full" else 50
scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
folder = Path(scratch.name)


def write_ratings(path):
    drawn = synthetic_catalogue(200_948 // part, 84_432 // part, 32_000_000 // part)
    ratings = np.random.default_rng(0).choice([3.5, 4.0, 4.5, 5.0], drawn.interactions.nnz)
    columns = [drawn.interactions.row, drawn.interactions.col, ratings, drawn.timestamps]
    table = pa.table(dict(zip(["userId", "movieId", "rating", "timestamp"], columns, strict=True)))
    csv.write_csv(table, path)


write_ratings(folder / "ratings.csv")
print(f"{(folder / 'ratings.csv').stat().st_size / 1e6:,.0f} MB")

# %%
# The stages
# ----------
# The last hundredth in time is held out. Two threads train; everything else takes what CPUs there
# are.

seconds = {}


@contextmanager
def stage(name):
    start = time.perf_counter(), time.process_time()
    yield
    end = time.perf_counter(), time.process_time()
    seconds[name] = np.subtract(end, start)


with stage("read the file"):
    ratings = csv.read_csv(folder / "ratings.csv")

with stage("split by time"):
    cut = pc.quantile(ratings["timestamp"], 0.99)[0]
    past = ratings.filter(pc.less_equal(ratings["timestamp"], cut))
    later = ratings.filter(pc.greater(ratings["timestamp"], cut))

log = {"user": "userId", "item": "movieId", "timestamp": "timestamp"}
with stage("fit: 5 epochs of WARP"):
    films = Recommender(LightFM(loss="warp", no_components=32, random_state=0))
    films.fit(past, **log, epochs=5, num_threads=2, verbose=False)

with stage("evaluate"):
    evaluation = films.evaluate(later, metrics="ndcg@10")

with stage("top 10 of everybody"):
    films.write_lists(folder / "lists.parquet", k=10, verbose=False)

with stage("save"):
    films.save(folder / "films.rec")

with stage("load"):
    served = Recommender.load(folder / "films.rec", mmap=True)

with stage("one list"):
    served.recommend([int(ratings["userId"][0])], k=10)

people, items = films.interactions_.shape
print(f"{len(past):,} ratings of {people:,} people and {items:,} films")

# %%
# Seconds on the clock, and those of all CPUs together: where two threads work, the latter are up
# to twice as many; where a machine has other things to do, the former are more.

table = pd.DataFrame(seconds, index=["on the clock", "of CPUs"]).T
table.loc["in all"] = table.sum()
print(table.round(2))

# %%
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
table.drop("in all").plot.barh(ax=ax, width=0.8)
for bars in ax.containers:
    ax.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
ax.invert_yaxis()
ax.margins(x=0.12)
ax.set_xlabel("seconds")
ax.set_title(f"{len(ratings):,} ratings, from a file to lists")
plt.show()

# %%
# The whole took 123 seconds of the CPUs, measured once on two virtual CPUs of an EPYC of family
# 25, model 17: 9 to read the file, 2 to split it, 86 to fit, 10 to evaluate, 13 for the lists of
# 200,948 people, 1 to save, 1 to load, and 0.3 for the first list, which makes the items ready.
# (The machine had other things to do, so its clock tells nothing.) Training takes most of the
# time, and reading text more than half of what all lists take: if a file is read often, write it
# as Parquet once.

# %%
# Is it any good?
# ---------------
# Beside popularity, on what people rated later:

popular = Recommender(Popularity()).fit(past, **log, verbose=False)
for name, one in {
    "WARP": evaluation,
    "popularity": popular.evaluate(later, metrics="ndcg@10"),
}.items():
    low, high = one.confidence_intervals()["ndcg@10"]
    print(f"{name:12} NDCG@10 {one['ndcg@10']:.4f}, 95 % from {low:.4f} to {high:.4f}")

scratch.cleanup()
