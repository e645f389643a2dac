"""Weights of interactions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import random_interactions

from lightfm_clone import LightFM
from lightfm_clone.data import activity_weights

LIKES = random_interactions(0, (30, 20), 150)


@pytest.mark.parametrize("power", [0, 0.5, 1, -1.0])
def test_active_users_count_less(power):
    weights = activity_weights(LIKES, power)
    expected = np.bincount(LIKES.row)[LIKES.row] ** -float(power)
    np.testing.assert_allclose(weights.data, expected / expected.mean(), rtol=1e-5)
    np.testing.assert_array_equal(weights.row, LIKES.row)
    np.testing.assert_array_equal(weights.col, LIKES.col)


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_array, sp.lil_array])
def test_a_fit_takes_them_with_any_matrix(make):
    likes = make(LIKES)
    LightFM().fit(likes, sample_weight=activity_weights(likes))


@pytest.mark.parametrize("power", [-5000.0, 5000.0])
def test_no_power_makes_weights_that_are_no_numbers(power):
    weights = activity_weights(LIKES, power)
    assert np.isfinite(weights.data).all()
    assert weights.data.mean() == pytest.approx(1)


def test_of_nothing_there_are_no_weights():
    assert activity_weights(sp.csr_matrix((3, 4))).nnz == 0
    for bad in (np.nan, np.inf, "much"):
        with pytest.raises(ValueError, match="power"):
            activity_weights(LIKES, bad)
