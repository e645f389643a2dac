"""Ratings files: the MovieLens layouts, and any file with a header."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from catalogues import check_shapes, csr, same
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone.datasets import load_ratings


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


@pytest.mark.parametrize(
    ("at", "value", "why"), [(8, 1, "is encrypted"), (10, 99, "method is not supported")]
)
def test_load_ratings_of_a_zip_that_is_not_unpacked(tmp_path, at, value, why):
    """Encrypted, or compressed by a method that Python does not have."""
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml/ratings.csv", "userId,movieId,rating\n1,2,3\n")
    data = bytearray(path.read_bytes())
    data[at - 2] = data[data.find(b"PK\1\2") + at] = value  # in both headers of the member
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"mine\.zip cannot be read: .*{why}.*unpack it"):
        load_ratings(path)


def test_load_ratings_of_a_binary_file(tmp_path):
    path = tmp_path / "ml.npz"
    np.savez(path, rating=np.arange(300))
    with pytest.raises(ValueError, match=r"ml\.npz is not a text file"):
        load_ratings(path)
