"""Ranking metrics per user, all from one ranking pass, and measures of recommended lists.

Every ranking metric is a function of a user's test ranks: for each of their test items, how many
other items the model places at least as high, their training items left out. So ties count against
the test item: a model that scores everything alike gets the worst value, not a lucky one.

`evaluate` computes any number of metrics together, for all users and for groups of them, and
`Comparison` sets several models side by side. The measures of lists (`catalogue_coverage`,
`novelty`, `popularity_share`, `intra_list_diversity`) look at what is recommended, not at whether
it is right.
"""

from __future__ import annotations

from lightfm_clone.evaluation.comparison import Comparison, Difference
from lightfm_clone.evaluation.lists import (
    catalogue_coverage,
    intra_list_diversity,
    novelty,
    popularity_share,
)
from lightfm_clone.evaluation.metrics import (
    auc_score,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)
from lightfm_clone.evaluation.results import Evaluation, evaluate

__all__ = [
    "Comparison",
    "Difference",
    "Evaluation",
    "auc_score",
    "average_precision_at_k",
    "catalogue_coverage",
    "evaluate",
    "hit_rate_at_k",
    "intra_list_diversity",
    "ndcg_at_k",
    "novelty",
    "popularity_share",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank",
]
