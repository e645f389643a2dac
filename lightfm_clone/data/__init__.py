"""From ids and feature names, as an application knows them, to the matrices a model is fed."""

from lightfm_clone.data.dataset import Dataset, FromFrame
from lightfm_clone.data.encoder import FeatureEncoder
from lightfm_clone.data.item_columns import between
from lightfm_clone.data.rules import bins, categories, cross, part, scaled, split
from lightfm_clone.data.weights import activity_weights

__all__ = [
    "Dataset",
    "FeatureEncoder",
    "FromFrame",
    "activity_weights",
    "between",
    "bins",
    "categories",
    "cross",
    "part",
    "scaled",
    "split",
]

# Dumps name a class by its module; this name is the one that all versions have.
for _public in (Dataset, FromFrame):
    _public.__module__ = __name__
del _public
