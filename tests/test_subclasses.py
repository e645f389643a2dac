"""Classes that others have derived from LightFM, with LightFM's own signatures."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from helpers import arrays_of, assert_equal_arrays, random_interactions

from lightfm_clone import LightFM, evaluation
from lightfm_clone._model.parameters import OF_LIGHTFM

TRAIN = random_interactions()


class Passing(LightFM):
    """Overrides with LightFM's seven arguments, passed on by position."""

    def fit_partial(
        self,
        interactions,
        user_features=None,
        item_features=None,
        sample_weight=None,
        epochs=1,
        num_threads=1,
        verbose=False,
    ):
        self.calls = getattr(self, "calls", 0) + 1
        return super().fit_partial(
            interactions, user_features, item_features, sample_weight, epochs, num_threads, verbose
        )


class Guarded(LightFM):
    def fit_partial(self, interactions, **named):
        try:
            self._check_initialized()
        except ValueError:
            self.was_fitted = False
        else:
            self.was_fitted = True
        return super().fit_partial(interactions, **named)


class Fixed(LightFM):
    """Fewer parameters, and a `get_params` of their own."""

    def __init__(self, no_components=10, loss="warp", learning_rate=0.05, random_state=None):
        super().__init__(
            no_components=no_components,
            loss=loss,
            learning_rate=learning_rate,
            random_state=random_state,
        )

    def get_params(self, deep=True):
        names = ("no_components", "loss", "learning_rate", "random_state")
        return {name: getattr(self, name) for name in names}


class FixedInherit(LightFM):
    """LightFM's twelve parameters and its `get_params`."""

    def __init__(
        self,
        no_components=10,
        k=5,
        n=10,
        learning_schedule="adagrad",
        loss="warp",
        learning_rate=0.05,
        rho=0.95,
        epsilon=1e-6,
        item_alpha=0.0,
        user_alpha=0.0,
        max_sampled=10,
        random_state=None,
    ):
        super().__init__(
            no_components,
            k,
            n,
            learning_schedule,
            loss,
            learning_rate,
            rho,
            epsilon,
            item_alpha,
            user_alpha,
            max_sampled,
            random_state,
        )


class WithOwn(LightFM):
    """A parameter of its own before LightFM's."""

    def __init__(self, decay=0.5, **lightfm):
        super().__init__(**lightfm)
        self.decay = decay


class FewInherit(LightFM):
    """Fewer parameters, and LightFM's `get_params`."""

    def __init__(self, size=4):
        super().__init__(no_components=size, loss="bpr", random_state=0)


CLASSES = (Passing, Guarded, Fixed, FixedInherit, WithOwn, FewInherit)


@pytest.mark.parametrize("cls", CLASSES)
def test_fits(cls):
    model = cls()
    assert model.fit(TRAIN, epochs=2) is model and len(model.history_) == 2
    assert model.fit_partial(TRAIN) is model and len(model.history_) == 3
    assert model.fit(TRAIN).item_embeddings.shape == (20, model.no_components)


def test_an_override_sees_every_fit():
    model = Passing(loss="warp").fit(TRAIN)
    model.fit_partial(TRAIN)
    assert model.calls == 2
    with pytest.raises(TypeError, match="validation"):  # which it does not know
        model.fit(TRAIN, validation={"interactions": TRAIN, "exclude": None})


def test_the_state_can_be_asked_for_and_forgotten():
    model = Guarded(loss="warp").fit(TRAIN)
    assert not model.was_fitted  # `fit` forgets first
    assert model.fit_partial(TRAIN).was_fitted
    model._reset_state()
    assert all(array is None for array in (model.item_embeddings, model.user_bias_momentum))
    with pytest.raises(ValueError, match="not fitted"):
        model._check_initialized()
    assert model.fit_partial(TRAIN).item_embeddings is not None


@pytest.mark.parametrize("cls", [Fixed, FixedInherit, WithOwn, LightFM])
def test_scikit_learn_clones(cls):
    sklearn = pytest.importorskip("sklearn.base")
    model = cls(no_components=3, learning_rate=0.1, random_state=3)
    again = sklearn.clone(model)
    assert type(again) is cls and again.no_components == 3 and again.learning_rate == 0.1
    again.fit(TRAIN)


def test_parameters():
    assert list(FixedInherit().get_params()) == list(OF_LIGHTFM)
    assert list(FewInherit().get_params()) == list(OF_LIGHTFM)
    own = WithOwn(decay=0.25, no_components=7)
    assert own.get_params()["decay"] == 0.25 and "temperature" in own.get_params()
    assert own.set_params(decay=0.75, no_components=8).decay == 0.75
    assert FixedInherit().set_params(no_components=4).fit(TRAIN).item_embeddings.shape == (20, 4)
    assert LightFM(**FewInherit(6).get_params()).no_components == 6
    with pytest.raises(ValueError, match="unknown parameter 'decay'"):
        FixedInherit().set_params(decay=1)


def test_set_parameters_that_a_subclass_has_in_its_own_way():
    class Popped(LightFM):
        """Its constructor names nothing; its `get_params` does."""

        def __init__(self, **given):
            self.decay = given.pop("decay", 0.5)
            super().__init__(**given)

        def get_params(self, deep=True):
            return {**super().get_params(deep), "decay": self.decay}

    model = Popped(decay=0.25, k=3)
    assert model.set_params(decay=0.75, k=4).decay == 0.75 and model.k == 4
    with pytest.raises(ValueError, match="unknown parameter 'dekay'; .*decay"):
        model.set_params(dekay=1)
    again = pytest.importorskip("sklearn.base").clone(model)
    assert again.decay == 0.75 and again.k == 4

    class Assigned(LightFM):
        """A parameter that is a property."""

        @property
        def learning_rate(self):
            return self.rate

        @learning_rate.setter
        def learning_rate(self, value):
            self.rate = value

    model = Assigned(learning_rate=0.3)
    assert model.set_params(learning_rate=0.1).rate == model.get_params()["learning_rate"] == 0.1
    with pytest.raises(ValueError, match="learning_rate"):
        model.set_params(k=9, learning_rate=np.nan)
    assert (model.k, model.rate) == (5, 0.1)


def test_the_constructor_resets_as_every_fit_does():
    class Counted(LightFM):
        def _reset_state(self):
            super()._reset_state()
            self.n_seen_ = 0

        def fit_partial(self, interactions, *args, **named):
            self.n_seen_ += interactions.nnz
            return super().fit_partial(interactions, *args, **named)

    model = Counted(loss="warp")
    assert model.n_seen_ == 0
    assert model.fit_partial(TRAIN).fit_partial(TRAIN).n_seen_ == 2 * TRAIN.nnz
    assert model.fit(TRAIN).n_seen_ == TRAIN.nnz


@pytest.mark.parametrize("cls", CLASSES)
def test_copies_and_pickles(cls, tmp_path):
    model = cls().fit(TRAIN, epochs=2)
    model.save(tmp_path / "model")
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), cls.load(tmp_path / "model")]
    for other in others:
        assert type(other) is cls
        assert_equal_arrays(arrays_of(other), arrays_of(model))
        other.fit_partial(TRAIN)
    again = model.fit_partial(TRAIN)
    for other in others:
        assert_equal_arrays(arrays_of(other), arrays_of(again))


def test_an_override_of_predict_is_not_evaluations_business():
    class Predicting(LightFM):
        def predict(
            self, user_ids, item_ids, item_features=None, user_features=None, num_threads=1
        ):
            return -super().predict(user_ids, item_ids, item_features, user_features, num_threads)

    model = Predicting(loss="warp", random_state=0).fit(TRAIN, epochs=5)
    plain = LightFM(loss="warp", random_state=0).fit(TRAIN, epochs=5)
    np.testing.assert_array_equal(model.predict(0, range(20)), -plain.predict(0, range(20)))
    np.testing.assert_array_equal(
        evaluation.auc_score(model, TRAIN), evaluation.auc_score(plain, TRAIN)
    )


def test_an_override_that_returns_nothing():
    class Silent(LightFM):
        def fit_partial(self, *args, **named):
            super().fit_partial(*args, **named)

    model = Silent(loss="warp")
    model.fit(TRAIN)
    assert model.item_embeddings is not None
