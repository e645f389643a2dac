"""The demo and the examples, run as a newcomer runs them: as scripts, on small and on real data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FRAMES = ["pandas", "narwhals"]


@pytest.fixture
def run(tmp_path):
    """Run an example elsewhere than in the repository; `without` names modules to hide."""

    def run(name, *arguments, without=(), exit_code=0):
        hidden = tmp_path / "hidden"
        hidden.mkdir(exist_ok=True)
        for module in without:
            (hidden / f"{module}.py").write_text(f"raise ImportError('no {module} here')\n")
        path = os.pathsep.join(filter(None, [str(hidden), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)],
            cwd=tmp_path,
            # Whatever number of threads they ask for: on one, what they print is always the same.
            env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "OMP_THREAD_LIMIT": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == exit_code, done.stderr
        assert "Warning" not in done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def ml_1m_folder(ml_1m, tmp_path_factory):
    """MovieLens 1M in the files it comes in; time stamps, which the arrays lack, are 0."""
    folder = tmp_path_factory.mktemp("ml-1m")
    movies = zip(ml_1m["item_movie_id"], ml_1m["item_title"], genres(ml_1m), strict=True)
    text = "".join(f"{movie}::{title}::{'|'.join(names)}\n" for movie, title, names in movies)
    (folder / "movies.dat").write_text(text, encoding="latin-1")
    columns = ml_1m["all_user"] + 1, ml_1m["item_movie_id"][ml_1m["all_item"]], ml_1m["all_rating"]
    table = np.column_stack([*columns, np.zeros(len(columns[0]), dtype=int)])
    np.savetxt(folder / "ratings.dat", table, fmt="%d", delimiter="::")
    return folder


def genres(arrays):
    """Names of the genres of each item."""
    parts = (arrays[f"item_genre_{part}"] for part in ("data", "indices", "indptr"))
    matrix = sp.csr_matrix(tuple(parts), shape=tuple(arrays["item_genre_shape"]))
    return [
        arrays["item_genre_names"][row] for row in np.split(matrix.indices, matrix.indptr[1:-1])
    ]


def number(text, label):
    """The number that follows a label in an output."""
    (found,) = re.findall(rf"^ *{re.escape(label)} +([\d.]+)$", text, re.MULTILINE)
    return float(found)


# The demo -----------------------------------------------------------------------------------------


def check_demo(output):
    """The table is sane, the hybrid model wins, and there are lists. Returns the table."""
    rows = {}
    for name in ("random", "most popular", "hybrid WARP"):
        (values,) = re.findall(rf"^  {name} +([\d. ]+)$", output, re.MULTILINE)
        rows[name] = np.array(values.split(), dtype=float)
        assert rows[name].shape == (4,)
    assert (rows["hybrid WARP"] > rows["most popular"]).all()
    assert (rows["most popular"] > 1.2 * rows["random"]).all()
    assert rows["random"][2] == pytest.approx(0.5, abs=0.03)

    lists = output.split("Top 5")[1].split("\n  User ")[1:]
    assert len(lists) == 4
    for lines in map(str.splitlines, lists):
        assert re.search(r"liked \d+, such as +is recommended$", lines[1])
        recommended = [line[54:].strip(" *") for line in lines[2:7]]
        assert len(set(recommended)) == 5 and all(recommended)
    return rows


def test_demo_on_the_synthetic_catalogue(run):
    done = run("demo")
    rows = check_demo(done.stdout)
    assert rows["hybrid WARP"][0] > 1.5 * rows["most popular"][0]
    assert rows["hybrid WARP"][2] > 0.85
    assert "120,000 positives to learn from, 30,000 held out" in done.stdout
    assert "user features: 3,000 ids and 14 tags" in done.stdout
    assert re.search(r"trained 20 epochs in \d+\.\d+ seconds", done.stdout)
    assert "genre:" not in done.stdout


def test_demo_shows_progress_without_tqdm(run):
    done = run("demo", "--epochs", 2, without=["tqdm"])
    assert "Epoch 0\nEpoch 1\n  trained 2 epochs" in done.stdout
    assert not done.stderr


def test_demo_on_movielens_100k(run, data_dir):
    done = run("demo", data_dir / "movielens.zip")
    rows = check_demo(done.stdout)
    assert rows["hybrid WARP"][0] > 1.5 * rows["most popular"][0]
    assert rows["hybrid WARP"][2] > 0.92
    assert "943 users, 1,682 items, 100,000 interactions" in done.stdout
    assert "the 55,375 of 4 and higher are positives" in done.stdout


@pytest.mark.slow
def test_demo_on_movielens_1m(run, ml_1m_folder):
    done = run("demo", ml_1m_folder, "--epochs", 3)
    rows = check_demo(done.stdout)
    assert rows["hybrid WARP"][0] > 1.4 * rows["most popular"][0]
    assert rows["hybrid WARP"][2] > 0.9
    assert "6,040 users, 3,883 items, 1,000,209 interactions" in done.stdout
    assert "the 575,281 of 4 and higher are positives" in done.stdout


def test_demo_on_a_log_with_repeated_events(run, tmp_path):
    rng = np.random.default_rng(0)
    users, items = rng.integers(40, size=900), rng.integers(12, size=900)
    pairs = len(set(zip(users, items, strict=True)))
    lines = [f"u{user},i{item}" for user, item in zip(users, items, strict=True)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id", *lines]) + "\n")
    done = run("demo", tmp_path / "log.csv", "--epochs", 2)
    assert "40 users, 12 items, 900 interactions" in done.stdout
    assert "every interaction is a positive" in done.stdout
    n_train = int(0.8 * pairs)
    assert f"{n_train} positives to learn from, {pairs - n_train} held out" in done.stdout


def test_demo_explains_what_is_wrong_with_the_data(run, tmp_path):
    done = run("demo", tmp_path / "nothing", exit_code=2)
    assert "No such file or directory" in done.stderr and "nothing" in done.stderr
    (tmp_path / "low.csv").write_text("user,item,rating\n1,1,1\n1,2,3\n")
    done = run("demo", tmp_path / "low.csv", exit_code=2)
    assert "none of the ratings in" in done.stderr and "is 4 or higher" in done.stderr


# The examples -------------------------------------------------------------------------------------


def check_quickstart(output):
    assert 0.4 < number(output, "Precision@10: train") < 0.8
    assert 0.1 < number(output, "Precision@10: test") < 0.4
    assert 0.9 < number(output, "AUC: train") < 1
    assert 0.83 < number(output, "AUC: test") < 1
    lists = output.split("User ")[1:]
    assert [text.split()[0] for text in lists] == ["3", "25", "450"]
    for text in lists:
        known, recommended = text.split("  Recommended:\n")
        known = known.split("  Known positives:\n")[1].splitlines()
        assert len(known) == 3 and len(recommended.splitlines()) == 3
        assert not set(known) & set(recommended.splitlines())


def test_movielens_quickstart_on_synthetic_data(run):
    output = run("movielens_quickstart").stdout
    assert "943 users, 1682 films with 1745 features" in output
    check_quickstart(output)


def test_movielens_quickstart_on_movielens_100k(run, data_dir, tmp_path):
    (tmp_path / "home" / "movielens100k").mkdir(parents=True)
    shutil.copy(data_dir / "movielens.zip", tmp_path / "home" / "movielens100k")
    output = run("movielens_quickstart", tmp_path / "home").stdout
    assert "943 users, 1682 films with 1701 features" in output
    check_quickstart(output)
    assert number(output, "AUC: test") > 0.92
    assert "Contact (1997)" in output


def test_catalogue_is_used_again_in_a_fresh_process(run):
    for module in FRAMES:
        pytest.importorskip(module)
    output = run("catalogue").stdout
    trained, recommended = output.split("Recommended in a fresh process:\n")
    assert "300 programs, 30000 interactions" in trained
    rows = re.findall(r"^(recommender|popular) +([0-9.]+) +([0-9.]+)", trained, re.MULTILINE)
    metrics = {name: (float(precision), float(auc)) for name, precision, auc in rows}
    assert metrics["recommender"][0] > 0.28 > 0.25 > metrics["popular"][0]
    assert metrics["recommender"][1] > 0.8 > metrics["popular"][1]
    lists = re.split(r"^(?=user-\d)", recommended, flags=re.MULTILINE)[1:]
    assert len(lists) == 3
    for text in lists:
        programs = re.findall(r"^  [123]\. The .+ \((program-\d+)\)$", text, re.MULTILINE)
        assert len(set(programs)) == 3


def check_explicit_ratings(output):
    assert 0.4 < number(output, "Precision@10: train") < 0.8
    assert 0.15 < number(output, "Precision@10: test") < 0.4
    assert number(output, "nearest to the 5:") > 1.2 * number(output, "most popular:") > 0.2
    named, recommended = output.split("likes:\n")[1].split("Recommended to them")
    recommended = re.findall(r"^  [* ] (.+)$", recommended, re.MULTILINE)
    assert len(set(recommended)) == 5
    assert len(named.splitlines()) == 5
    assert not set(map(str.strip, named.splitlines())) & set(recommended)


def test_explicit_ratings_in_miniature(run):
    pytest.importorskip("pandas")
    output = run("explicit_ratings").stdout
    assert "40,000 of them 4 or higher" in output
    check_explicit_ratings(output)


def test_explicit_ratings_in_the_layout_of_movielens_20m(run, ml_100k, tmp_path):
    pd = pytest.importorskip("pandas")
    ratings = {"userId": ml_100k["all_user"] + 1, "movieId": ml_100k["all_item"] + 1}
    ratings |= {"rating": ml_100k["all_rating"] / 1, "timestamp": ml_100k["all_timestamp"]}
    pd.DataFrame(ratings).to_csv(tmp_path / "ratings.csv", index=False)
    movies = {"movieId": np.arange(1, 1683), "title": ml_100k["item_title"]}
    movies |= {"genres": ["|".join(names) for names in genres(ml_100k)]}
    pd.DataFrame(movies).to_csv(tmp_path / "movies.csv", index=False)

    of_folder = run("explicit_ratings", tmp_path).stdout
    assert "100,000 ratings, 55,375 of them 4 or higher" in of_folder
    check_explicit_ratings(of_folder)
    assert re.search(r"\(19\d\d\)$", of_folder)


@pytest.mark.slow
def test_explicit_ratings_on_movielens_1m(run, ml_1m_folder):
    pytest.importorskip("pandas")
    output = run("explicit_ratings", ml_1m_folder).stdout
    assert "1,000,209 ratings, 575,281 of them 4 or higher" in output
    check_explicit_ratings(output)


@pytest.mark.parametrize("name", ["catalogue", "explicit_ratings"])
def test_examples_with_frames_ask_for_pandas(run, name):
    done = run(name, without=["pandas"], exit_code=1)
    assert "this example needs pandas" in done.stderr
    assert "pip install pandas" in done.stderr
    assert "Traceback" not in done.stderr


def check_search(output, searches):
    values = [float(value) for value in re.findall(r"on the test set, .+: (0\.\d+)$", output, re.M)]
    assert len(values) == 1 + len(searches)
    assert min(values[1:], default=1) > 1.05 * values[0] > 0.2
    for name in {"scikit-learn", "optuna"} - set(searches):
        assert f'left out, needs {name}: pip install "lightfm-clone[search]"' in output


@pytest.mark.parametrize(
    "missing",
    [
        [],
        pytest.param(["sklearn"], marks=pytest.mark.slow),
        pytest.param(["optuna"], marks=pytest.mark.slow),
        ["sklearn", "optuna"],
    ],
)
def test_search(run, missing):
    searches = {"sklearn": "scikit-learn", "optuna": "optuna"}
    for module in missing:
        del searches[module]
    for module in searches:
        pytest.importorskip(module)
    output = run("search", without=missing).stdout
    check_search(output, searches.values())
    if "optuna" in searches:
        assert re.search(r"best of 15, [1-9]\d? of them given up early", output)


def check_vector_index(output):
    """Each row of the table is recall and time; exact search misses nothing."""
    rows = dict(re.findall(r"^(exact|query_ef=\d+) +([\d.]+) +[\d.]+$", output, re.MULTILINE))
    recall = [float(value) for value in rows.values()]
    assert list(rows) == ["exact", *(f"query_ef={n}" for n in (25, 50, 100, 200))]
    assert recall[0] == 1
    assert recall[3] > 0.95 and recall[4] > 0.98


def test_vector_index_on_synthetic_data(run):
    pytest.importorskip("voyager")
    output = run("vector_index", "--items", 3000).stdout
    assert "10,000 users, 3,000 items, 60,000 interactions" in output
    check_vector_index(output)


def test_vector_index_on_movielens_100k(run, data_dir):
    pytest.importorskip("voyager")
    output = run("vector_index", data_dir / "movielens.zip").stdout
    assert "943 users, 1,682 items, 100,000 interactions" in output
    check_vector_index(output)


def test_vector_index_asks_for_voyager(run):
    done = run("vector_index", without=["voyager"], exit_code=1)
    assert "this example needs voyager" in done.stderr
    assert 'pip install "lightfm-clone[index]"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_cluster(run):
    """What a worker's death leaves is the same model, about as good as one machine's.

    Of four seeds two workers are 0.8 % below, with a standard deviation of 1.3 %.
    """
    pytest.importorskip("distributed")
    output = run("cluster").stdout
    ndcgs = dict(re.findall(r"^([a-z0-9 ]+?) {2,}(0\.\d+) +\d", output, re.MULTILINE))
    one, two, disturbed = map(float, ndcgs.values())
    assert list(ndcgs) == ["one process", "2 workers", "one of them is killed"]
    assert one > 0.28 and two > 0.95 * one and disturbed == two
    assert "the same model, bit for bit: yes" in output
    assert "30,000 places in lists of 3,000 people" in output
