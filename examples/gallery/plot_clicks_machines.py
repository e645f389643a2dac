"""
Machines: anomalies in rates and paths
======================================

Crawlers, monitors and scrapers fill logs, and models learn from them what nobody likes. Some are
fast, and a limit on the rate finds them. Others come and watch as people do; what gives
them away is where they go. In this synthetic log 24 machines are planted, half of each kind.
"""

# %%
# What is counted of each visitor
# -------------------------------
#
# ``people`` has rates (events of the busiest hour), rhythm (how much the time between events
# varies) and paths: "surprise" is how many bits it takes to tell the next step of somebody to who
# knows where people usually go.

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import binomtest
from sklearn.ensemble import IsolationForest

from lightfm_clone.clickstream import Clickstream
from lightfm_clone.datasets import synthetic_clickstream

plt.style.use("tableau-colorblind10")
plays = synthetic_clickstream(2400, 300, days=60, n_machines=24, random_state=3)
events, _, _ = plays.to_frames("pandas")
log = {"user": "user", "item": "item", "timestamp": "timestamp"}
stream = Clickstream(events, **log, watched="watched", length="length")
people = stream.people()
people = people[people["n_events"] >= 10].reset_index(drop=True)
is_machine = people["user"].isin(plays.truth.machines).to_numpy()
print(f"{len(people):,} visitors with 10 events or more, {is_machine.sum()} of them machines")

# %%
# Four detectors
# --------------
#
# - A limit on the rate, as ``Clickstream.clean`` has it.
# - An isolation forest on rates and rhythm: who is split off from the others by few random cuts.
# - The same with paths beside them. The surprise of somebody with few steps is a mean of a few
#   values, and may be high by chance. What counts is how far it is above the median, times the root
#   of the number of steps, as the error of a mean falls with that root.
# - That one number alone, the largest first.
#
# The last three order visitors. How many to look at is a choice: here 24, as if one in a hundred
# were expected to be a machine.
n_flagged = 24
steps = (people["n_events"] - people["n_sessions"]).clip(lower=1)
surprise = (people["surprise"] - people["surprise"].median()) * np.sqrt(steps)
measured = {
    "events a day": np.log(people["n_events"] / people["n_days"]),
    "busiest hour": np.log(people["busiest_hour"]),
    "dwell": np.log(people["dwell"]),
    "variation of dwell": people["dwell_variation"],
    "surprise": surprise,
}
# Who never takes a second step in a session has no dwell and no surprise: the median stands in.
measured = {name: values.fillna(values.median()) for name, values in measured.items()}


def most_unusual(*names):
    given = np.column_stack([measured[name] for name in names])
    forest = IsolationForest(n_estimators=300, random_state=0).fit(given)
    return np.argsort(forest.score_samples(given))[:n_flagged]


flagged = {
    "limit on the rate": np.flatnonzero(people["user"].isin(stream.clean().machines)),
    "forest: rates": most_unusual(*list(measured)[:4]),
    "forest: rates, paths": most_unusual(*measured),
    "surprise alone": np.argsort(-measured["surprise"].to_numpy())[:n_flagged],
}


def told(hits, of):
    """A share with its exact 95 % interval."""
    ends = binomtest(hits, of).proportion_ci()
    return hits / of, ends.low, ends.high


found = {}
for name, who in flagged.items():
    hits = int(is_machine[who].sum())
    found[name] = told(hits, max(len(who), 1)), told(hits, int(is_machine.sum()))
    (precision, *p), (recall, *r) = found[name]
    print(
        f"{name:20} precision {precision:.2f} [{p[0]:.2f}, {p[1]:.2f}]  "
        f"recall {recall:.2f} [{r[0]:.2f}, {r[1]:.2f}]"
    )

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
for part, label, offset in ((0, "precision", -0.15), (1, "recall", 0.15)):
    at = np.array([each[part] for each in found.values()])
    bars = [at[:, 0] - at[:, 1], at[:, 2] - at[:, 0]]
    left.errorbar(
        at[:, 0], np.arange(4) + offset, xerr=bars, fmt="os"[part], capsize=3, label=label
    )
left.set(yticks=range(4), yticklabels=list(found), xlim=(0, 1.02), xlabel="share (95 % interval)")
left.invert_yaxis()
left.legend()
for who, label, marker in ((~is_machine, "people", "."), (is_machine, "machines", "x")):
    place = people["busiest_hour"][who], measured["surprise"][who]
    right.scatter(*place, s=18, marker=marker, label=label)
right.set(
    xscale="log",
    xlabel="events in the busiest hour",
    ylabel="surprise over median × √steps",
)
right.legend()
figure.tight_layout()

# %%
# What was found
# --------------
#
# A limit on the rate is never wrong and finds the fast half; so does a forest on rates, which then
# takes 12 people for machines, as it has to name 24. With paths the forest finds 18. The surprise
# alone finds all: where to look was worth more than the method, and each further column makes it
# more likely that a random cut looks elsewhere. In real logs nobody has planted the machines; look
# at the first of each order before anything is deleted.
