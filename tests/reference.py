"""Training in plain NumPy: slow, readable, and the yardstick the compiled kernels are held to.

Written from the description of the algorithms alone, in float64, one example and one feature at
a time. It consumes the same random stream in the same order as the kernels, so after the same
epochs with the same seeds every array must agree with theirs up to float32 rounding.

A *vector* is an embedding with the bias as its last component: of a feature (a row of
``Side.parameters``), of a user or of an item. With ``q`` and ``p`` the vectors of a user and an
item, the score is ``q[:-1] @ p[:-1] + q[-1] + p[-1]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, logsumexp

# Random numbers and example order


class Rng:
    """wyrand: 64 random bits a step, one stream per (seed, stream number)."""

    def __init__(self, seed: int, stream: int) -> None:
        self.state = (seed + (stream + 1) * 0x9E3779B97F4A7C15) % 2**64

    def next(self) -> int:
        self.state = (self.state + 0xA0761D6478BD642F) % 2**64
        product = self.state * (self.state ^ 0xE7037ED1A0B428DB)
        return (product >> 64) ^ (product % 2**64)

    def bounded(self, n: int) -> int:
        """An integer from 0 to n - 1."""
        return (self.next() * n) >> 64

    def bounded_and_rest(self, n: int) -> tuple[int, int]:
        """The same draw, and 32 random bits that it leaves."""
        product = self.next() * n
        return product >> 64, product % 2**64 >> 32


class AliasTable:
    """Items drawn in proportion to their counts, with one random number each.

    Every item has a column of the same width, and what it lacks there is another item's.
    """

    def __init__(self, counts: np.ndarray) -> None:
        n, total = len(counts), float(counts.sum())
        shares = [float(count) * n / total for count in counts]
        self.n, self.own, self.other = n, [0] * n, list(range(n))
        small = [item for item in range(n) if shares[item] < 1]
        large = [item for item in range(n) if shares[item] >= 1]
        while small and large:
            item, other = small.pop(), large.pop()
            self.own[item], self.other[item] = int(shares[item] * 2**32), other
            shares[other] -= 1 - shares[item]
            (small if shares[other] < 1 else large).append(other)

    def draw(self, rng: Rng) -> int:
        column, rest = rng.bounded_and_rest(self.n)
        return column if rest < self.own[column] else self.other[column]


def epoch_order(n_entries: int, seed: int) -> np.ndarray:
    """Shuffle the entries: deal them into buckets at random, then shuffle each bucket."""
    bits = 0
    while bits < 16 and n_entries >> bits > 16384:
        bits += 1
    buckets: list[list[int]] = [[] for _ in range(2**bits)]
    if bits == 0:
        buckets[0].extend(range(n_entries))
    else:
        for chunk, start in enumerate(range(0, n_entries, 65536)):
            rng = Rng(seed ^ 0x5851F42D4C957F2D, chunk)
            for entry in range(start, min(start + 65536, n_entries)):
                buckets[rng.next() >> (64 - bits)].append(entry)
    for number, bucket in enumerate(buckets):
        rng = Rng(seed ^ 0x14057B7EF767814F, number)
        for i in range(len(bucket) - 1, 0, -1):
            j = rng.bounded(i + 1)
            bucket[i], bucket[j] = bucket[j], bucket[i]
    return np.array([entry for bucket in buckets for entry in bucket], dtype=np.int64)


# The model's state


@dataclass
class Settings:
    """The constructor parameters of LightFM, taken as they stand, whatever the loss."""

    no_components: int = 10
    k: int = 5
    n: int = 10
    learning_schedule: str = "adagrad"
    loss: str = "logistic"
    learning_rate: float = 0.05
    rho: float = 0.95
    epsilon: float = 1e-6
    item_alpha: float = 0.0
    user_alpha: float = 0.0
    max_sampled: int = 10
    stored_negatives: float = 0.0
    temperature: float = 0.1
    n_negatives: int = 256
    negatives: str = "all"
    identity_dropout: float = 0.0


@dataclass
class Side:
    """Vectors and optimiser state of the item features, or of the user features.

    Three arrays of shape (n_features, no_components + 1). The parameters are raw: what the
    model sees while it trains is ``scale`` times them.
    """

    parameters: np.ndarray
    gradients: np.ndarray
    momentum: np.ndarray
    scale: float = field(default=1.0, init=False)

    def vector(self, row: Row) -> np.ndarray:
        """The vector of a user or an item, given its row of the feature matrix."""
        return self.scale * (row.values @ self.parameters[row.features])

    def settle(self) -> None:
        """Bring the scale back to one."""
        self.parameters /= self.scale
        self.scale = 1.0


@dataclass
class Sums:
    """What the examples of an epoch add up to."""

    loss: float = 0.0
    examples: int = 0  # those that were trained on, and those that found no violation
    violations: int = 0
    tries: int = 0
    cut: int = 0  # violations that weigh 10 because of the sample weight


@dataclass
class State:
    settings: Settings
    items: Side
    users: Side
    global_mean: float = 0.0  # part of every score of loss="mse"
    epochs: list[Sums] = field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray]:
        """The twelve public arrays under their public names; views, to be read or written."""
        views = {}
        for name, side in (("item", self.items), ("user", self.users)):
            views[f"{name}_embeddings"] = side.parameters[:, :-1]
            views[f"{name}_embedding_gradients"] = side.gradients[:, :-1]
            views[f"{name}_embedding_momentum"] = side.momentum[:, :-1]
            views[f"{name}_biases"] = side.parameters[:, -1]
            views[f"{name}_bias_gradients"] = side.gradients[:, -1]
            views[f"{name}_bias_momentum"] = side.momentum[:, -1]
        return views


def initial_state(
    settings: Settings,
    n_item_features: int,
    n_user_features: int,
    random_state: np.random.RandomState,
) -> State:
    """Draw the embeddings, items first, then users; nothing else is drawn."""
    d = settings.no_components
    accumulated = 1.0 if settings.learning_schedule == "adagrad" else 0.0

    def side(n_features: int) -> Side:
        parameters = np.zeros((n_features, d + 1))
        if settings.loss == "softmax":
            drawn = random_state.normal(0.0, 0.1, (n_features, d))
        else:
            drawn = (random_state.rand(n_features, d) - 0.5) / d
        parameters[:, :d] = drawn.astype(np.float32)
        return Side(parameters, np.full_like(parameters, accumulated), np.zeros_like(parameters))

    return State(settings, items=side(n_item_features), users=side(n_user_features))


# Scores and losses of single examples, as functions to be differentiated


def score(user: np.ndarray, item: np.ndarray) -> float:
    return float(user[:-1] @ item[:-1] + user[-1] + item[-1])


def squared_error(
    user: np.ndarray, item: np.ndarray, value: float, global_mean: float, weight: float = 1.0
) -> float:
    """weight / 2 * (score + global mean - value)^2"""
    return 0.5 * weight * (score(user, item) + global_mean - value) ** 2


def logistic_loss(user: np.ndarray, item: np.ndarray, y: int, weight: float = 1.0) -> float:
    """Weighted log loss of y in {0, 1}."""
    margin = score(user, item) if y else -score(user, item)
    return weight * np.logaddexp(0.0, -margin)


def bpr_loss(
    user: np.ndarray, positive: np.ndarray, negative: np.ndarray, weight: float = 1.0
) -> float:
    """- weight * log(sigmoid(s_pos - s_neg))"""
    return weight * np.logaddexp(0.0, score(user, negative) - score(user, positive))


def hinge_loss(user: np.ndarray, positive: np.ndarray, negative: np.ndarray, g: float) -> float:
    """What WARP and k-OS WARP descend once the violation is found: its weight g is a constant."""
    return g * max(0.0, 1.0 - score(user, positive) + score(user, negative))


def direction(vector: np.ndarray) -> tuple[np.ndarray, float]:
    """An embedding divided by its length, and the inverse of that; all zero where it is zero."""
    length = math.sqrt(vector[:-1] @ vector[:-1])
    inverse = 1.0 / length if length > 0 else 0.0
    return inverse * vector[:-1], inverse


def cosine_score(user: np.ndarray, item: np.ndarray) -> float:
    return float(direction(user)[0] @ direction(item)[0] + item[-1])


def softmax_loss(
    user: np.ndarray,
    positive: np.ndarray,
    negatives: list[np.ndarray],
    share: float,
    temperature: float,
    weight: float = 1.0,
) -> float:
    """weight * (-s_pos / T + log Z), Z = exp(s_pos / T) + share * sum_j exp(s_j / T)

    The negatives are those that the user does not know; `share` is the number of items they are
    drawn from over the number drawn.
    """
    scores = np.array([cosine_score(user, item) for item in (positive, *negatives)]) / temperature
    factors = np.append(1.0, np.full(len(negatives), share))
    return weight * (logsumexp(scores, b=factors) - scores[0])


# One epoch


@dataclass
class Row:
    """A row of a feature matrix: the features that are present, and their values."""

    features: np.ndarray
    values: np.ndarray


def feature_rows(features: sp.csr_matrix | None, n_rows: int) -> list[Row]:
    if features is None:
        features = sp.identity(n_rows, format="csr")
    values = features.data.astype(np.float64)
    return [
        Row(features.indices[start:end], values[start:end])
        for start, end in zip(features.indptr[:-1], features.indptr[1:], strict=True)
    ]


def without_identities(rows: list[Row]) -> list[Row]:
    """The rows without the features that no other row has, where they have others."""
    owners: dict[int, set[int]] = {}
    for number, row in enumerate(rows):
        for feature in row.features[row.values != 0]:
            owners.setdefault(feature, set()).add(number)
    left = []
    for row in rows:
        is_shared = np.array([len(owners.get(f, ())) != 1 for f in row.features], dtype=bool)
        if not row.values[is_shared].any():
            is_shared[:] = True
        left.append(Row(row.features[is_shared], row.values[is_shared]))
    return left


@dataclass
class Larger:
    """Of a larger fit of which the interactions are a part: what users know, the items' counts, and
    which items are seen."""

    known: list[np.ndarray] | None = None
    item_counts: np.ndarray | None = None
    seen: np.ndarray | None = None


class Epoch:
    """What the examples of one epoch look up."""

    def __init__(
        self,
        state: State,
        interactions: sp.coo_matrix,
        user_features: sp.csr_matrix | None,
        item_features: sp.csr_matrix | None,
        sample_weight: sp.coo_matrix | None,
        larger: Larger | None = None,
    ) -> None:
        n_users, n_items = interactions.shape
        self.state = state
        self.settings = state.settings  # but sgd's learning rate falls as the epoch goes on
        self.user_of, self.item_of = interactions.row, interactions.col
        self.value = interactions.data.astype(np.float64)
        self.is_positive = interactions.data > 0
        self.n_entries = len(self.item_of)
        self.sums = Sums()
        if sample_weight is None:
            self.weight = np.ones(self.n_entries)
        else:
            self.weight = sample_weight.data.astype(np.float64)
        self.user_rows = feature_rows(user_features, n_users)
        self.item_rows = feature_rows(item_features, n_items)
        self.rows = self.user_rows, self.item_rows
        self.rows_without_identities = [
            whole if features is None else without_identities(whole)
            for whole, features in zip(self.rows, (user_features, item_features), strict=True)
        ]
        # Ascending: what negatives are drawn from, but for BPR's.
        self.candidates = np.arange(len(self.item_rows))
        if self.settings.negatives == "seen":
            self.candidates = np.unique(self.item_of)
            if larger and larger.seen is not None:
                self.candidates = larger.seen
        # What BPR draws its negatives from.
        self.law = None
        self.drawn_items = np.unique(self.item_of)
        if larger and larger.item_counts is not None:
            self.law = AliasTable(larger.item_counts)
            self.drawn_items = np.flatnonzero(larger.item_counts)
        # Distinct and ascending. Every stored entry counts as known, whatever its value.
        self.known = [np.unique(self.item_of[self.user_of == user]) for user in range(n_users)]
        if larger and larger.known is not None:
            self.known = larger.known
        # Ascending, too: stored with a value <= 0, and never with another.
        self.disliked = [
            np.setdiff1d(
                self.item_of[(self.user_of == user) & ~self.is_positive],
                self.item_of[(self.user_of == user) & self.is_positive],
            )
            for user in range(n_users)
        ]

    def drop_identities(self, seed: int, position: int) -> None:
        """Decide whether an example has its user, and its items, without their identities."""
        draw = Rng(seed ^ 0x2545F4914F6CDD1D, position).next()
        of_items, of_users = (draw >> 40) / 2**24, (draw >> 16) % 2**24 / 2**24
        dropout = self.state.settings.identity_dropout
        self.user_rows = (self.rows_without_identities if of_users < dropout else self.rows)[0]
        self.item_rows = (self.rows_without_identities if of_items < dropout else self.rows)[1]

    def user_vector(self, user: int) -> np.ndarray:
        return self.state.users.vector(self.user_rows[user])

    def item_vector(self, item: int) -> np.ndarray:
        return self.state.items.vector(self.item_rows[item])

    def score(self, user: int, item: int) -> float:
        return score(self.user_vector(user), self.item_vector(item))

    def prefers_disliked(self, user: int) -> bool:
        """Whether some of the user's negatives are to be stored ones."""
        return self.state.settings.stored_negatives > 0 and len(self.disliked[user]) > 0

    def draw_candidate(self, rng: Rng) -> int:
        return self.candidates[rng.bounded(len(self.candidates))]

    def draw_popular(self, rng: Rng) -> int:
        """An item, as likely as it is popular."""
        return self.law.draw(rng) if self.law else self.item_of[rng.bounded(self.n_entries)]

    def draw_disliked(self, user: int, rng: Rng) -> int | None:
        """With the chance that was asked for, an item the user is known to dislike."""
        if not self.prefers_disliked(user):
            return None
        # 24 random bits against the share in float32: the comparison is exact.
        if (rng.next() >> 40) / 2**24 >= float(np.float32(self.state.settings.stored_negatives)):
            return None
        return self.disliked[user][rng.bounded(len(self.disliked[user]))]


# A loss turns an entry into the (item, coefficient) pairs of its update, in the order in which
# they are applied: the gradient of the loss by the item's score. No pairs, no update.
Update = list[tuple[int, float]]


def logistic(epoch: Epoch, entry: int, rng: Rng) -> Update:
    user, item = epoch.user_of[entry], epoch.item_of[entry]
    y, weight = int(epoch.is_positive[entry]), epoch.weight[entry]
    vectors = epoch.user_vector(user), epoch.item_vector(item)
    epoch.sums.examples += 1
    epoch.sums.loss += logistic_loss(*vectors, y, weight)
    return [(item, weight * (expit(score(*vectors)) - y))]


def mse(epoch: Epoch, entry: int, rng: Rng) -> Update:
    user, item = epoch.user_of[entry], epoch.item_of[entry]
    value, mean, weight = epoch.value[entry], epoch.state.global_mean, epoch.weight[entry]
    vectors = epoch.user_vector(user), epoch.item_vector(item)
    epoch.sums.examples += 1
    epoch.sums.loss += squared_error(*vectors, value, mean, weight)
    return [(item, weight * (score(*vectors) + mean - value))]


def bpr(epoch: Epoch, entry: int, rng: Rng) -> Update:
    user, positive = epoch.user_of[entry], epoch.item_of[entry]
    if not epoch.is_positive[entry]:
        return []
    negative = epoch.draw_disliked(user, rng)
    if negative is None and np.isin(epoch.drawn_items, epoch.known[user]).all():
        # Nothing unknown can be drawn.
        disliked = epoch.disliked[user]
        if len(disliked) == 0:
            return []
        negative = disliked[rng.bounded(len(disliked))]
    elif negative is None:
        for _ in range(100_000):
            negative = epoch.draw_popular(rng)
            if negative not in epoch.known[user]:
                break
        else:
            return []
    weight, user_vector = epoch.weight[entry], epoch.user_vector(user)
    vectors = epoch.item_vector(positive), epoch.item_vector(negative)
    epoch.sums.examples += 1
    epoch.sums.loss += bpr_loss(user_vector, *vectors, weight)
    g = weight * expit(score(user_vector, vectors[1]) - score(user_vector, vectors[0]))
    return [(positive, -g), (negative, g)]


def violation(
    epoch: Epoch,
    user: int,
    positive: int,
    weight: float,
    rng: Rng,
    draw: Callable[[int, Rng], int | None] = lambda user, rng: None,
) -> Update:
    """WARP's search for an unknown item that scores too close to the positive, or above it.

    What `draw` comes up with is taken in place of a random item, whether it is known or not.
    """
    known, sums = epoch.known[user], epoch.sums
    user_vector, positive_vector = epoch.user_vector(user), epoch.item_vector(positive)
    threshold = score(user_vector, positive_vector) - 1
    sums.examples += 1
    for t in range(1, epoch.state.settings.max_sampled + 1):
        sums.tries += 1
        negative = drawn = draw(user, rng)
        if negative is None:
            negative = epoch.draw_candidate(rng)
        vector = epoch.item_vector(negative)
        is_unknown = drawn is not None or negative not in known
        if is_unknown and score(user_vector, vector) > threshold:
            by_rank = math.log(max(1, (len(epoch.candidates) - 1) // t))
            g = min(10.0, weight * by_rank)
            sums.cut += weight * by_rank > 10 >= by_rank
            sums.violations += 1
            sums.loss += hinge_loss(user_vector, positive_vector, vector, g)
            return [(positive, -g), (negative, g)]
    return []


def warp(epoch: Epoch, entry: int, rng: Rng) -> Update:
    if not epoch.is_positive[entry]:
        return []
    user, positive = epoch.user_of[entry], epoch.item_of[entry]
    if len(epoch.known[user]) == len(epoch.candidates) and not epoch.prefers_disliked(user):
        return []
    return violation(epoch, user, positive, epoch.weight[entry], rng, epoch.draw_disliked)


def warp_kos(epoch: Epoch, entry: int, rng: Rng) -> Update:
    user = epoch.user_of[entry]
    known, settings = epoch.known[user], epoch.state.settings
    if len(known) in (0, len(epoch.candidates)):
        return []
    drawn = [known[rng.bounded(len(known))] for _ in range(min(settings.n, len(known)))]
    best_first = sorted(drawn, key=lambda item: -epoch.score(user, item))  # stable in ties
    positive = best_first[min(settings.k, len(best_first)) - 1]
    return violation(epoch, user, positive, epoch.weight[entry], rng)


LOSSES: dict[str, Callable[[Epoch, int, Rng], Update]] = {
    "logistic": logistic,
    "bpr": bpr,
    "warp": warp,
    "warp-kos": warp_kos,
    "mse": mse,
}


# A schedule steps one vector of a side against its gradient, component by component, and returns
# the local learning rate of each component: the factor of the gradient in the step.


def adagrad(side: Side, feature: int, gradient: np.ndarray, settings: Settings) -> np.ndarray:
    rate = settings.learning_rate / np.sqrt(side.gradients[feature])
    side.parameters[feature] -= rate * gradient
    side.gradients[feature] += gradient**2
    return rate


def adadelta(side: Side, feature: int, gradient: np.ndarray, settings: Settings) -> np.ndarray:
    rho, epsilon = settings.rho, settings.epsilon
    side.gradients[feature] = rho * side.gradients[feature] + (1 - rho) * gradient**2
    rate = np.sqrt(side.momentum[feature] + epsilon) / np.sqrt(side.gradients[feature] + epsilon)
    step = rate * gradient
    side.parameters[feature] -= step
    side.momentum[feature] = rho * side.momentum[feature] + (1 - rho) * step**2
    return rate


def sgd(side: Side, feature: int, gradient: np.ndarray, settings: Settings) -> np.ndarray:
    side.parameters[feature] -= settings.learning_rate * gradient
    return np.full_like(gradient, settings.learning_rate)


SCHEDULES: dict[str, Callable[[Side, int, np.ndarray, Settings], np.ndarray]] = {
    "adagrad": adagrad,
    "adadelta": adadelta,
    "sgd": sgd,
}


def step_features(epoch: Epoch, side: Side, row: Row, gradient: np.ndarray) -> list[np.ndarray]:
    """Step every feature of a user or an item; returns the rates of all their components."""
    settings = epoch.settings
    schedule = SCHEDULES[settings.learning_schedule]
    alpha = settings.item_alpha if side is epoch.state.items else settings.user_alpha
    rates = []
    for feature, value in zip(row.features, row.values, strict=True):
        rate = schedule(side, feature, value * gradient, settings)
        side.parameters[feature] *= 1 + alpha * rate
        rates.append(rate)
    return rates


def grow_scales(epoch: Epoch, rates: list[np.ndarray]) -> None:
    """What L2 does to all parameters after an example that has stepped with these rates."""
    if rates:
        epoch.state.items.scale *= 1 + epoch.settings.item_alpha * np.mean(rates)
        epoch.state.users.scale *= 1 + epoch.settings.user_alpha * np.mean(rates)


def apply(epoch: Epoch, user: int, update: Update) -> None:
    """Step the features of the items, in the order of the update, then those of the user."""
    items, users = epoch.state.items, epoch.state.users

    # All gradients come from the vectors before the step. An item's bias enters its score with
    # factor one, hence the one in place of the user's bias.
    user_vector = epoch.user_vector(user)
    steps = [
        (items, epoch.item_rows[item], g * np.append(user_vector[:-1], 1.0)) for item, g in update
    ]
    user_gradient = sum(g * epoch.item_vector(item) for item, g in update)
    # For a pair the biases' gradients cancel; the user's bias gets +g nevertheless.
    user_gradient[-1] = update[-1][1]
    steps.append((users, epoch.user_rows[user], user_gradient))
    grow_scales(epoch, [rate for step in steps for rate in step_features(epoch, *step)])


# The sampled softmax goes through the entries in blocks, whose examples share their negatives.

BIAS_RATE = 0.01  # of the embeddings' gradients, that of a bias counts as much


def softmax_block(epoch: Epoch, entries: np.ndarray, rng: Rng) -> None:
    """Train on the examples among these entries, with gradients from before the block."""
    settings, items, users = epoch.settings, epoch.state.items, epoch.state.users
    n, temperature = settings.n_negatives, settings.temperature
    drawn = np.array([epoch.draw_candidate(rng) for _ in range(n)])
    vectors = [epoch.item_vector(item) for item in drawn]
    negatives, inverses = (np.array(part) for part in zip(*map(direction, vectors), strict=True))
    biases = np.array([vector[-1] for vector in vectors])

    steps = []  # of the examples: the positive's and the user's
    negative_gradients = np.zeros((n, len(vectors[0])))
    for entry in entries:
        user, item, weight = epoch.user_of[entry], epoch.item_of[entry], epoch.weight[entry]
        unknown = ~np.isin(drawn, epoch.known[user])
        if not epoch.is_positive[entry] or not unknown.any():
            continue
        item_vector = epoch.item_vector(item)
        (u, u_inverse), (p, p_inverse) = map(direction, (epoch.user_vector(user), item_vector))
        cosines = negatives @ u
        scores = np.append(u @ p + item_vector[-1], cosines + biases) / temperature
        scores[1:][~unknown] = -math.inf
        # The positive counts once; what is drawn stands for all candidates.
        factors = np.append(1.0, np.full(n, len(epoch.candidates) / n))
        log_z = logsumexp(scores, b=factors)
        epoch.sums.examples += 1
        epoch.sums.loss += weight * (log_z - scores[0])

        g = (weight / temperature * factors * np.exp(scores - log_z))[1:]
        negative_gradients[:, :-1] += (g * inverses)[:, None] * (u - cosines[:, None] * negatives)
        negative_gradients[:, -1] += BIAS_RATE * g
        a = g @ negatives - g.sum() * p
        if g.any():
            item_gradient = -g.sum() * p_inverse * (u - (u @ p) * p)
            steps.append(
                [
                    (items, epoch.item_rows[item], np.append(item_gradient, -BIAS_RATE * g.sum())),
                    (users, epoch.user_rows[user], np.append(u_inverse * (a - (a @ u) * u), 0.0)),
                ]
            )

    for item, gradient in zip(drawn, negative_gradients, strict=True):
        if gradient[-1]:  # else each of the examples' users knows the item
            step_features(epoch, items, epoch.item_rows[item], gradient)
    for example in steps:
        grow_scales(epoch, [rate for step in example for rate in step_features(epoch, *step)])


CHUNK, MAX_BLOCK = 512, 160  # entries


def run_epoch(
    state: State,
    interactions: sp.coo_matrix,
    user_features: sp.csr_matrix | None,
    item_features: sp.csr_matrix | None,
    sample_weight: sp.coo_matrix | None,
    seed: int,
    span: tuple[float, float] = (0.0, 1.0),
    larger: Larger | None = None,
) -> State:
    """The state after one pass over all entries; what is passed in stays as it is.

    `span` says what share of the fit's epochs is over before and after this one.
    """
    state = deepcopy(state)
    epoch = Epoch(state, interactions, user_features, item_features, sample_weight, larger)
    order = epoch_order(epoch.n_entries, seed)
    chunk = position = 0
    while position < epoch.n_entries:
        # sgd's learning rate is that of where a chunk begins, or goes on after the scales have
        # been settled; what is left of the chunk then makes blocks of equal size.
        if position >= chunk:
            chunk = min(chunk + CHUNK, epoch.n_entries)
        if state.settings.learning_schedule == "sgd":
            over = span[0] + (span[1] - span[0]) * position / epoch.n_entries
            rate = state.settings.learning_rate * (1 - over)
            epoch.settings = replace(state.settings, learning_rate=rate)
        while position < chunk:
            epoch.drop_identities(seed, position)
            if state.settings.loss == "softmax":
                size = (chunk - position) // math.ceil((chunk - position) / MAX_BLOCK)
                softmax_block(epoch, order[position : position + size], Rng(seed, position))
                position += size
            else:
                entry = order[position]
                update = LOSSES[state.settings.loss](epoch, entry, Rng(seed, position))
                if update:
                    apply(epoch, epoch.user_of[entry], update)
                position += 1
            if max(state.items.scale, state.users.scale) > 1e6:
                state.items.settle()
                state.users.settle()
                break
    state.items.settle()
    state.users.settle()
    state.epochs.append(epoch.sums)
    return state


def epoch_seed(draws: np.random.RandomState) -> int:
    """The seed of an epoch: the first 8 of as many bytes as make all words of the stream anew."""
    return int.from_bytes(draws.bytes(4 * 624)[:8], "little")


def fit(
    settings: Settings,
    interactions: sp.coo_matrix,
    user_features: sp.csr_matrix | None = None,
    item_features: sp.csr_matrix | None = None,
    sample_weight: sp.coo_matrix | None = None,
    epochs: int = 1,
    random_state: int = 0,
) -> State:
    """Train from scratch as LightFM.fit does: initial draws, then one seed per epoch."""
    draws = np.random.RandomState(random_state)
    n_users, n_items = interactions.shape
    state = initial_state(
        settings,
        n_items if item_features is None else item_features.shape[1],
        n_users if user_features is None else user_features.shape[1],
        draws,
    )
    if settings.loss == "mse":
        weights = None if sample_weight is None else sample_weight.data.astype(np.float64)
        state.global_mean = float(np.average(interactions.data.astype(np.float64), weights=weights))
    for epoch in range(epochs):
        seed = epoch_seed(draws)
        state = run_epoch(
            state,
            interactions,
            user_features,
            item_features,
            sample_weight,
            seed,
            span=(epoch / epochs, (epoch + 1) / epochs),
        )
    return state
