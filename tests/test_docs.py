"""The examples of README.md and docs/ run, and show what the text says of them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def blocks_of(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


PAGES = {
    path.stem: path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if blocks_of(path)
}


def numbers_in(output: str) -> list[float]:
    """Those that begin a line."""
    return [float(number) for number in re.findall(r"^(\d+\.\d+)", output, re.MULTILINE)]


def check_choosing_a_loss(output: str) -> None:
    (held_out, *_) = numbers_in(output)
    assert held_out > 0.32 and "of the difference to recommender" in output


def check_explain(output: str) -> None:
    lines = output.splitlines()
    assert lines[-2].endswith("  = score") and lines[-1].startswith("genres: ")
    assert any(re.search(r" 3 × genre:\w+$", line) for line in lines)


def check_frames(output: str) -> None:
    assert "[['Alien' 'Blow Out' 'Tron']" in output


def check_losses(output: str) -> None:
    (seen,) = numbers_in(output)
    assert seen > 0.5


def check_neighbours(output: str) -> None:
    *ndcgs, weight = numbers_in(output)
    assert len(ndcgs) == 3 and min(ndcgs) > 0.3 and weight > 0
    assert "as those who are known: True" in output
    assert output.rstrip().endswith("  = score") and re.search(
        r" item \d+ → item \d+$", output, re.M
    )


def check_persistence(output: str) -> None:
    assert sorted(os.listdir()) == ["films.dataset", "films.lightfm"]


def check_scale(output: str) -> None:
    """The model survives a death, and a restart, bit for bit, and is as good as one machine's."""
    one, two = map(float, re.findall(r"^ndcg@10 +(0\.\d+)", output, re.MULTILINE))
    # Of four seeds two workers are 0.8 % below, with a standard deviation of 1.3 %.
    assert one > 0.28 and two > 0.95 * one
    assert "the same model: True" in output and "as if nothing had happened: True" in output
    assert "'part-00001-of-00002.parquet'" in output


def check_search(output: str) -> None:
    numbers = numbers_in(output)
    assert len(numbers) == 3 and min(numbers) > 0.1


def check_serving(output: str) -> None:
    """Of 600 films the index misses nothing."""
    lists = re.findall(r"\[[^]]*\]", output)
    assert lists[0].count("(") == 10 and len(set(lists)) == 1


def check_splits(output: str) -> None:
    assert output.count("means over") == 1
    of_new_films, *others = numbers_in(output)
    assert of_new_films > 0.7 and len(others) == 3 and min(others) > 0.1


def check_training(output: str) -> None:
    (n_epochs,) = re.findall(r"^best of (\d+) epochs: \{'epoch': (\d+),", output, re.MULTILINE)
    assert int(n_epochs[0]) == int(n_epochs[1]) + 3 < 100
    (errors,) = re.findall(r"around 3\.0\d; RMSE ([\d.]+) instead of ([\d.]+)$", output, re.M)
    assert float(errors[0]) < 0.5 * float(errors[1])


CHECKS = {
    name.removeprefix("check_").replace("_", "-"): check
    for name, check in globals().items()
    if "check_" in name
}


def test_checks_belong_to_pages():
    assert set(CHECKS) < set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_examples(page, tmp_path, monkeypatch, capsys):
    """In their order, in one namespace and an empty folder; skipped where an extra is missing."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in blocks_of(PAGES[page]):
        for module in re.findall(r"^(?:from|import) (\w+)", block, re.MULTILINE):
            pytest.importorskip(module)
        exec(compile(block, str(PAGES[page]), "exec"), namespace)
    output = capsys.readouterr().out
    assert output
    if page in CHECKS:
        CHECKS[page](output)


@pytest.mark.slow
def test_start_by_commands(tmp_path):
    """Those of the first page, as they stand, in an empty folder."""
    for module in ("click", "rich", "narwhals"):
        pytest.importorskip(module)
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ lightfm-clone (.*)", page.replace("\\\n", ""), re.MULTILINE)
    outputs = []
    for command in commands:
        run = [sys.executable, "-m", "lightfm_clone", *shlex.split(command)]
        ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, f"{command}\n{ended.stderr}"
        outputs.append(ended.stdout)
    head, _, popular, difference, *_ = outputs[
        commands.index("compare my.rec --against popular")
    ].splitlines()
    found = difference.split()[1 + head.split().index("ndcg@10")]
    assert "popular" in popular and found.startswith("-") and found.endswith("*"), found
    known, of_two_clicks = (list_ for list_ in outputs if list_.count("\n") == 6)
    assert "07497659" in known and "history" in of_two_clicks
    assert (tmp_path / "lists.csv").stat().st_size > 100_000


def test_start_from_a_spreadsheet(tmp_path, monkeypatch):
    """The lines for semicolons, other letters and dates make a table that can be trained on."""
    for module in ("pandas", "pyarrow", "narwhals"):
        pytest.importorskip(module)
    from lightfm_clone import Recommender

    monkeypatch.chdir(tmp_path)
    rows = [f"00{n % 4};Käse {n % 9};{1 + n}.12.2024 10:30;2,5" for n in range(20)]
    Path("orders.csv").write_text("\n".join(["Kunde;Buch;Datum;Menge", *rows]), encoding="cp1252")
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    exec(re.search(r"```py\n(.*?)```", page, re.DOTALL)[1], {})
    shop = Recommender().fit(
        "orders.parquet",
        user="Kunde",
        item="Buch",
        timestamp="Datum",
        weight="Menge",
        verbose=False,
    )
    assert shop.report_.n_rows == shop.report_.n_events == 20
    assert str(shop.report_.period[0]).startswith("2024-12-01")
    assert "Käse 3" in shop.recommend(["003"], k=9, exclude=None)["item"].to_list()
