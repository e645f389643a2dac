"""
Vectors in a scikit-learn pipeline
==================================

A shop knows the age of four visitors in five, and would like to know that of the others, for a
report on who its visitors are. What people look at tells something about their age, and a
recommender's vectors say in 32 numbers what somebody looks at. So: a ``Pipeline`` with a
``ColumnTransformer`` that takes columns and vectors side by side, beside the same pipeline
without vectors, and beside plain counts.

And a trap: a recommender that was told the ages has vectors that know them.
"""

# %%
# The tables
# ----------
# A made-up shop whose visitors have tastes that depend on age and country.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lightfm_clone import LightFM, Recommender
from lightfm_clone.datasets import synthetic_shop
from lightfm_clone.evaluation import Comparison, Evaluation

plt.style.use("tableau-colorblind10")
events, visitors, products = synthetic_shop(n_events=60_000, random_state=0).to_frames()
visitors.head()

# %%
# Vectors, and counts
# -------------------
# The recommender for the vectors is fitted on events alone. It never sees an age, so it may see
# the events of all visitors, those whose ages are to be predicted, too: they will be known in use
# as well. (What happens later, as who will buy, is another matter. For that the events have to
# end before.)

log = {"user": "visitorid", "item": "itemid", "timestamp": "timestamp", "event": "event"}
options = {"event_weights": {"view": 1, "addtocart": 4, "transaction": 10}, "num_threads": 1}
softmax = LightFM(loss="softmax", no_components=32, temperature=0.2, random_state=0)
recommender = Recommender(softmax).fit(events, **log, **options, verbose=False)

vectors = recommender.user_table(features=False)
vectors.iloc[:3, :5]

# %%
# The trap: the same with the table of visitors, age and all.


def vectors_told(visitors):
    told = Recommender(softmax).fit(events, users=visitors, **log, **options, verbose=False)
    table = told.user_table(features=False).set_index("user").drop(columns="bias")
    return table.add_prefix("told_")


told = vectors_told(visitors)

# %%
# And what vectors have to be measured with: counts that need no model, the share of each category
# of products in what somebody did.

category = products.drop_duplicates("itemid").set_index("itemid")["categoryid"]
known = events.dropna(subset=["visitorid", "itemid"])
shares = pd.crosstab(
    known["visitorid"], known["itemid"].map(category), normalize="index"
).add_prefix("share_")

# %%
# One pipeline, several columns
# -----------------------------
# All in one table, a row for each visitor with a known age. `ColumnTransformer` picks from it by
# name.

is_vector = vectors.columns.str.startswith("vector_")
names = {"vectors": list(vectors.columns[is_vector]), "shares": list(shares)}
names["told"] = [f"told_{name}" for name in names["vectors"]]
table = (
    visitors[visitors["age"].notna()]
    .assign(year=lambda one: one["signup_date"].str[:4])
    .set_index("visitorid")
    .join(vectors.set_index("user")[names["vectors"]], how="inner")
    .join(told)
    .join(shares)
)
print(f"{len(table):,} visitors with a known age and events")


def pipeline(*blocks):
    """Ridge regression on the visitor's columns and on blocks of others."""
    filled = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    parts = [("columns", filled, ["country", "year"])]
    parts += [(block, StandardScaler(), names[block]) for block in blocks]
    return make_pipeline(ColumnTransformer(parts), RidgeCV(np.logspace(0, 5, 11)))


pipeline("vectors")

# %%
# How far off
# -----------
# Ages are predicted in five folds, each by a pipeline that was fitted without it. The error is
# the absolute difference in years.

folds = KFold(5, shuffle=True, random_state=0)


def errors(*blocks):
    predicted = cross_val_predict(pipeline(*blocks), table, table["age"], cv=folds)
    return Evaluation(table.index, {"years": np.abs(predicted - table["age"]).to_numpy()})


# And a fair trial of the trap: a recommender for each fold, which is told the ages of the others.
fair = np.zeros(len(table))
for train, test in folds.split(table):
    hidden = visitors["visitorid"].isin(table.index[test])
    fold = table.copy()
    fold[names["told"]] = vectors_told(visitors.assign(age=visitors["age"].mask(hidden)))
    fitted = pipeline("told").fit(fold.iloc[train], fold["age"].iloc[train])
    fair[test] = np.abs(fitted.predict(fold.iloc[test]) - fold["age"].iloc[test])

mean = Evaluation(table.index, {"years": (table["age"] - table["age"].mean()).abs().to_numpy()})
comparison = Comparison(
    {
        "columns": errors(),
        "the mean of all": mean,
        "+ vectors": errors("vectors"),
        "+ shares": errors("shares"),
        "+ vectors, shares": errors("vectors", "shares"),
        "+ vectors told all ages": errors("told"),
        "+ vectors told the others' ages": Evaluation(table.index, {"years": fair}),
    },
    baseline="+ shares",
)
print(comparison)

# %%
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for line, (name, evaluation) in enumerate(comparison.items()):
    low, high = evaluation.confidence_intervals()["years"]
    colour = "C1" if "all ages" in name else "C0"
    ax.plot([low, high], [line, line], color=colour, marker="|")
    ax.plot(evaluation["years"], line, color=colour, marker="x" if "all ages" in name else "o")
ax.set_yticks(range(len(comparison)), comparison)
ax.invert_yaxis()
ax.set_xlim(left=0)
ax.set_xlabel("mean absolute error in years, with 95 % intervals")
ax.set_title("How far off a predicted age is")
ax.grid(axis="x", alpha=0.3)
plt.show()

# %%
# - Country and year of the first visit say nothing about age: the error is that of the mean of
#   all.
# - Vectors take four years off the error. So do shares of categories, which need no model; the
#   interval of the difference holds 0. Where the catalogue has good categories, count first.
#   Vectors need none, and are half as many columns.
# - Both together are a little better than shares alone.
# - Vectors that were told all ages are too good to be true: they hold the ages of the test folds.
#   Told the ages of the others alone, as it would be in use, they are no better than vectors that
#   were told nothing. So what is to be predicted must not be among the columns of the
#   recommender.
