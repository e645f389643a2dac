"""Saving and loading models and datasets: NumPy arrays and a JSON header in one file, no pickle.

docs/guide/persistence.md describes the file for other readers. Everything that a file claims is
checked as if a stranger had written it: loading executes nothing that is in a file.
"""

from __future__ import annotations

from lightfm_clone.persistence.container import FORMAT_VERSION
from lightfm_clone.persistence.datasets import (
    dataset_from_parts,
    dataset_to_parts,
    load_dataset,
    save_dataset,
)
from lightfm_clone.persistence.models import (
    load_model,
    model_from_parts,
    model_to_parts,
    save_model,
)

__all__ = [
    "FORMAT_VERSION",
    "dataset_from_parts",
    "dataset_to_parts",
    "load_dataset",
    "load_model",
    "model_from_parts",
    "model_to_parts",
    "save_dataset",
    "save_model",
]
