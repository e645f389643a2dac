"""What the tests of the command line share: a shop in a folder, commands run in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lightfm_clone.__main__ import main
from lightfm_clone.datasets import synthetic_shop

for _needed in ("click", "rich", "tomli_w", "narwhals", "pyarrow"):
    pytest.importorskip(_needed)

SHOP = synthetic_shop(300, 60, 4000, random_state=0)
NAMES = ["--user", "visitorid", "--item", "itemid", "--timestamp", "timestamp"]
KINDS = ["--event", "event"]
for _weight in ("view=1", "addtocart=4", "transaction=10"):
    KINDS += ["--event-weight", _weight]
RULES = ["--column", "tags=split:|", "--column", "price=bins:5", "--column", "title=none"]
SMALL = ["--no-components", "8", "--epochs", "3"]


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def trained(run: Any, folder: Path, *more: str, name: str = "shop.rec") -> Path:
    """A model of the whole shop in a folder, with a part kept apart."""
    model = folder / name
    sides = ["--users", str(folder / "visitors.csv"), "--items", str(folder / "products.csv")]
    done = run(
        *("train", folder / "events.csv", *NAMES, *KINDS, *sides, *RULES, *SMALL),
        *("--test-share", "0.2", "-o", model, *more),
    )
    assert done.code == 0, done.err
    return model


def runner(capfd: Any) -> Any:
    """A function that runs a command and returns its exit code and what it wrote."""

    def run(*arguments: Any) -> Done:
        capfd.readouterr()
        code = main(list(map(str, arguments)))
        return Done(code, *capfd.readouterr())

    return run
