"""From tables to lists: the recommender, and baselines that any model should beat."""

from __future__ import annotations

from lightfm_clone.recommender.baselines import Popularity, Random
from lightfm_clone.recommender.recommender import Recommender

__all__ = ["Popularity", "Random", "Recommender"]
