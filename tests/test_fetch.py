"""The fetchers of the two public sets, never over the network."""

from __future__ import annotations

import email.message
import io
import shutil
import urllib.error
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from catalogues import csr, same

from lightfm_clone.datasets import _fetch, fetch_movielens, fetch_stackexchange


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(url, *args, **kwargs):
        raise AssertionError(f"a test asked for {url}")

    monkeypatch.setattr(_fetch.urllib.request, "urlopen", refuse)


# fetch_movielens ----------------------------------------------------------------------------------


@pytest.fixture
def movielens_home(data_dir, tmp_path):
    (tmp_path / "movielens100k").mkdir()
    shutil.copy(data_dir / "movielens.zip", tmp_path / "movielens100k" / "movielens.zip")
    return tmp_path


@pytest.fixture
def tiny_movielens(tmp_path):
    """A home with an archive of the same layout, for what does not need the real data."""
    home = tmp_path / "home"
    (home / "movielens100k").mkdir(parents=True)
    genres = ["unknown", "Drama"]
    items = ["1|Amélie (2001)|01-Jan-2001||http://x|0|1", "2|Toy: Story|01-Jan-1995||http://y|1|0"]
    with zipfile.ZipFile(home / "movielens100k" / "movielens.zip", "w") as archive:
        archive.writestr("ml-100k/u.genre", "".join(f"{g}|{i}\n" for i, g in enumerate(genres)))
        archive.writestr("ml-100k/u.item", "\n".join(items).encode("latin-1"))
        archive.writestr("ml-100k/ua.base", "1\t1\t5\t880000000\n2\t2\t3\t880000001\n")
        archive.writestr("ml-100k/ua.test", "3\t1\t4\t880000002\n")
    return home


def test_fetch_movielens_is_the_published_ua_split(movielens_home, ml_100k):
    data = fetch_movielens(data_home=movielens_home, download_if_missing=False)

    assert sorted(data) == [
        "item_feature_labels",
        "item_features",
        "item_labels",
        "test",
        "train",
    ]
    for part in ("train", "test"):
        matrix = data[part]
        assert sp.issparse(matrix) and matrix.format == "coo"
        assert matrix.shape == (943, 1682)
        assert matrix.dtype == np.int32 and matrix.row.dtype == np.int32
        np.testing.assert_array_equal(matrix.row, ml_100k[f"ua_{part}_user"])
        np.testing.assert_array_equal(matrix.col, ml_100k[f"ua_{part}_item"])
        np.testing.assert_array_equal(matrix.data, ml_100k[f"ua_{part}_rating"])
    assert data["item_labels"] is data["item_feature_labels"]
    plain = np.array([title.isascii() for title in ml_100k["item_title"]])
    np.testing.assert_array_equal(
        data["item_labels"][plain], np.char.strip(ml_100k["item_title"][plain])
    )
    assert same(data["item_features"], sp.identity(1682, format="csr"))


def test_fetch_movielens_genres(movielens_home, ml_100k):
    genres = csr(ml_100k, "item_genre")
    labels = [f"genre:{name}" for name in ml_100k["item_genre_names"]]

    alone = fetch_movielens(movielens_home, indicator_features=False, genre_features=True)
    assert alone["item_features"].format == "csr"
    assert alone["item_features"].dtype == np.float32
    assert same(alone["item_features"], genres)
    assert list(alone["item_feature_labels"]) == labels
    assert len(alone["item_labels"]) == 1682

    both = fetch_movielens(movielens_home, genre_features=True)
    assert both["item_features"].format == "csr"
    assert same(both["item_features"], sp.hstack([sp.identity(1682), genres]).tocsr())
    np.testing.assert_array_equal(
        both["item_feature_labels"], np.concatenate([both["item_labels"], labels])
    )


def test_fetch_movielens_min_rating(movielens_home, ml_100k):
    data = fetch_movielens(movielens_home, min_rating=5.0)
    assert data["train"].shape == data["test"].shape == (943, 1682)
    for part in ("train", "test"):
        assert set(data[part].data) == {5}
        assert data[part].nnz == np.sum(ml_100k[f"ua_{part}_rating"] == 5)


def test_fetch_movielens_reads_latin_1_titles_whole(tiny_movielens):
    data = fetch_movielens(str(tiny_movielens))
    assert list(data["item_labels"]) == ["Amélie (2001)", "Toy: Story"]
    assert data["train"].shape == (3, 2)


def test_fetch_movielens_default_home(tiny_movielens, monkeypatch):
    (tiny_movielens / "lightfm_data").mkdir()
    (tiny_movielens / "movielens100k").rename(tiny_movielens / "lightfm_data" / "movielens100k")
    monkeypatch.setenv("HOME", str(tiny_movielens))
    monkeypatch.setenv("USERPROFILE", str(tiny_movielens))
    assert fetch_movielens(download_if_missing=False)["test"].nnz == 1


def test_fetch_movielens_without_any_features(tmp_path):
    with pytest.raises(ValueError, match="indicator_features and genre_features are both False"):
        fetch_movielens(tmp_path, indicator_features=False, genre_features=False)


def test_fetch_movielens_missing_and_not_allowed(tmp_path):
    with pytest.raises(OSError, match=r"movielens\.zip is missing.*download_if_missing"):
        fetch_movielens(tmp_path, download_if_missing=False)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["not a zip", "cut", "flipped", "empty"])
def test_broken_archive_is_removed(tiny_movielens, damage):
    path = tiny_movielens / "movielens100k" / "movielens.zip"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        place = content.index(b"880000000")
        content[place : place + 3] = b"\0\0\0"
    damaged = {"not a zip": b"<html>", "cut": content[:99], "flipped": content, "empty": b""}
    path.write_bytes(damaged[damage])
    with pytest.raises(ValueError, match=r"movielens\.zip was broken .* removed"):
        fetch_movielens(tiny_movielens)
    assert not path.exists()


def test_archive_with_other_content_is_kept(tiny_movielens):
    path = tiny_movielens / "movielens100k" / "movielens.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "photos")
    with pytest.raises(ValueError, match="does not hold MovieLens 100K.*u.item"):
        fetch_movielens(tiny_movielens)
    assert path.exists()


# Downloads ----------------------------------------------------------------------------------------


def response(content, length=None):
    headers = email.message.Message()
    if length is not None:
        headers["Content-Length"] = str(length)
    body = io.BytesIO(content)
    body.headers = headers
    return body


def test_download_when_missing(tiny_movielens, tmp_path, monkeypatch):
    content = (tiny_movielens / "movielens100k" / "movielens.zip").read_bytes()
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return response(content, len(content))

    monkeypatch.setattr(_fetch.urllib.request, "urlopen", urlopen)
    home = tmp_path / "new" / "home"
    for _ in range(2):
        assert fetch_movielens(home)["train"].nnz == 2
    assert asked == [
        "https://github.com/maciejkula/lightfm_datasets/releases/download/v0.1.0/movielens.zip"
    ]
    assert [path.name for path in (home / "movielens100k").iterdir()] == ["movielens.zip"]


@pytest.mark.parametrize(
    "answer",
    [
        urllib.error.URLError("no route"),
        TimeoutError("too slow"),
        _fetch.http.client.IncompleteRead(b"", 5),
        b"only the first half",
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_failed_download_leaves_nothing_behind(tmp_path, monkeypatch, answer):
    def urlopen(url, timeout):
        if isinstance(answer, bytes):
            return response(answer, 2 * len(answer))
        raise answer

    monkeypatch.setattr(_fetch.urllib.request, "urlopen", urlopen)
    with pytest.raises(OSError, match=r"cannot download https://.*stackoverflow\.npz to .*\.npz"):
        fetch_stackexchange("stackoverflow", data_home=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# fetch_stackexchange ------------------------------------------------------------------------------


def write_stackexchange(home, dataset="crossvalidated", **changed):
    # User 0 answers questions 0..3, user 1 answers 4 and 5, user 2 only question 0, twice.
    arrays = {
        "interactions_row": np.array([0, 0, 0, 0, 1, 1, 2, 2]),
        "interactions_col": np.array([0, 1, 2, 3, 4, 5, 0, 0]),
        "interactions_data": np.array([10, 20, 30, 90, 15, 95, 12, 13], dtype=np.int32),
        "interactions_shape": np.array([3, 6]),
        "features_row": np.array([0, 1, 5, 5]),
        "features_col": np.array([0, 1, 0, 1]),
        "features_data": np.ones(4),
        "features_shape": np.array([6, 2]),
        "labels": np.array(["regression", "bayesian"]),
    } | changed
    path = home / "stackexchange" / dataset / "data.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def pairs(matrix):
    return sorted(zip(matrix.row.tolist(), matrix.col.tolist(), matrix.data.tolist(), strict=True))


def test_fetch_stackexchange_splits_by_time(tmp_path):
    write_stackexchange(tmp_path)
    data = fetch_stackexchange(
        "crossvalidated", 0.3, min_training_interactions=0, data_home=tmp_path
    )
    assert sorted(data) == ["item_feature_labels", "item_features", "test", "train"]
    # Time stamps 10 15 20 25 (12 + 13) 30 90 95, of which 0.7 are before 31.
    assert pairs(data["train"]) == [(0, 0, 1), (0, 1, 1), (0, 2, 1), (1, 4, 1), (2, 0, 1)]
    assert pairs(data["test"]) == [(0, 3, 1), (1, 5, 1)]
    for part in ("train", "test"):
        assert data[part].format == "coo" and data[part].shape == (3, 6)
        assert data[part].dtype == np.int32 and data[part].row.dtype == np.int32
    assert same(data["item_features"], sp.identity(6, format="csr"))
    assert len(set(data["item_feature_labels"])) == 6


def test_fetch_stackexchange_keeps_active_users_only(tmp_path):
    write_stackexchange(tmp_path)
    data = fetch_stackexchange("crossvalidated", 0.3, data_home=tmp_path)
    assert pairs(data["train"]) == [(0, 0, 1), (0, 1, 1), (0, 2, 1)]
    assert pairs(data["test"]) == [(0, 3, 1)]
    assert data["train"].shape == data["test"].shape == (1, 6)


def test_fetch_stackexchange_summed_time_stamps_do_not_overflow(tmp_path):
    times = np.array([10, 20, 30, 90, 15, 95, 2_000_000_000, 2_000_000_000], dtype=np.int32)
    write_stackexchange(tmp_path, interactions_data=times)
    data = fetch_stackexchange("crossvalidated", 0.1, 0, data_home=tmp_path)
    assert pairs(data["test"]) == [(2, 0, 1)]


def test_fetch_stackexchange_features(tmp_path):
    write_stackexchange(tmp_path, "stackoverflow")
    tags = np.array([[1, 0], [0, 1], [0, 0], [0, 0], [0, 0], [1, 1]])
    alone = fetch_stackexchange(
        "stackoverflow", data_home=tmp_path, indicator_features=False, tag_features=True
    )
    np.testing.assert_array_equal(alone["item_features"].toarray(), tags)
    assert list(alone["item_feature_labels"]) == ["regression", "bayesian"]
    both = fetch_stackexchange("stackoverflow", data_home=tmp_path, tag_features=True)
    assert both["item_features"].format == "csr" and both["item_features"].dtype == np.float32
    np.testing.assert_array_equal(both["item_features"].toarray(), np.hstack([np.eye(6), tags]))
    assert list(both["item_feature_labels"][-2:]) == ["regression", "bayesian"]
    assert len(both["item_feature_labels"]) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "superuser"}, "dataset must be one of crossvalidated, stackoverflow"),
        ({"indicator_features": False}, "indicator_features and tag_features are both False"),
        ({"test_set_fraction": 1.5}, "test_set_fraction must be from 0 to 1, got 1.5"),
        ({"test_set_fraction": float("nan")}, "test_set_fraction"),
    ],
)
def test_fetch_stackexchange_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        fetch_stackexchange(**{"dataset": "crossvalidated", "data_home": tmp_path} | arguments)


def test_fetch_stackexchange_missing_and_not_allowed(tmp_path):
    with pytest.raises(OSError, match=r"data\.npz is missing"):
        fetch_stackexchange("crossvalidated", data_home=tmp_path, download_if_missing=False)


def test_fetch_stackexchange_broken_archive(tmp_path):
    path = write_stackexchange(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="was broken"):
        fetch_stackexchange("crossvalidated", data_home=tmp_path)
    assert not path.exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": None},
        {"labels": np.array(["a", "b"], dtype=object)},
        {"interactions_col": np.arange(8)},
        {f"interactions_{part}": np.empty(0, dtype=int) for part in ("row", "col", "data")},
    ],
    ids=["missing", "pickled", "out of range", "no interactions"],
)
def test_fetch_stackexchange_other_content(tmp_path, changed):
    path = write_stackexchange(tmp_path, **changed)
    with pytest.raises(ValueError, match=r"data\.npz is not a Stack Exchange data set"):
        fetch_stackexchange("crossvalidated", data_home=tmp_path)
    assert path.exists()
