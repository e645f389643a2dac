"""Data to start from: public sets, ratings files of your own, and synthetic ones.

- :func:`synthetic_catalogue` draws a catalogue of any size and needs no download;
- :func:`synthetic_shop` draws the tables of a shop, with what is wrong in real ones;
- :func:`synthetic_clickstream` draws the log of a service for films and series, by known laws;
- :func:`load_ratings` reads a MovieLens zip or folder, or one ratings file;
- :func:`fetch_movielens` and :func:`fetch_stackexchange` fetch the two sets of LightFM's
  documentation and keep them in ``~/lightfm_data``.
"""

from __future__ import annotations

from lightfm_clone.datasets._catalogue import Catalogue
from lightfm_clone.datasets.clickstream import Plays, synthetic_clickstream
from lightfm_clone.datasets.movielens import fetch_movielens
from lightfm_clone.datasets.ratings import load_ratings
from lightfm_clone.datasets.shop import Shop, synthetic_shop
from lightfm_clone.datasets.stackexchange import fetch_stackexchange
from lightfm_clone.datasets.synthetic import synthetic_catalogue

__all__ = [
    "Catalogue",
    "Plays",
    "Shop",
    "fetch_movielens",
    "fetch_stackexchange",
    "load_ratings",
    "synthetic_catalogue",
    "synthetic_clickstream",
    "synthetic_shop",
]
