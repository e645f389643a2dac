"""From events to sessions, paths, and what is known of people and items from what happened when.

- :class:`Clickstream` puts a table of events into order and answers with tables;
- :class:`Transitions` are the steps from one item to the next;
- :class:`MarkovChain` is the baseline that goes by such steps, for `Recommender.compare`.

All of it is counted with NumPy, after one sort. Tables need the extra ``tables``.
"""

from __future__ import annotations

from lightfm_clone.clickstream.clickstream import Clickstream
from lightfm_clone.clickstream.paths import Transitions
from lightfm_clone.recommender.markov_chain import MarkovChain

__all__ = ["Clickstream", "MarkovChain", "Transitions"]
