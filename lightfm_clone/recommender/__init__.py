"""From tables to lists: the recommender, and baselines that any model should beat."""

from __future__ import annotations

from lightfm_clone.recommender.baselines import Popularity, Random
from lightfm_clone.recommender.item_neighbours import ItemNeighbours
from lightfm_clone.recommender.markov_chain import MarkovChain
from lightfm_clone.recommender.recommender import Recommender
from lightfm_clone.recommender.with_neighbours import WithNeighbours

__all__ = [
    "ItemNeighbours",
    "MarkovChain",
    "Popularity",
    "Random",
    "Recommender",
    "WithNeighbours",
]
