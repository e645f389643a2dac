"""A broadcaster's catalogue in pandas frames: train, recommend by name, save, use again.

    python examples/catalogue.py                    train, save, and recommend in a new process
    python examples/catalogue.py recommend FOLDER   only recommend, from what was saved in FOLDER

The second form is what the first one runs in a fresh process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from lightfm_clone import LightFM, Popularity, Recommender
from lightfm_clone.datasets import synthetic_catalogue

try:
    import narwhals  # noqa: F401
    import pandas as pd
except ImportError as error:
    sys.exit(f"this example needs pandas and narwhals ({error}): pip install pandas narwhals")


def make_frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Programs and interactions, as a database would give them."""
    drawn = synthetic_catalogue(n_users=1_000, n_items=300, n_interactions=30_000, random_state=7)
    programs = pd.DataFrame(
        {
            "program_id": [f"program-{number:03d}" for number in drawn.item_ids],
            "title": drawn.item_labels,
        }
    )
    interactions = pd.DataFrame(
        {
            "user_id": [f"user-{drawn.user_ids[row]:03d}" for row in drawn.interactions.row],
            "program_id": programs["program_id"].to_numpy()[drawn.interactions.col],
            "watched_at": pd.to_datetime(drawn.timestamps, unit="s"),
        }
    )
    return programs, interactions


def train(folder: Path) -> None:
    programs, interactions = make_frames()
    print(f"{len(programs)} programs, {len(interactions)} interactions")

    # The last fifth in time is what the model will be asked to foresee.
    interactions = interactions.sort_values("watched_at")
    n_train = int(0.8 * len(interactions))
    past, future = interactions.iloc[:n_train], interactions.iloc[n_train:]

    catalogue = Recommender(LightFM(no_components=10, loss="warp", random_state=0))
    catalogue.fit(past, user="user_id", item="program_id", timestamp="watched_at", epochs=20)
    print(catalogue.compare({"popular": Popularity()}, future, metrics=["precision@3", "auc"]))

    catalogue.save(folder / "catalogue.rec")
    programs.to_csv(folder / "programs.csv", index=False)


def recommend(folder: Path) -> None:
    catalogue = Recommender.load(folder / "catalogue.rec", mmap=True)
    titles = pd.read_csv(folder / "programs.csv", index_col="program_id")["title"]
    lists = catalogue.recommend(["user-004", "user-117", "user-312"], k=3)
    for user_id, of_user in lists.groupby("user"):
        print(user_id)
        for place, program_id in zip(of_user["rank"], of_user["item"], strict=True):
            print(f"  {place}. {titles[program_id]} ({program_id})")


def main() -> None:
    if sys.argv[1:2] == ["recommend"]:
        recommend(Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            train(Path(folder))
            print("Recommended in a fresh process:", flush=True)
            subprocess.run([sys.executable, __file__, "recommend", folder], check=True)


if __name__ == "__main__":
    main()
