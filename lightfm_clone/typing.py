"""Names for the types of arguments, for annotations of your own code as well."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

# A sparse matrix or array of SciPy, of any format and numeric dtype.
SparseMatrix: TypeAlias = sp.spmatrix | sp.sparray
CsrMatrix: TypeAlias = sp.csr_matrix | sp.csr_array
# [n_users, n_items]: the stored entries; of a dense array those that are not 0.
Interactions: TypeAlias = SparseMatrix | npt.NDArray[Any]
# [n_users or n_items, n_features]
FeatureMatrix: TypeAlias = SparseMatrix | npt.NDArray[Any]
# With the very entries of the interactions, in the same order.
SampleWeight: TypeAlias = sp.coo_matrix | sp.coo_array
Seed: TypeAlias = int | np.random.RandomState | np.random.Generator | None
# Row numbers of users or items; pandas Series and Index will do, too.
Rows: TypeAlias = int | np.integer[Any] | range | Sequence[int] | npt.NDArray[Any]
# What the caller knows users, items and features by.
Id: TypeAlias = Hashable
# A data frame of pandas or polars, or a table of pyarrow.
Table: TypeAlias = Any
Path: TypeAlias = str | os.PathLike[str]
Floats: TypeAlias = npt.NDArray[np.float32]
# Biases [n] and embeddings [n, no_components].
Representations: TypeAlias = tuple[Floats, Floats]
# Rows (user, item) or (user, item, weight); a data frame or array of two or three columns will do.
InteractionRows: TypeAlias = Iterable[Sequence[Any]] | Table
# The features of one user or item: names, which weigh 1, or weights by name.
FeatureBag: TypeAlias = Iterable[Id] | Mapping[Id, float]
# Rows (id, features); a data frame of these two columns will do.
FeatureRows: TypeAlias = Iterable[tuple[Id, FeatureBag]] | Table
# The best of each row that was asked for, best first: row numbers [n, k], -1 where fewer are left,
# and scores [n, k].
RankedLists: TypeAlias = tuple[npt.NDArray[np.int32], Floats]
# Interactions, or a dict with these and what else an evaluation takes.
HeldOut: TypeAlias = Interactions | Mapping[str, Any]
# A LightFM, or the very subclass that is trained, which a callback may know.
Model: TypeAlias = Any
# What history_ holds of an epoch.
Record: TypeAlias = dict[str, Any]
# What is called after each epoch; a true value returned ends the training.
Callback: TypeAlias = Callable[[Model, Record], object]
