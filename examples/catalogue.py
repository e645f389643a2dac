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

import numpy as np

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import auc_score, precision_at_k

try:
    import joblib
    import pandas as pd
except ImportError as error:
    sys.exit(f"this example needs pandas and joblib ({error}): pip install pandas joblib")


def make_frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Users, programs and interactions, as a database would give them."""
    drawn = synthetic_catalogue(n_users=1_000, n_items=300, n_interactions=30_000, random_state=7)
    users = pd.DataFrame({"user_id": [f"user-{number:03d}" for number in drawn.user_ids]})
    programs = pd.DataFrame(
        {
            "program_id": [f"program-{number:03d}" for number in drawn.item_ids],
            "title": drawn.item_labels,
        }
    )
    interactions = pd.DataFrame(
        {
            "user_id": users["user_id"].to_numpy()[drawn.interactions.row],
            "program_id": programs["program_id"].to_numpy()[drawn.interactions.col],
            "watched_at": pd.to_datetime(drawn.timestamps, unit="s"),
        }
    )
    return users, programs, interactions


def train(folder: Path) -> None:
    users, programs, interactions = make_frames()
    print(f"{len(users)} users, {len(programs)} programs, {len(interactions)} interactions")

    # The last fifth in time is what the model will be asked to foresee.
    interactions = interactions.sort_values("watched_at")
    n_train = int(0.8 * len(interactions))
    past, future = interactions.iloc[:n_train], interactions.iloc[n_train:]

    dataset = Dataset()
    dataset.fit(users["user_id"], programs["program_id"])
    past_matrix, _ = dataset.build_interactions(
        zip(past["user_id"], past["program_id"], strict=True)
    )
    future_matrix, _ = dataset.build_interactions(
        zip(future["user_id"], future["program_id"], strict=True)
    )

    model = LightFM(no_components=10, loss="warp", random_state=0)
    model.fit(past_matrix, epochs=20, num_threads=4)
    print(f"Precision@3: {precision_at_k(model, future_matrix, past_matrix, k=3).mean():.3f}")
    print(f"AUC: {auc_score(model, future_matrix, past_matrix).mean():.3f}")

    joblib.dump(model, folder / "model.joblib")
    joblib.dump(dataset, folder / "dataset.joblib")
    programs.to_csv(folder / "programs.csv", index=False)
    past.to_csv(folder / "watched.csv", index=False)


def recommend(folder: Path) -> None:
    model = joblib.load(folder / "model.joblib")
    dataset = joblib.load(folder / "dataset.joblib")
    titles = pd.read_csv(folder / "programs.csv", index_col="program_id")["title"]
    watched = pd.read_csv(folder / "watched.csv").groupby("user_id")["program_id"].agg(list)

    # The model speaks of rows and columns, the dataset knows whose they are.
    user_numbers, _, program_numbers, _ = dataset.mapping()
    program_ids = np.array(list(program_numbers))
    for user_id in ("user-004", "user-117", "user-312"):
        scores = model.predict(user_numbers[user_id], np.arange(len(program_ids)))
        known = watched.get(user_id, [])
        scores[[program_numbers[program_id] for program_id in known]] = -np.inf
        top = program_ids[np.argsort(-scores)[:3]]
        print(f"{user_id} watched {len(known)} programs, such as {', '.join(titles[known[:2]])}")
        for place, program_id in enumerate(top, start=1):
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
