"""How the copies of shared rows are merged: against a twin of the rule, and what always holds."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import SCHEDULES
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone._model import parameters
from lightfm_clone._model.losses import SCHEDULES as STATES
from lightfm_clone.dask import merging
from lightfm_clone.dask.merging import Merging, advice, of_a_shard, slices

RATE, EPSILON = 0.05, 1e-6
# Settings of each law, and what the twin calls it.
CASES = {
    "adagrad": ({"loss": "bpr"}, False),
    "adagrad, WARP": ({"loss": "warp"}, False),
    "adagrad, softmax": ({"loss": "softmax", "learning_schedule": "adagrad"}, False),
    "sgd": ({"loss": "bpr", "learning_schedule": "sgd"}, False),
    "adadelta": ({"loss": "warp", "learning_schedule": "adadelta"}, False),
    "adagrad, features": ({"loss": "bpr"}, True),
    "adagrad, WARP, features": ({"loss": "warp-kos"}, True),
    "adadelta, features": ({"loss": "mse", "learning_schedule": "adadelta"}, True),
    "directions": ({"loss": "softmax", "learning_schedule": "sgd"}, False),
    "directions, features": ({"loss": "softmax", "learning_schedule": "sgd"}, True),
}


def merging_of(case: str) -> Merging:
    parameters_of, shared_features = CASES[case]
    model = LightFM(4, learning_rate=RATE, epsilon=EPSILON, **parameters_of)
    return Merging(parameters.settings(model), shared_features=shared_features)


def n_states(case: str) -> int:
    return len(STATES[CASES[case][0].get("learning_schedule", "adagrad")])


def sheets_of(case, n_shards=3, n_rows=40, d=4, seed=0, share=0.6):
    """Sheets before a slice, and those of each shard after it, which leaves out some rows."""
    rng = np.random.default_rng(seed)

    def sheet(scale, low=0.0):
        return (low + scale * rng.random((n_rows, d + 1))).astype(np.float32)

    before = [sheet(2.0, -1.0), *(sheet(5.0, 1.0) for _ in range(n_states(case)))]
    shards = []
    for _ in range(n_shards):
        skipped = rng.random(n_rows) > share
        after = [before[0] + 0.3 * sheet(2.0, -1.0)]
        after += [state + 3.0 * sheet(1.0) for state in before[1:]]
        for new, old in zip(after, before, strict=True):
            new[skipped] = old[skipped]
        shards.append(after)
    return before, shards


def merged_by(rule, before, shards, done=0.0):
    sums = rule.contribution(before, shards[0], done)
    for after in shards[1:]:
        sums = [a + b for a, b in zip(sums, rule.contribution(before, after, done), strict=True)]
    return rule.merge(before, sums, done)


# ---- the twin -----------------------------------------------------------------------------------


def curvature(case):
    """What exponents, or variances, are multiplied by."""
    parameters_of, shared_features = CASES[case]
    if not case.startswith("adagrad"):
        return 4 if shared_features else 1
    if "warp" in parameters_of["loss"]:
        return 1 if shared_features else 1 / 4
    return 16 if shared_features else 1


def f(a):
    return 1.0 if a == 0 else a / (1 - np.exp(-a))


def twin(case, before, shards, done):
    """The rule in float64, number by number, from the sheets of all shards at once."""
    before = [sheet.astype(np.float64) for sheet in before]
    merged = [sheet.copy() for sheet in before]
    n_rows, width = before[0].shape
    for row in range(n_rows):
        moved = [
            [sheet[row].astype(np.float64) for sheet in after]
            for after in shards
            if any((a[row] != b[row]).any() for a, b in zip(after, before, strict=True))
        ]
        if not moved:
            continue
        old = [sheet[row] for sheet in before]
        if case.startswith("adagrad"):
            new = twin_of_adagrad(old, moved, curvature(case))
        elif case == "directions":
            new = twin_of_directions(old, moved, RATE * (1 - done))
        else:
            new = twin_of_spread(case, old, moved, RATE * (1 - done))
        for sheet, numbers in zip(merged, new, strict=True):
            sheet[row] = numbers
    return merged


def twin_of_adagrad(old, moved, c):
    values, gradients = old
    new_values, new_gradients = values.copy(), gradients.copy()
    for at in range(len(values)):
        total = gradients[at] + sum(g[at] - gradients[at] for _, g in moved)
        weighted = sum(
            np.sqrt(g[at])
            * f(c * RATE * (g[at] - gradients[at]) / np.sqrt(g[at]))
            * (x[at] - values[at])
            for x, g in moved
        )
        exponent = c * RATE * (total - gradients[at]) / np.sqrt(total)
        new_values[at] += weighted / (np.sqrt(total) * f(exponent))
        new_gradients[at] = total
    return [new_values, new_gradients]


def twin_of_directions(old, moved, rate):
    x, bias = old[0][:-1], old[0][-1]
    d, length = len(x), np.linalg.norm(x)
    growths = [np.linalg.norm(y[:-1]) ** 4 - length**4 for (y,) in moved]
    fourth = length**4 + np.mean(growths)
    turned, drift = np.zeros(d), 0.0
    for (y,), growth in zip(moved, growths, strict=True):
        of_shard, told = np.linalg.norm(y[:-1]), max(growth, 0) / (2 * rate)
        turned += (y[:-1] / of_shard - x / length) * of_shard**2 * f(told / (of_shard**2 * d))
        drift += (y[-1] - bias) * f(0.01 * told)
    told = max(sum(growths), 0) / (2 * rate)
    direction = x / length + turned / (np.sqrt(fourth) * f(told / (np.sqrt(fourth) * d)))
    embedding = fourth**0.25 * direction / np.linalg.norm(direction)
    return [np.append(embedding, bias + drift / f(0.01 * told))]


def twin_of_spread(case, old, moved, rate):
    k = len(moved)
    states = [old[i] + sum(after[i] - old[i] for after in moved) / k for i in range(1, len(old))]
    new = old[0].copy()
    for part in (slice(0, -1), slice(-1, None)):
        if case.startswith("adadelta"):
            local = np.mean(np.sqrt((states[1][part] + EPSILON) / (states[0][part] + EPSILON)))
        else:
            is_bias_of_softmax = part.stop is None and case.startswith("directions")
            local = rate * (0.01 if is_bias_of_softmax else 1)
        steps = np.array([after[0][part] - old[0][part] for after in moved])
        variance = np.mean(steps.var(axis=0, ddof=1)) if k > 1 else 0.0
        left = max(1 - 2 * curvature(case) * variance / local, 2.0**-24)
        a = -np.log(left) / 2
        new[part] += steps.sum(axis=0) * f(a) / f(k * a)
    return [new, *states]


@pytest.mark.parametrize("done", [0.0, 0.7])
@pytest.mark.parametrize("n_shards", [2, 8])
@pytest.mark.parametrize("case", CASES)
def test_the_rule_is_that_of_the_twin(case, n_shards, done):
    before, shards = sheets_of(case, n_shards)
    merged = merged_by(merging_of(case), before, shards, done)
    for ours, theirs in zip(merged, twin(case, before, shards, done), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


# ---- what always holds ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_rows_that_nobody_touches_stay_bit_for_bit_and_add_nothing(case):
    rule = merging_of(case)
    before, (after,) = sheets_of(case, 1)
    before[0][:5, 1] = after[0][:5, 1] = -0.0
    for new, old in zip(after, before, strict=True):
        new[:10] = old[:10]
        new[10:] += np.float32(0.5)
    added = rule.contribution(before, after)
    assert all(each.dtype == np.float32 and not each[:10].any() for each in added)
    assert all(each[10:].any() for each in added)
    kept = [sheet.copy() for sheet in before]
    merged = rule.merge(before, added)
    for new, old, copy in zip(merged, before, kept, strict=True):
        assert new[:10].tobytes() == old[:10].tobytes()
        assert (new[10:] != old[10:]).any(axis=1).all()
        assert old.tobytes() == copy.tobytes()


@pytest.mark.parametrize("case", CASES)
def test_a_row_that_one_shard_alone_has_touched_is_that_shards(case):
    before, shards = sheets_of(case, 3, share=1.0)
    for shard, after in enumerate(shards):
        for new, old in zip(after, before, strict=True):
            others = np.arange(len(old)) % 3 != shard
            new[others] = old[others]
    merged = merged_by(merging_of(case), before, shards)
    for at, sheet in enumerate(merged):
        for shard in range(3):
            of_shard = shards[shard][at][shard::3]
            np.testing.assert_allclose(sheet[shard::3], of_shard, rtol=1e-5, atol=1e-6)


@of_hypothesis(max_examples=30, deadline=None)
@given(
    case=st.sampled_from(list(CASES)),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    seed=st.integers(0, 9),
    block=st.sampled_from([1, 50, 1 << 16]),
)
def test_ranges_of_rows_are_merged_as_the_whole(case, cuts, seed, block):
    rule = merging_of(case)
    before, shards = sheets_of(case, seed=seed)
    whole = merged_by(rule, before, shards)
    bounds = [0, *sorted(cuts), 40]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "_BLOCK", block)
        for begin, end in zip(bounds, bounds[1:], strict=False):
            rows = slice(begin, end)
            part = merged_by(
                rule,
                [sheet[rows] for sheet in before],
                [[sheet[rows] for sheet in after] for after in shards],
            )
            for new, of_whole in zip(part, whole, strict=True):
                assert new.tobytes() == of_whole[rows].tobytes()


def test_adagrad_adds_short_steps_and_averages_arrived_shards():
    rule = merging_of("adagrad")
    for growth, expected in ((1e-4, 3.0), (1e8, 1.0)):
        before = [np.zeros((1, 5), np.float32), np.full((1, 5), 4.0, np.float32)]
        after = [before[0] + 1, before[1] + np.float32(growth)]
        values, gradients = merged_by(rule, before, [after] * 3)
        np.testing.assert_allclose(values, expected, rtol=1e-3)
        np.testing.assert_allclose(gradients, 4 + 3 * growth, rtol=1e-6)


def test_shards_that_disagree_are_averaged():
    """Where nothing is remembered, the variance between shards says how much they have learned."""
    rule = merging_of("sgd")
    before = [np.zeros((1, 5), np.float32)]
    alike = [[np.full((1, 5), 0.1, np.float32)]] * 4
    np.testing.assert_allclose(merged_by(rule, before, alike)[0], 0.4, rtol=1e-6)
    apart = [[np.full((1, 5), value, np.float32)] for value in (-20.0, -10.0, 10.0, 24.0)]
    np.testing.assert_allclose(merged_by(rule, before, apart)[0], 1.0, rtol=1e-3)


def test_a_parameter_whose_state_is_infinite_rests():
    """It may have rested before the slice, or have come to rest in it."""
    rule = merging_of("adagrad")
    before, shards = sheets_of("adagrad", 2, share=1.0)
    for after in shards:
        before[1][0] = after[1][0] = np.inf
        after[0][0] = before[0][0]
    shards[0][1][1, 2] = np.inf
    values, gradients = merged_by(rule, before, shards)
    assert (values[0] == before[0][0]).all() and (gradients[0] == np.inf).all()
    assert gradients[1, 2] == np.inf and values[1, 2] == before[0][1, 2]
    assert np.isfinite(values).all() and np.isfinite(np.delete(gradients, [0, 1], axis=0)).all()


def test_a_state_of_adadelta_that_is_infinite_stays_so():
    before, shards = sheets_of("adadelta", 2, share=1.0)
    for after in shards:
        before[1][0, 2] = after[1][0, 2] = np.inf
        after[0][0, 2] = before[0][0, 2]
    shards[0][1][1, 2] = np.inf
    merged = merged_by(merging_of("adadelta"), before, shards)
    assert (merged[1][:2, 2] == np.inf).all() and merged[0][0, 2] == before[0][0, 2]
    assert np.isfinite(merged[0]).all() and np.isfinite(merged[2]).all()


@pytest.mark.parametrize("case", CASES)
def test_what_has_diverged_is_not_hidden(case):
    before, shards = sheets_of(case, 2, share=1.0)
    shards[1][0][3, 1] = np.nan
    values = merged_by(merging_of(case), before, shards)[0]
    assert not np.isfinite(values[3]).all()
    assert np.isfinite(np.delete(values, 3, axis=0)).all()


@pytest.mark.parametrize("case", ["directions", "directions, features"])
def test_embeddings_of_length_zero(case):
    """A row may have no direction before the slice, or none after it, and still have a bias."""
    rule = merging_of(case)
    before = [np.array([[0, 0, 1], [0, 0, 1], [3, 4, 1]], np.float32)]
    shards = [
        [np.array([[0, 0, 2], [3, 4, 1], [0, 0, 1]], np.float32)],
        [np.array([[0, 0, 2], [3, 4, 1], [0, 0, 1]], np.float32)],
    ]
    (merged,) = merged_by(rule, before, shards)
    assert np.isfinite(merged).all()
    assert merged[0, :2].tolist() == [0, 0] and merged[0, 2] > 2
    assert merged[1, 0] / merged[1, 1] == pytest.approx(0.75)


@pytest.mark.parametrize("case", CASES)
def test_no_rows(case):
    rule = merging_of(case)
    before, (after,) = sheets_of(case, 1, n_rows=0)
    merged = rule.merge(before, rule.contribution(before, after))
    assert [sheet.shape for sheet in merged] == [(0, 5)] * len(before)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_learning_rate_of_zero(schedule):
    """Nothing moves but what L2 shrinks."""
    settings = parameters.settings(LightFM(4, learning_rate=0.0, learning_schedule=schedule))
    before, _ = sheets_of({"sgd": "sgd", "adadelta": "adadelta"}.get(schedule, "adagrad"), 1)
    after = [before[0] * np.float32(0.99), *before[1:]]
    merged = merged_by(Merging(settings), before, [after, after])
    np.testing.assert_allclose(merged[0], 0.98 * before[0], rtol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", ["warp", "softmax"])
@pytest.mark.parametrize("n_shards", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_slices_are_the_epoch(loss, schedule, n_shards, epoch):
    settings = parameters.settings(LightFM(loss=loss, learning_schedule=schedule))
    for shared_features in (False, True):
        found = slices(settings, epoch, n_shards, shared_features=shared_features)
        begins, ends = zip(*found, strict=True)
        assert begins == (0, *ends[:-1]) and ends[-1] == 1
        assert all(begin < end for begin, end in found)
        assert (len(found) == 1) == (n_shards == 1) or epoch > 0


def test_slices_are_as_long_as_the_shards_are_few():
    settings = parameters.settings(LightFM(loss="warp"))
    n = [len(slices(settings, 0, n_shards)) for n_shards in (1, 2, 4, 64)]
    assert n == sorted(n) and n[1] == n[-1] / 2
    assert len(slices(settings, 0, 4, shared_features=True)) > n[2]


def test_slices_are_equal_in_the_roots_of_what_accumulators_have_seen():
    settings = parameters.settings(LightFM(loss="bpr"))
    first, later = (slices(settings, epoch, 64) for epoch in (0, 5))
    roots = np.sqrt([0, *(end for _, end in first)])
    np.testing.assert_allclose(np.diff(roots), 1 / len(first), atol=1e-12)
    roots = np.sqrt(5 + np.array([0, *(end for _, end in later)]))
    assert np.diff(roots).max() <= 1 / len(first) and np.ptp(np.diff(roots)) < 1e-12


def test_a_shard_shrinks_its_own_rows_for_all_shards():
    settings = parameters.settings(LightFM(user_alpha=1e-4, item_alpha=1e-3))
    own = of_a_shard(settings, 8)
    assert own == settings | {"user_alpha": pytest.approx(8e-4)}
    assert of_a_shard(settings, 8, shared_users=True) == settings
    assert settings["user_alpha"] == 1e-4


@pytest.mark.parametrize(
    "given, n_examples, expected",
    [
        ({"loss": "warp"}, 100, None),
        ({"loss": "softmax", "user_alpha": 1e-5}, 8_000, None),
        ({"loss": "softmax", "learning_schedule": "adagrad"}, 100, None),
        ({"loss": "softmax"}, 2_200, "here 2,200"),
        ({"loss": "bpr", "learning_schedule": "adadelta"}, 100, None),
    ],
)
def test_what_is_known_to_lose_is_said(given, n_examples, expected):
    settings = parameters.settings(LightFM(**given))
    found = advice(settings, [10_000, n_examples])
    assert (found is None) == (expected is None)
    assert expected is None or expected in found
    assert advice(settings, [n_examples]) is None
