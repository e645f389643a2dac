"""One convention for the arguments of everything that is not LightFM's own."""

from __future__ import annotations

import inspect

import pytest

from lightfm_clone import Dataset, LightFM, cross_validation, evaluation

# Their order of arguments is LightFM's, which code in the wild passes by position.
OF_LIGHTFM = ["fit", "fit_partial", "predict", "predict_rank", "_initialize"]
METRICS = [
    getattr(evaluation, name)
    for name in evaluation.__all__
    if inspect.isfunction(getattr(evaluation, name))
]
METHODS = [
    method
    for cls in (LightFM, Dataset)
    for name, method in inspect.getmembers(cls, inspect.isroutine)
    if not name.startswith("_") and name not in OF_LIGHTFM and hasattr(method, "__module__")
]
SPLITS = [
    getattr(cross_validation, name)
    for name in ("time_split", "leave_last_out", "k_fold", "cold_user_split", "cold_item_split")
]
EVERYTHING = [*METRICS, *METHODS, *SPLITS]


def names_of(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("function", EVERYTHING, ids=lambda f: f.__qualname__)
def test_users_come_before_items(function):
    names = names_of(function)
    for users, items in (
        ("user_features", "item_features"),
        ("user_id", "item_id"),
        ("user_ids", "item_ids"),
        ("n_user_features", "n_item_features"),
        ("users", "items"),
        ("user", "item"),
    ):
        if users in names and items in names:
            assert names.index(users) < names.index(items)


@pytest.mark.parametrize("function", EVERYTHING, ids=lambda f: f.__qualname__)
def test_words(function):
    """The same word for the same thing."""
    assert not {"train", "test", "weights", "n_jobs", "seed"} & set(names_of(function))


@pytest.mark.parametrize(
    "name",
    ["recommend", "similar_items", "similar_users", "explain", "fold_in_users", "fold_in_items"],
)
def test_what_is_no_data_is_passed_by_keyword(name):
    parameters = inspect.signature(getattr(LightFM, name)).parameters.values()
    by_position = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert len(by_position) <= 3  # self, what is asked about, and k or an item
    assert all("features" not in one and one != "num_threads" for one in by_position)
