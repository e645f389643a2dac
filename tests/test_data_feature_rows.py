"""Rows of features for users and items that a Dataset does not know."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset

NAMES = ["age:1", "age:2", "town:A", "town:B"]


def shop(n_users=20, **flags):
    dataset = Dataset(**flags)
    users, items = [f"u{n}" for n in range(n_users)], [f"i{n}" for n in range(10)]
    dataset.fit(users, items, user_features=NAMES, item_features=["red", "big"])
    return dataset


bags = st.lists(
    st.lists(st.sampled_from(NAMES), max_size=5)
    | st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0, 1, -2, 0.5]), max_size=4),
    max_size=5,
)


@given(bags=bags, normalize=st.booleans(), identity=st.booleans())
def test_law(bags, normalize, identity):
    dataset = shop(user_identity_features=identity)
    features = dataset.mapping()[1]
    expected = np.zeros((len(bags), len(features)))
    for row, bag in zip(expected, bags, strict=True):
        for name in bag:
            row[features[name]] += bag[name] if isinstance(bag, dict) else 1
        if normalize:
            row /= np.abs(row).sum() or 1
    rows = dataset.user_feature_rows(iter(bags), normalize=normalize)
    assert isinstance(rows, sp.csr_matrix)
    assert rows.dtype == np.float32
    assert rows.has_sorted_indices
    np.testing.assert_allclose(rows.toarray(), expected, rtol=1e-6)
    # What `build_user_features` makes of one who is known, but for the identity.
    if not identity and bags:
        built = dataset.build_user_features([("u3", bags[0])], normalize=False)
        own = dataset.user_feature_rows(bags[:1], normalize=False)
        assert (built[3] != own).nnz == 0


def test_models_take_the_rows():
    dataset = shop()
    rng = np.random.default_rng(0)
    seen = sp.coo_matrix(rng.random((20, 10)) < 0.4)
    features = dataset.build_user_features(
        (f"u{n}", [NAMES[n % 2], NAMES[2 + n % 2]]) for n in range(20)
    )
    model = LightFM(random_state=0, loss="warp").fit(seen, user_features=features, epochs=5)
    rows = dataset.user_feature_rows([["age:1", "town:A"], {"age:2": 3}, []])
    items = np.arange(10)
    for row in range(3):
        scores = model.predict(row, items, user_features=rows)
        ids, _ = model.recommend(row, k=10, user_features=rows)
        assert ids.ravel().tolist() == np.argsort(-scores, kind="stable").tolist()
    # Of the last nothing is known: the items' biases decide.
    np.testing.assert_allclose(scores, model.item_biases, rtol=1e-6)


def test_models_take_the_rows_of_items():
    dataset = shop()
    seen = sp.coo_matrix(np.random.default_rng(0).random((20, 10)) < 0.4)
    features = dataset.build_item_features([("i1", ["red"]), ("i2", ["big"])])
    model = LightFM(random_state=0).fit(seen, item_features=features)
    rows = dataset.item_feature_rows([["red", "big"], ["red"]])
    assert rows.shape == (2, 12)
    assert np.isfinite(model.predict(3, [0, 1], item_features=rows)).all()


def test_unknown_names():
    dataset = shop()
    visitors = [["age:1", "town:Z", None], {"town:Z": 5.0, "age:2": 2.0}, ["town:Z"]]
    with pytest.raises(ValueError, match="user feature 'town:Z'.*pass unknown='skip'.*fit_partial"):
        dataset.user_feature_rows(visitors)
    rows = dataset.user_feature_rows(visitors, unknown="skip")
    assert rows.toarray()[:, 20:].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0] * 4]
    dataset.fit_partial(user_features=["town:Z"])
    assert dataset.user_feature_rows(visitors[1:]).nnz == 3
    with pytest.raises(ValueError, match="unknown must be 'error' or 'skip', got 'ignore'"):
        dataset.user_feature_rows(visitors, unknown="ignore")
    with pytest.raises(ValueError, match="must not hold missing values.*user feature, the first N"):
        dataset.user_feature_rows([[None]])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (["age:1", "town:A"], TypeError, r"at position 0 .*got 'age:1'; .*so pass \['age:1'\]"),
        ({"age:1": 1.0}, TypeError, r"go into a list: .*\[{name: weight, ...}\]"),
        ("age:1", TypeError, "of each user, got 'age:1'; a single one's go into a list"),
        (5, TypeError, "of each user, got 5"),
        ([5], TypeError, "features at position 0 must be a list of names or a dict of weights"),
        ([("u1", ["age:1"])], (TypeError, ValueError), "user feature 'u1'|without an id"),
        ([[["age:1"]]], TypeError, "a user feature in data is not hashable"),
        ([{"age:1": "2"}], TypeError, "a weight in data must be a number, got '2' of type str"),
        ([{"age:1": None}], TypeError, "a weight in data must be a number, got None"),
        ([{"age:1": float("nan")}], ValueError, "must be finite.*leave out what is missing"),
        ([{"age:1": 1e39}], ValueError, None),
        ([{"age:1": 10**400}], ValueError, "a weight in data is too large"),
    ],
)
def test_refused(data, error, message):
    with pytest.raises(error, match=message):
        shop().user_feature_rows(data, normalize=False, unknown="error")
    with pytest.raises(ValueError, match="knows no users and no items yet"):
        Dataset().user_feature_rows(data)


def test_no_pass_over_what_is_known():
    """A request may not take longer the more users there are."""

    class Mapping(dict):
        def __iter__(self):
            raise AssertionError("someone goes through all that is known")

        keys = values = items = __iter__

    dataset = shop()
    dataset._user_id_mapping = Mapping(dataset._user_id_mapping)
    dataset._user_feature_mapping = Mapping(dataset._user_feature_mapping)
    assert dataset.user_feature_rows([["age:1"], ["town:Z"]], unknown="skip").nnz == 1
    with pytest.raises(ValueError, match="user feature 'town:Z'"):
        dataset.user_feature_rows([["town:Z"]])
