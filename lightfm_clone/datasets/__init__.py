"""Data to start from: public sets, ratings files of your own, and a synthetic catalogue.

- :func:`synthetic_catalogue` draws a catalogue of any size and needs no download;
- :func:`load_ratings` reads a MovieLens zip or folder, or one ratings file;
- :func:`fetch_movielens` and :func:`fetch_stackexchange` fetch the two sets of LightFM's
  documentation and keep them in ``~/lightfm_data``.
"""

from __future__ import annotations

from lightfm_clone.datasets._catalogue import Catalogue
from lightfm_clone.datasets.movielens import fetch_movielens
from lightfm_clone.datasets.ratings import load_ratings
from lightfm_clone.datasets.stackexchange import fetch_stackexchange
from lightfm_clone.datasets.synthetic import synthetic_catalogue

__all__ = [
    "Catalogue",
    "fetch_movielens",
    "fetch_stackexchange",
    "load_ratings",
    "synthetic_catalogue",
]
