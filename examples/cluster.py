"""Train on a cluster of Dask, lose a worker on the way, and compare with one machine.

Usage:
    python examples/cluster.py                   a made-up log, two workers on this machine
    python examples/cluster.py path/to/data      a MovieLens zip or folder, or a ratings file
    python examples/cluster.py --workers 4

The log is written as Parquet files, which the workers read. In the middle of the fit one of them is
killed; it is a process that this example has started. What comes of it is compared with a fit that
nobody disturbed, and with a `LightFM` of one process on the same interactions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import LightFM, datasets
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.evaluation import evaluate

try:
    import pandas as pd
    import psutil
    from distributed import Client, LocalCluster

    from lightfm_clone.dask import DaskLightFM
except ImportError as error:
    sys.exit(f'this example needs Dask ({error}): pip install "lightfm-clone[dask]"')

N_FILES = 8
MODEL: dict[str, Any] = {"loss": "warp", "no_components": 32, "random_state": 0}


def write_parquet(interactions: sp.coo_matrix, folder: Path) -> str:
    """A row for each interaction, in some files, as a log comes out of a warehouse."""
    folder.mkdir()
    table = pd.DataFrame({"user": interactions.row, "item": interactions.col})
    for number in range(N_FILES):
        table.iloc[number::N_FILES].to_parquet(folder / f"{number}.parquet")
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="MovieLens zip or folder, or a ratings file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.data is None:
        catalogue = datasets.synthetic_catalogue(3_000, 1_000, 150_000, random_state=0)
    else:
        try:
            catalogue = datasets.load_ratings(arguments.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    seen = catalogue.interactions.sign()  # who has rated a film, high or low, has seen it
    train, test = random_train_test_split(seen, random_state=0)
    print(f"{train.nnz:,} interactions to learn from, {test.nnz:,} held out")

    start = time.perf_counter()
    model = LightFM(**MODEL).fit(train, epochs=arguments.epochs)
    seconds = time.perf_counter() - start
    found = evaluate(model, test, train, "ndcg@10")
    print(f"\n{'':24}{'NDCG@10':>10}{'seconds':>10}")
    print(f"{'one process':24}{found['ndcg@10']:10.4f}{seconds:10.1f}")

    with (
        tempfile.TemporaryDirectory() as temporary,
        # The dashboard takes any port that is free.
        LocalCluster(arguments.workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        folder = Path(temporary)
        paths = write_parquet(train, folder / "train"), write_parquet(test, folder / "test")

        def pull_the_plug(model: DaskLightFM, record: dict[str, Any]) -> None:
            if record["epoch"] == arguments.epochs // 2:
                psutil.Process(cluster.workers[0].pid).kill()

        models = []
        for name, callbacks in (
            (f"{arguments.workers} workers", ()),
            ("one of them is killed", pull_the_plug),
        ):
            start = time.perf_counter()
            model = DaskLightFM(**MODEL, client=client)
            model.fit(paths[0], epochs=arguments.epochs, callbacks=callbacks)
            seconds = time.perf_counter() - start
            found = model.evaluate(paths[1], metrics="ndcg@10")
            print(f"{name:24}{found['ndcg@10']:10.4f}{seconds:10.1f}")
            models.append(model)

        alike = all(
            np.array_equal(getattr(models[0], name), getattr(models[1], name))
            for name in ("item_embeddings", "item_biases")
        )
        print(f"\nthe same model, bit for bit: {'yes' if alike else 'no'}")
        models[1].recommend_to(folder / "lists", k=10)
        lists = pd.read_parquet(folder / "lists")
        print(f"{len(lists):,} places in lists of {lists['user'].nunique():,} people")
        print(f"\nUser {lists['user'][0]}:")
        for item in lists["item"][:5]:
            print(f"  {catalogue.item_labels[item]}")


if __name__ == "__main__":
    main()
