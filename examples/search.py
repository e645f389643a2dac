"""Hyper-parameter search: scikit-learn's random search, and Optuna with pruning.

Usage:
    python examples/search.py

It runs on a synthetic catalogue and leaves out what is not installed; for both searches
``pip install "lightfm-clone[search]"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.stats import loguniform

from lightfm_clone import LightFM
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import evaluate
from lightfm_clone.search import InteractionEstimator

try:
    from sklearn.model_selection import RandomizedSearchCV
except ImportError:
    RandomizedSearchCV = None
try:
    import optuna
except ImportError:
    optuna = None

METRIC = "ndcg@10"


def show(parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        text = f"{value:.3g}" if np.isscalar(value) else "none" if value is None else "the tags"
        print(f"    {name}: {text}")


def search_with_scikit_learn(train: sp.coo_matrix, item_features: sp.csr_matrix) -> LightFM:
    # A row for each interaction. They are in random order already, for `train` comes from a random
    # split; otherwise it would be cv=KFold(3, shuffle=True).
    X = np.column_stack([train.row, train.col])
    search = RandomizedSearchCV(
        InteractionEstimator(train.shape, loss="warp", random_state=0, metric=METRIC),
        {
            "no_components": [8, 16, 32],
            "learning_rate": loguniform(0.01, 0.2),
            "item_alpha": loguniform(1e-6, 1e-3),
            "epochs": [5, 10, 20],
            "item_features": [None, item_features],  # are the tags of any use?
        },
        n_iter=10,
        cv=3,
        random_state=0,
    ).fit(X)
    print(f"  best of 10: {METRIC} {search.best_score_:.3f} over 3 folds")
    show(search.best_params_)
    # The search has trained the best once more, on all of `train`.
    return search.best_estimator_


def search_with_optuna(train: sp.coo_matrix, item_features: sp.csr_matrix) -> LightFM:
    fitting, validation = random_train_test_split(train, random_state=0)

    def new_model(parameters: dict[str, float]) -> LightFM:
        return LightFM(loss="warp", random_state=0, **parameters)

    def objective(trial: optuna.Trial) -> float:
        model = new_model(
            {
                "no_components": trial.suggest_int("no_components", 8, 32, log=True),
                "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
                "item_alpha": trial.suggest_float("item_alpha", 1e-6, 1e-3, log=True),
            }
        )
        best = 0.0
        for epochs in range(3, 25, 3):
            model.fit_partial(fitting, item_features=item_features, epochs=3)
            value = evaluate(
                model, validation, fitting, metrics=METRIC, item_features=item_features
            )[METRIC]
            if value > best:
                best = value
                trial.set_user_attr("epochs", epochs)
            trial.report(value, step=epochs)
            if trial.should_prune():  # worse than most others were by then: give up
                raise optuna.TrialPruned
        return best

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    # A model that diverges raises a ValueError, which is one trial's failure and not the study's.
    study.optimize(objective, n_trials=15, catch=(ValueError,))
    pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    epochs = study.best_trial.user_attrs["epochs"]
    print(
        f"  best of 15, {pruned} of them given up early: {METRIC} {study.best_value:.3f} "
        f"after {epochs} epochs"
    )
    show(study.best_params)
    return new_model(study.best_params).fit(train, item_features=item_features, epochs=epochs)


def main() -> None:
    films = synthetic_catalogue(n_users=600, n_items=400, n_interactions=20_000)
    # The test set takes no part in the searches. It tells in the end what they were worth.
    train, test = random_train_test_split(films.interactions, random_state=0)

    def report(name: str, model: LightFM, item_features: sp.csr_matrix | None) -> None:
        value = evaluate(model, test, train, metrics=METRIC, item_features=item_features)[METRIC]
        print(f"  {METRIC} on the test set, {name}: {value:.3f}")

    print("Without a search")
    report("default parameters", LightFM(loss="warp", random_state=0).fit(train, epochs=10), None)

    print("scikit-learn, RandomizedSearchCV")
    if RandomizedSearchCV is None:
        print('  left out, needs scikit-learn: pip install "lightfm-clone[search]"')
    else:
        estimator = search_with_scikit_learn(train, films.item_features)
        report("best found", estimator.model_, estimator.item_features)

    print("Optuna, with pruning")
    if optuna is None:
        print('  left out, needs optuna: pip install "lightfm-clone[search]"')
    else:
        model = search_with_optuna(train, films.item_features)
        report("best found", model, films.item_features)


if __name__ == "__main__":
    main()
