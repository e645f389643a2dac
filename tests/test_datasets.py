"""Loaders, fetchers (never over the network) and the synthetic catalogue."""

from __future__ import annotations

import email.message
import io
import shutil
import urllib.error
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import svds

from lightfm_clone.datasets import (
    _fetch,
    fetch_movielens,
    fetch_stackexchange,
    load_ratings,
    synthetic,
    synthetic_catalogue,
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(url, *args, **kwargs):
        raise AssertionError(f"a test asked for {url}")

    monkeypatch.setattr(_fetch.urllib.request, "urlopen", refuse)


def csr(arrays, name):
    parts = (arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sp.csr_matrix(tuple(parts), shape=tuple(arrays[f"{name}_shape"]))


def same(left, right):
    return left.shape == right.shape and (left != right).nnz == 0


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


# load_ratings -------------------------------------------------------------------------------------


def check_shapes(catalogue):
    """What holds for every catalogue, loaded or synthetic."""
    n_users, n_items = catalogue.interactions.shape
    matrix = catalogue.interactions
    assert matrix.format == "coo" and matrix.dtype == np.float32
    assert matrix.row.dtype == matrix.col.dtype == np.int32
    if catalogue.timestamps is not None:
        assert catalogue.timestamps.dtype == np.int64
        assert catalogue.timestamps.shape == (matrix.nnz,)
    assert len(catalogue.user_ids) == n_users
    assert len(catalogue.item_ids) == len(catalogue.item_labels) == n_items
    for side, n_rows in (("user", n_users), ("item", n_items)):
        tags = getattr(catalogue, f"{side}_tags")
        tag_labels = getattr(catalogue, f"{side}_tag_labels")
        features = getattr(catalogue, f"{side}_features")
        labels = getattr(catalogue, f"{side}_feature_labels")
        assert tags.shape == (n_rows, len(tag_labels))
        assert features.shape == (n_rows, n_rows + len(tag_labels)) == (n_rows, len(labels))
        for matrix in (tags, features):
            assert matrix.format == "csr" and matrix.dtype == np.float32
            assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
            assert np.all(matrix.data == 1)
        assert same(features[:, :n_rows], sp.identity(n_rows, format="csr"))
        assert same(features[:, n_rows:], tags)
        assert all(isinstance(label, str) for label in labels)


@pytest.fixture
def unpacked(data_dir, tmp_path):
    with zipfile.ZipFile(data_dir / "movielens.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_load_movielens_100k_from_zip_folder_or_file(data_dir, unpacked, ml_100k):
    sources = (
        data_dir / "movielens.zip",
        unpacked,
        str(unpacked / "ml-100k"),
        unpacked / "ml-100k" / "u.data",
    )
    for source in sources:
        catalogue = load_ratings(source)
        check_shapes(catalogue)
        assert catalogue.interactions.shape == (943, 1682)
        np.testing.assert_array_equal(catalogue.interactions.row, ml_100k["all_user"])
        np.testing.assert_array_equal(catalogue.interactions.col, ml_100k["all_item"])
        np.testing.assert_array_equal(catalogue.interactions.data, ml_100k["all_rating"])
        np.testing.assert_array_equal(catalogue.timestamps, ml_100k["all_timestamp"])
        assert same(catalogue.item_tags, csr(ml_100k, "item_genre"))
        assert catalogue.item_labels[0] == "Toy Story (1995)"
        assert catalogue.item_tag_labels[1] == "genre:Action"
        assert repr(catalogue) == (
            "Catalogue(943 users, 1,682 items, 100,000 interactions, 0 user tags, 19 item tags)"
        )


def test_load_ua_base_where_there_is_no_u_data(unpacked, ml_100k):
    (unpacked / "ml-100k" / "u.data").unlink()
    catalogue = load_ratings(unpacked)
    assert catalogue.interactions.shape == (943, 1682)
    np.testing.assert_array_equal(catalogue.interactions.data, ml_100k["ua_train_rating"])


def test_load_u_data_alone(unpacked):
    (unpacked / "ml-100k" / "u.item").unlink()
    catalogue = load_ratings(unpacked / "ml-100k" / "u.data")
    check_shapes(catalogue)
    assert catalogue.item_tags.shape == (1682, 0)
    assert list(catalogue.item_labels[:2]) == ["1", "2"]


def test_load_movielens_1m_layout(tmp_path, ml_1m):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    genres = csr(ml_1m, "item_genre")
    names = np.array(ml_1m["item_genre_names"])
    (folder / "movies.dat").write_bytes(
        "".join(
            f"{number}::{title}::{'|'.join(names[genres[row].indices])}\n"
            for row, (number, title) in enumerate(
                zip(ml_1m["item_movie_id"], ml_1m["item_title"], strict=True)
            )
        ).encode("latin-1")
    )
    user, item, rating = (ml_1m[f"all_{name}"][::10] for name in ("user", "item", "rating"))
    movie = ml_1m["item_movie_id"][item]
    columns = (user + 1, movie, rating)
    (folder / "ratings.dat").write_text(
        "".join(
            f"{user}::{item}::{rating}::{978300000 + line}\n"
            for line, (user, item, rating) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            )
        )
    )
    catalogue = load_ratings(tmp_path)
    check_shapes(catalogue)
    users, rows = np.unique(user, return_inverse=True)
    assert catalogue.interactions.shape == (len(users), 3883)
    np.testing.assert_array_equal(catalogue.user_ids, users + 1)
    np.testing.assert_array_equal(catalogue.interactions.row, rows)
    np.testing.assert_array_equal(catalogue.interactions.col, item)
    np.testing.assert_array_equal(catalogue.interactions.data, rating)
    np.testing.assert_array_equal(catalogue.timestamps, 978300000 + np.arange(len(rating)))
    np.testing.assert_array_equal(catalogue.item_ids, ml_1m["item_movie_id"])
    np.testing.assert_array_equal(catalogue.item_labels, np.char.strip(ml_1m["item_title"]))
    np.testing.assert_array_equal(catalogue.item_tag_labels, np.char.add("genre:", names))
    assert same(catalogue.item_tags, genres)

    (folder / "movies.dat").unlink()
    bare = load_ratings(folder / "ratings.dat")
    check_shapes(bare)
    assert bare.interactions.shape == (len(users), len(np.unique(movie)))
    np.testing.assert_array_equal(bare.item_ids[bare.interactions.col], movie)


MOVIES_CSV = """movieId,title,genres
10,"American President, The (1995)",Comedy|Drama
3,Amélie (2001),Comedy
7,Untitled,(no genres listed)
"""
RATINGS_CSV = """userId,movieId,rating,timestamp
5,7,3.5,1112486027
2,10,0.5,1112484676
2,99,4.0,1112484819
"""


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_load_movielens_csv_layout(tmp_path, packed):
    if packed:
        source = tmp_path / "ml-latest-small.ZIP"
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("ml-latest-small/README.txt", "")
            archive.writestr("ml-latest-small/ratings.csv", RATINGS_CSV.replace("\n", "\r\n"))
            archive.writestr("ml-latest-small/movies.csv", MOVIES_CSV.replace("\n", "\r\n"))
    else:
        source = tmp_path
        (source / "ratings.csv").write_text(RATINGS_CSV, encoding="utf-8")
        (source / "movies.csv").write_text(MOVIES_CSV, encoding="utf-8")
    catalogue = load_ratings(source)
    check_shapes(catalogue)
    # Items in the order of movies.csv, then what is rated without being listed there.
    assert list(catalogue.item_ids) == [10, 3, 7, 99]
    assert list(catalogue.item_labels) == [
        "American President, The (1995)",
        "Amélie (2001)",
        "Untitled",
        "99",
    ]
    assert list(catalogue.item_tag_labels) == ["genre:Comedy", "genre:Drama"]
    assert catalogue.item_tags.toarray().tolist() == [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert list(catalogue.user_ids) == [2, 5]
    assert catalogue.interactions.row.tolist() == [1, 0, 0]
    assert catalogue.interactions.col.tolist() == [2, 0, 3]
    assert catalogue.interactions.data.tolist() == [3.5, 0.5, 4.0]
    assert catalogue.timestamps.tolist() == [1112486027, 1112484676, 1112484819]


@pytest.mark.parametrize(
    ("text", "user_ids", "item_ids", "ratings", "timestamps"),
    [
        ("user_id,item_id\n4,2\n3,2\n", [3, 4], [2], [1, 1], None),
        ("\ufeffUSER\tItem\tScore\na\tx\t1\nb\ty\t-2.5\n", ["a", "b"], ["x", "y"], [1, -2.5], None),
        (
            ',Timestamp,"Movie ID",user id,note\n0,1.5e9,7,u1,"a, b"\n\n1,1500000001,7,2,\n',
            ["2", "u1"],
            [7],
            [1, 1],
            [1500000000, 1500000001],
        ),
        ("user::item::rating\n-1::2::3\n", [-1], [2], [3], None),
        ("user;item;rating\n1;2;3\n1;2;3\n", [1], [2], [3, 3], None),
        ('"user","item"\n"O\'Hara, M.","7#1"', ["O'Hara, M."], ["7#1"], [1], None),
    ],
)
def test_load_one_file_with_a_header(tmp_path, text, user_ids, item_ids, ratings, timestamps):
    path = tmp_path / "log.txt"
    path.write_text(text, encoding="utf-8")
    catalogue = load_ratings(path)
    check_shapes(catalogue)
    assert catalogue.user_ids.tolist() == user_ids
    # Ids become strings together: one that is no integer makes all of them strings.
    assert [str(item) for item in catalogue.item_ids] == [str(item) for item in item_ids]
    assert catalogue.interactions.data.tolist() == ratings
    found = catalogue.timestamps
    assert (None if found is None else found.tolist()) == timestamps


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**62), 2**62),
            st.integers(0, 5),
            st.sampled_from([0.5, 1.0, 4.5]),
            st.integers(0, 2**40),
        ),
        min_size=1,
        max_size=20,
    ),
    order=st.permutations(["userId", "movieId", "rating", "timestamp"]),
    delimiter=st.sampled_from(["\t", ",", ";", "|", "::"]),
)
def test_load_ratings_round_trip(tmp_path_factory, rows, order, delimiter):
    path = tmp_path_factory.mktemp("ratings") / "some.csv"
    records = [
        dict(zip(["userId", "movieId", "rating", "timestamp"], row, strict=True)) for row in rows
    ]
    lines = [order] + [[str(record[name]) for name in order] for record in records]
    path.write_text("\n".join(delimiter.join(line) for line in lines))
    catalogue = load_ratings(path)
    matrix = catalogue.interactions
    back = zip(
        catalogue.user_ids[matrix.row].tolist(),
        catalogue.item_ids[matrix.col].tolist(),
        matrix.data.tolist(),
        catalogue.timestamps.tolist(),
        strict=True,
    )
    assert list(back) == rows


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "user,item,rating\n1,2,3\n\n1,2\n", r"a\.csv, line 4: the rating must be a fin"),
        ("a.csv", "user,item,rating\n1,2,3\n1,2,x\n", r"a\.csv, line 3: .*got 'x' in '1,2,x'"),
        ("a.csv", "user,item,rating\n1,2,nan\n", r"a\.csv, line 2: .*finite number, got 'nan'"),
        ("a.csv", "user,item,time\n1,2,2015-01-01\n", r"line 2: the timestamp must be"),
        ("a.csv", "user,item,rating\na,2,3\n,2,3\n", r"line 3: the user must be an id, got ''"),
        ("a.csv", "user,rating\n1,2\n", r"a\.csv, line 1: no column of items; .*itemid"),
        ("a.csv", "1,2,3,4\n", r"line 1: no column of users; expected a header.*got '1,2,3,4'"),
        ("a.csv", "user,item\n", r"a\.csv holds no ratings"),
        ("a.csv", "", "line 1: no column of users"),
        ("u.data", "1\t2\t3\t4\n1\tx\t3\t4\n", r"u\.data, line 2: the item must be an integer id"),
        ("u.data", "1\t2\t3\t4\n1.5\t2\t3\t4\n", r"line 2: the user must be an integer id"),
        ("ratings.dat", "1::2::3::4\n1::2\n", r"ratings\.dat, line 2: the rating must be"),
    ],
)
def test_malformed_ratings(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_ratings(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("movies.dat", "1::A::Drama\n2::B\n", r"movies\.dat, line 2: expected .* got '2::B'"),
        ("movies.dat", "1::A::Drama\nx::B::War\n", r"movies\.dat, line 2: expected an integer id"),
        ("movies.dat", "1::A::Drama\n\n1::B::War\n", r"line 3: item 1 is listed twice"),
        ("movies.dat", "\n", r"movies\.dat holds no items"),
        ("movies.csv", "movieId,title,genres\n1,A\n", r"movies\.csv, line 2: expected"),
        ("u.item", "1|A|||x|1|0\n2|B|||x|1\n", r"u\.item, line 2: expected 2 genre flags .*'1'"),
        ("u.item", "1|A|||x|1|7\n", r"u\.item, line 1: expected 2 genre flags"),
    ],
)
def test_malformed_items(tmp_path, name, text, message):
    ratings = {
        "movies.dat": ("ratings.dat", "1::1::5::9\n"),
        "movies.csv": ("ratings.csv", "userId,movieId\n1,1\n"),
        "u.item": ("u.data", "1\t1\t5\t9\n"),
    }
    (tmp_path / name).write_text(text)
    (tmp_path / "u.genre").write_text("Drama|0\nWar|1\n")
    (tmp_path / ratings[name][0]).write_text(ratings[name][1])
    with pytest.raises(ValueError, match=message):
        load_ratings(tmp_path)


def test_title_with_separators_and_control_characters(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1::5::9\n")
    title = "Star Wars:: Episode\x85 IV: A | B"
    (tmp_path / "movies.dat").write_bytes(f"1::{title}::Sci-Fi\r\n".encode("latin-1"))
    catalogue = load_ratings(tmp_path)
    assert catalogue.item_labels.tolist() == [title]
    assert catalogue.item_tag_labels.tolist() == ["genre:Sci-Fi"]


def test_items_without_genre_names(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t9\n")
    (tmp_path / "u.item").write_text("1|A|||x|1|0\n")
    with pytest.raises(ValueError, match=r"u\.genre is missing"):
        load_ratings(tmp_path)


def test_load_ratings_finds_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        load_ratings(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"none of the ratings files u\.data, .*holds notes\.txt"):
        load_ratings(tmp_path)


def test_load_ratings_never_removes_a_broken_zip(tmp_path):
    path = tmp_path / "mine.zip"
    path.write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(ValueError, match=r"mine\.zip is not a zip file, or is broken"):
        load_ratings(path)
    assert path.exists()


def test_load_ratings_of_a_binary_file(tmp_path):
    path = tmp_path / "ml.npz"
    np.savez(path, rating=np.arange(300))
    with pytest.raises(ValueError, match=r"ml\.npz is not a text file"):
        load_ratings(path)


# synthetic_catalogue ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalogue():
    return synthetic_catalogue()


def test_synthetic_default(catalogue):
    check_shapes(catalogue)
    matrix = catalogue.interactions
    assert matrix.shape == (1000, 600) and matrix.nnz == 40_000
    assert np.all(matrix.data == 1)
    assert len(np.unique(matrix.row * 600 + matrix.col)) == 40_000
    assert np.all(np.diff(catalogue.timestamps) >= 0)
    years = catalogue.timestamps.astype("datetime64[s]").astype("datetime64[Y]")
    assert {str(year) for year in years} == {"2020", "2021", "2022", "2023"}


def test_synthetic_metadata_has_names(catalogue):
    assert len(set(catalogue.item_labels)) == 600
    kinds = np.array([label.split(":")[0] for label in catalogue.item_tag_labels])
    per_kind = {
        kind: np.asarray(catalogue.item_tags[:, kinds == kind].sum(axis=1)).ravel()
        for kind in set(kinds)
    }
    assert {kind: (n.min(), n.max()) for kind, n in per_kind.items()} == {
        "genre": (1, 2),
        "theme": (1, 2),
        "decade": (1, 1),
    }
    decades = catalogue.item_tags[:, kinds == "decade"].indices
    labels = catalogue.item_tag_labels[kinds == "decade"]
    for title, decade in zip(catalogue.item_labels, labels[decades], strict=True):
        assert decade == f"decade:{title[-5:-2]}0s"
    assert [label.split(":")[0] for label in catalogue.user_tag_labels] == (
        ["age"] * 6 + ["region"] * 8
    )
    assert np.all(np.asarray(catalogue.user_tags.sum(axis=1)) == 2)


def test_synthetic_titles_stay_distinct_when_combinations_run_out(monkeypatch):
    # With four adjectives about a third more films in the first genre than title combinations.
    monkeypatch.setattr(synthetic, "ADJECTIVES", synthetic.ADJECTIVES[:4])
    titles = synthetic_catalogue(1, 20_000, 0).item_labels
    assert len(np.unique(titles)) == 20_000
    assert any(", Part 2 (" in title for title in titles)


@pytest.mark.parametrize(
    "seed",
    [
        lambda: 7,
        lambda: np.random.RandomState(7),
        lambda: np.random.default_rng(7),
    ],
    ids=["int", "RandomState", "Generator"],
)
def test_synthetic_is_deterministic_by_seed(seed):
    one, two = (synthetic_catalogue(50, 60, 700, random_state=seed()) for _ in range(2))
    for part in ("row", "col"):
        np.testing.assert_array_equal(
            getattr(one.interactions, part), getattr(two.interactions, part)
        )
    np.testing.assert_array_equal(one.timestamps, two.timestamps)
    np.testing.assert_array_equal(one.item_labels, two.item_labels)
    assert same(one.item_features, two.item_features)
    assert same(one.user_features, two.user_features)
    other = synthetic_catalogue(50, 60, 700, random_state=8)
    assert same(one.interactions.tocsr(), other.interactions.tocsr()) is False


@settings(max_examples=60, deadline=None)
@example(n_users=21, n_items=5, fraction=1.0, seed=1)
@example(n_users=1, n_items=1, fraction=1.0, seed=0)
@given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 90),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_synthetic_meets_any_size_exactly(n_users, n_items, fraction, seed):
    most = (n_items + 1) // 2
    n_interactions = round(fraction * n_users * most)
    catalogue = synthetic_catalogue(n_users, n_items, n_interactions, seed)
    check_shapes(catalogue)
    matrix = catalogue.interactions
    assert matrix.shape == (n_users, n_items)
    assert matrix.nnz == n_interactions == matrix.tocsr().nnz
    assert matrix.tocsr().data.max(initial=1) == 1
    assert np.bincount(matrix.row, minlength=n_users).max() <= most


def test_synthetic_in_several_blocks(monkeypatch):
    monkeypatch.setattr(synthetic, "BLOCK_INTERACTIONS", 100)
    matrix = synthetic_catalogue(200, 100, 4000).interactions
    assert matrix.nnz == matrix.tocsr().nnz == 4000
    assert matrix.tocsr().data.max() == 1
    assert np.bincount(matrix.row, minlength=200).min() > 0


def test_synthetic_popularity_and_activity_are_power_laws():
    matrix = synthetic_catalogue(4000, 2000, 200_000, random_state=3).interactions
    for index, n in ((matrix.row, 4000), (matrix.col, 2000)):
        counts = np.sort(np.bincount(index, minlength=n))[::-1]
        # A straight line of counts over ranks where both are logarithmic, and a heavy head.
        rank = np.arange(n // 50, n // 2)
        x, y = np.log(rank), np.log(counts[rank])
        slope = np.polyfit(x, y, 1)[0]
        assert -1.3 < slope < -0.5
        assert np.corrcoef(x, y)[0, 1] < -0.98
        assert 0.3 < counts[: n // 10].sum() / counts.sum() < 0.65
        assert counts[-1] >= 1


def precision_at_10(scores, known, wanted):
    scores = np.where(known.toarray() > 0, -np.inf, scores)
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    hits = np.take_along_axis(wanted.toarray(), best, axis=1).sum(axis=1)
    return hits.mean() / 10


def log_lift(profile, everybody, weight):
    """Log of how much more often than everybody a person meets each tag, smoothed."""
    everybody = everybody / everybody.sum()
    profile = profile + weight * everybody
    return np.log(profile / profile.sum(axis=1, keepdims=True) / np.maximum(everybody, 1e-12))


def test_synthetic_tastes_can_be_learnt_from_tags_and_from_interactions(catalogue):
    matrix = catalogue.interactions
    late = np.arange(matrix.nnz) % 5 == 0
    train, test = (
        sp.csr_matrix((matrix.data[part], (matrix.row[part], matrix.col[part])), matrix.shape)
        for part in (~late, late)
    )
    popularity = np.asarray(train.sum(axis=0)).ravel()
    base = np.tile(np.log(popularity + 1), (1000, 1))
    by_popularity = precision_at_10(base, train, test)

    is_genre = np.char.startswith(catalogue.item_tag_labels, "genre:")
    genres = catalogue.item_tags[:, is_genre].toarray()
    lift = log_lift(train @ genres, popularity @ genres, 2.0)
    by_genres = precision_at_10(base + lift @ genres.T, train, test)

    scale = np.sqrt(popularity + 1)
    left, sizes, right = svds(train @ sp.diags(1 / scale), k=12, v0=np.ones(600))
    factors = (left * sizes) @ right * scale
    by_factors = precision_at_10(factors, train, test)

    assert by_genres > 1.5 * by_popularity
    assert by_factors > 1.5 * by_popularity


def test_synthetic_user_tags_help_with_new_users():
    catalogue = synthetic_catalogue(4000, 600, 120_000)
    seen = catalogue.interactions.tocsr()
    old, new = np.arange(4000) < 3000, np.arange(4000) >= 3000
    popularity = np.asarray(seen[old].sum(axis=0)).ravel()
    base = np.tile(np.log(popularity + 1), (1000, 1))
    by_tag = (catalogue.user_tags[old].T @ seen[old]).toarray()
    lift = catalogue.user_tags[new] @ log_lift(by_tag, popularity, 50.0)
    nothing = sp.csr_matrix((1000, 600))
    by_popularity = precision_at_10(base, nothing, seen[new])
    assert precision_at_10(base + lift, nothing, seen[new]) > 1.1 * by_popularity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_users": 0}, "n_users must be an integer of at least 1, got 0"),
        ({"n_items": 2.5}, "n_items must be an integer of at least 1, got 2.5"),
        ({"n_interactions": -1}, "n_interactions must be an integer of at least 0, got -1"),
        ({"n_interactions": "many"}, "n_interactions must be an integer"),
        ({"n_users": 3, "n_items": 5, "n_interactions": 10}, "at most 9, half of all pairs"),
        ({"random_state": "x"}, "random_state must be"),
    ],
)
def test_synthetic_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic_catalogue(**arguments)
