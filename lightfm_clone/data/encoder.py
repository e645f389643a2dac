"""The `FeatureEncoder`: from the columns of a table to features, kept for rows to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Set
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._warn import warn
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import numbering
from lightfm_clone.data.columns import Column
from lightfm_clone.data.encodings import Encodings
from lightfm_clone.data.rows import Entries, shown
from lightfm_clone.data.rules import (
    Pieces,
    Rule,
    are_dates,
    are_vectors,
    bins,
    categories,
    cross,
    finite,
    flag,
    moments,
    part,
    rule_from_plain,
    rule_of,
    rule_to_plain,
)
from lightfm_clone.persistence.plain import from_plain, to_plain
from lightfm_clone.typing import Table

_FEW = 10  # distinct whole numbers that are taken for categories
_SAMPLES = 50  # distinct texts, and more than half the rows: one a row, such as titles
_SHORT = 64  # rows of a table that are read one by one


class FeatureEncoder:
    """Makes features of the columns of a table, and of rows that come later.

    What a column becomes is said by a rule, or else by what it holds:

    ===================  ==========================================================
    it holds             features
    ===================  ==========================================================
    texts, categories    one for each distinct value: ``"country:GB"``
    lists (tags)         one for each distinct element: ``"tags:new"``
    booleans, 0 and 1    one, 1 where true: ``"premium"``
    other numbers        one for each of 10 bins of equal size: ``"price:[10, 25)"``;
                         or for each value, where there are 10 whole ones or fewer
    dates, ISO texts     one for each year (month, within one year): ``"since:year 2024"``
    ===================  ==========================================================

    Columns that tell nothing are left out: texts with nearly one value a row, such as titles, and
    columns with one value throughout, or none. So are those that no rule reads, such as dicts, and
    vectors: lists of numbers that are not whole. `decisions_` says so, and what to do about it.

    Missing values make no entry.

    Parameters
    ----------
    columns : dict, optional
        Rules by column: ``bins(5)``, ``bins([10, 25])``, ``split("|")``, ``categories()``,
        ``scaled()``, ``part("year")``; for a name of its own ``cross("country", "age")``; or None,
        which leaves the column out. Instead of ``categories()``, ``scaled()`` and ``part("year")``
        the words ``"category"``, ``"number"`` and ``"year"`` do, and so do the other parts of
        dates.

    Attributes
    ----------
    feature_names_ : list of str
        By number, column by column; those that `grow` adds come last.
    decisions_ : dict
        What each column became, in words.
    skipped_ : Counter
        How often the last `transform` met which category that is no feature.

    Examples
    --------
    >>> import pandas as pd
    >>> from lightfm_clone.data import FeatureEncoder, bins, split
    >>> books = pd.DataFrame(
    ...     {
    ...         "book": [101, 102, 103],
    ...         "language": ["en", "de", "en"],
    ...         "price": [7.5, 12.0, None],
    ...         "tags": ["crime|new", "crime", None],
    ...     }
    ... )
    >>> encoder = FeatureEncoder({"price": bins([10]), "tags": split("|")})
    >>> encoder.fit_transform(books, id="book").toarray()
    array([[1., 0., 1., 0., 1., 1.],
           [0., 1., 0., 1., 1., 0.],
           [1., 0., 0., 0., 0., 0.]], dtype=float32)
    >>> encoder.feature_names_
    ['language:en', 'language:de', 'price:<10', 'price:>=10', 'tags:crime', 'tags:new']
    >>> encoder.transform({"language": "fr", "price": 19, "tags": "new"}).toarray()
    array([[0., 0., 0., 1., 0., 1.]], dtype=float32)
    >>> encoder.skipped_
    Counter({'language:fr': 1})
    """

    # What messages call the table; a `Recommender` says "users" or "items".
    argument = "table"

    _encodings: Encodings

    def __init__(self, columns: Mapping[Hashable, Rule | str | None] | None = None) -> None:
        self.columns = columns

    def fit(self, table: Table, y: object = None, *, id: Hashable = None) -> FeatureEncoder:
        """Decide what becomes of each column, and number the features.

        Parameters
        ----------
        table : table
            A row for each user or item, of pandas, polars or pyarrow.
        y : ignored
            For pipelines of scikit-learn.
        id : column name, optional
            The column of ids, which is left out.

        Returns
        -------
        FeatureEncoder
            Itself.

        Raises
        ------
        ValueError
            When a column that is named is not there, numbers are infinite, or two columns make
            features of one name.
        TypeError
            When it is no table, or a rule does not fit what its column holds.
        """
        self._fit(table, id)
        return self

    def fit_transform(
        self, table: Table, y: object = None, *, id: Hashable = None
    ) -> sp.csr_matrix:
        """The same as `fit` and `transform`, reading the table once."""
        n_rows, read = self._fit(table, id)
        return self._matrix(self._encodings.entries(read, self.skipped_), n_rows)

    def transform(self, table: Any) -> sp.csr_matrix:
        """The features of rows, which the fit need not have seen.

        Parameters
        ----------
        table : table, dict or list of dict
            Rows with the columns of the fit. A column that is not there is missing throughout; one
            that the fit did not know makes no difference, and is told of once. A dict is one row:
            ``{"country": "DE", "age": 31}``.

        Returns
        -------
        csr_matrix of float32, shape (n_rows, n_features)
            Repeated elements of a list add up. Columns are sorted.

        Raises
        ------
        ValueError
            Before `fit`, when no column is known, or numbers are infinite or cannot be read.
        TypeError
            When it is none of the three, or a column holds what its rule cannot read.

        Warns
        -----
        UserWarning
            When a column is new.
        """
        n_rows, entries = self._entries(table)
        return self._matrix(entries, n_rows)

    def grow(self, table: Table) -> list[str]:
        """Make features of the categories in a table that are none yet.

        They are numbered after all others. Bins and scales stay as they are, and so does what has
        been left out.

        Parameters
        ----------
        table : table
            As in `transform`, but no dicts.

        Returns
        -------
        list of str
            The names of the new features.

        Raises
        ------
        ValueError, TypeError
            As `fit` and `transform`. The encoder stays as it was.

        Warns
        -----
        UserWarning
            When a column is new.
        """
        grown = self._fitted().copy()
        columns, _ = self._columns(table)
        grown.grow(columns, self.argument)
        new = grown.names[len(self._encodings.names) :]
        self._encodings = grown
        return new

    def is_told_by(self, columns: Set[Hashable]) -> npt.NDArray[np.bool_]:
        """Which features a table with these columns tells of, bool [n_features].

        A cross of which one column is there is among them: what it was does not hold any more.
        """
        encodings = self._fitted()
        told = np.ones(len(encodings.names), bool)
        for encoding in encodings.all:
            told[[*encoding.numbers.values()]] = not encoding.sources.isdisjoint(columns)
        return told

    @property
    def feature_names_(self) -> list[str]:
        return self._fitted().names

    @property
    def decisions_(self) -> dict[Hashable, str]:
        words = {one.column: one.rule.words(list(one.numbers)) for one in self._fitted().all}
        return {key: words.get(key, "") + remark for key, remark in self._remarks.items()}

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """The names of the features as an array; ``input_features`` makes no difference."""
        return np.array(self.feature_names_, dtype=object)

    # ---- scikit-learn ----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; ``deep`` makes no difference."""
        return {"columns": self.columns}

    def set_params(self, **params: Any) -> FeatureEncoder:
        """Set parameters by name; a ValueError for an unknown one."""
        unknown = next((name for name in params if name != "columns"), None)
        if unknown is not None:
            raise ValueError(f"unknown parameter {unknown!r}; the only one is columns")
        self.__dict__.update(params)
        return self

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this, so it is there.
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=True, string=True, categorical=True, allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_encodings")

    # ---- files -----------------------------------------------------------------------------------

    def to_plain(self) -> dict[str, Any]:
        """All of it in terms of JSON.

        Raises
        ------
        ValueError
            Before `fit`.
        TypeError
            When the name of a column is neither text nor number, nor a tuple of these.
        """
        rules = None
        if self.columns is not None:
            rules = [[_key(key), rule_to_plain(rule)] for key, rule in self._rules().items()]
        return {
            "columns": rules,
            "encodings": self._fitted().to_plain(),
            "remarks": [[_key(key), text] for key, text in self._remarks.items()],
        }

    @classmethod
    def from_plain(cls, plain: Any) -> FeatureEncoder:
        """The encoder of `to_plain`.

        Raises
        ------
        ValueError
            When it cannot be of `to_plain`.
        """
        try:
            rules = plain["columns"]
            if rules is not None:
                rules = {from_plain(key): rule_from_plain(rule) for key, rule in rules}
            encoder = cls(rules)
            remarks = {from_plain(key): text for key, text in plain["remarks"]}
            if any(type(text) is not str for text in remarks.values()):
                raise ValueError("remarks must be texts")
            encodings = Encodings.from_plain(plain["encodings"])
            if not {encoding.column for encoding in encodings.all} <= remarks.keys():
                raise ValueError("there must be a remark for each column")
            encoder._set(encodings, remarks)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"an encoder of features cannot be read: {error}") from error
        return encoder

    # ---- what a fit decides ----------------------------------------------------------------------

    def _rules(self) -> dict[Hashable, Rule | None]:
        """The rules of the caller, as such."""
        given = {} if self.columns is None else self.columns
        if not isinstance(given, Mapping):
            raise TypeError(
                "columns must be a dict from columns to rules, such as {'price': bins(5)}, got "
                f"{shown(given)}"
            )
        return {key: rule_of(rule, key) for key, rule in given.items()}

    def _fit(self, table: Table, id: Hashable) -> tuple[int, list[Pieces]]:
        """Fit; return the number of rows and what was read in the columns."""
        given = self._rules()
        crosses = {key: rule for key, rule in given.items() if isinstance(rule, cross)}
        columns = columns_of.by_name(table, self.argument)
        for key in [*([] if id is None else [id]), *(key for key in given if key not in crosses)]:
            if key not in columns:
                raise ValueError(
                    f"{self.argument} must have the column {key!r}, which is named "
                    f"{'as id' if key == id else 'in columns'}, got the columns "
                    f"{', '.join(map(repr, columns)) or 'none'}"
                )
        for key in crosses:
            if key in columns:
                raise ValueError(
                    f"columns gives a cross the name {key!r}, which a column of {self.argument} "
                    "has; choose another"
                )
        rules: dict[Hashable, Rule] = {}
        remarks: dict[Hashable, str] = {}
        for key, column in columns.items():
            rule = given.get(key)
            if id is not None and key == id:
                remarks[key] = "left out: it is the id"
            elif key in given and rule is None:
                remarks[key] = "left out, as columns says"
            elif column.missing().all() and (rule is None or not rule.is_settled):
                remarks[key] = "left out: it has not a single value"
            else:
                if rule is None:
                    rule, remarks[key] = _by_type(column, key)
                if rule is not None:
                    rules[key] = rule.settled(column)
        encodings = Encodings(rules | crosses)
        read = encodings.grow(columns, self.argument)
        self._set(encodings, {key: remarks.get(key, "") for key in [*columns, *crosses]})
        return len(next(iter(columns.values())).missing()) if columns else 0, read

    def _set(self, encodings: Encodings, remarks: dict[Hashable, str]) -> None:
        crosses = {one.column for one in encodings.all if isinstance(one.rule, cross)}
        self._encodings = encodings
        self._remarks = remarks  # by column: why it is left out, or how to change what it became
        self.skipped_ = Counter[str]()
        self._known = remarks.keys() - crosses
        self._told = set[Hashable]()  # columns that nobody knew

    def _fitted(self) -> Encodings:
        if not hasattr(self, "_encodings"):
            raise ValueError("the encoder is not fitted yet: call fit first")
        return self._encodings

    # ---- rows ------------------------------------------------------------------------------------

    def _entries(self, given: Any) -> tuple[int, Entries]:
        """The number of rows and their entries."""
        encodings, skipped = self._fitted(), Counter[str]()
        records = self._records(given)
        if records is not None:
            n_rows, entries = len(records), encodings.entries_of_records(records, skipped)
        else:
            columns, n_rows = self._columns(given)
            entries = encodings.entries(encodings.read(columns), skipped)
        if not np.isfinite(entries.value).all():
            raise ValueError(
                f"{self.argument} must hold numbers that fit 32 bits once they are scaled; put "
                "missing values in place of such large ones"
            )
        self.skipped_ = skipped
        return n_rows, entries

    def _records(self, given: Any) -> list[Mapping[Hashable, Any]] | None:
        """The rows as dicts, if they are given so or are so few that it is faster."""
        if isinstance(given, Mapping):
            self._look_at(given)
            return [given]
        if isinstance(given, list):
            for position, record in enumerate(given):
                if not isinstance(record, Mapping):
                    raise TypeError(
                        f"{self.argument} must be a table, a dict or a list of dicts, got "
                        f"{shown(record)} at position {position} of a list; name the values: "
                        "{'country': 'DE', 'age': 31}"
                    )
            self._look_at(dict.fromkeys(key for record in given for key in record))
            return given
        if not hasattr(given, "shape") or given.shape[0] > _SHORT:
            return None
        split = columns_of.split(given)
        if split is None or len(set(split[0])) < len(split[0]):
            return None
        names, parts = split
        self._look_at(dict.fromkeys(names))
        lists = [
            values.tolist() if isinstance(values, np.ndarray) else values
            for values in map(numbering.plain, parts)
        ]
        return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]

    def _columns(self, table: Table) -> tuple[dict[Hashable, Column], int]:
        """The columns of a table by name, and the number of its rows."""
        columns = columns_of.by_name(table, self.argument)
        self._look_at(columns)
        return columns, len(next(iter(columns.values())).missing()) if columns else 0

    def _look_at(self, names: Mapping[Hashable, Any]) -> None:
        """Refuse rows of which no column is known, and tell of columns that are new."""
        new = names.keys() - self._known
        if not new:
            return
        if len(new) == len(names):
            raise ValueError(
                f"{self.argument} must have columns of the fit, "
                f"{', '.join(map(repr, self._known))}, got {', '.join(map(repr, names))}"
            )
        if not new <= self._told:
            self._told |= new
            warn(
                f"{self.argument} has columns that the fit did not know, which make no features: "
                f"{', '.join(repr(name) for name in names if name in new)}; this is said once"
            )

    def _matrix(self, entries: Entries, n_rows: int) -> sp.csr_matrix:
        row, col, value = entries
        sizes = np.bincount(row, minlength=n_rows)
        order = np.argsort(row, kind="stable")  # which merges what the columns give in order
        indptr = np.append(0, np.cumsum(sizes)).astype(np.int32)
        matrix = sp.csr_matrix(
            (value[order], col[order], indptr), shape=(n_rows, len(self._encodings.names))
        )
        matrix.sum_duplicates()
        return matrix

    # ---- what is shown ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        if not hasattr(self, "_encodings"):
            return f"FeatureEncoder({'' if self.columns is None else self.columns})"
        decisions = {str(key): text for key, text in self.decisions_.items()}
        width = max(map(len, decisions), default=0)
        lines = [f"  {name:{width}}  {text}" for name, text in decisions.items()]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        if not hasattr(self, "_encodings"):
            return f"<pre>{escape(repr(self))}</pre>"
        rows = "".join(
            f"<tr><th>{escape(str(key))}</th><td>{escape(text)}</td></tr>"
            for key, text in self.decisions_.items()
        )
        return f"<table><caption>{escape(self._title())}</caption>{rows}</table>"

    def _title(self) -> str:
        n = len(self._encodings.all)
        return f"FeatureEncoder: {len(self._encodings.names)} features of {n} columns"


def _key(column: Hashable) -> Any:
    return to_plain(column, "a column's name")


def _by_type(column: Column, key: Hashable) -> tuple[Rule | None, str]:
    """What becomes of a column for which there is no rule: a rule, or none, and what to say."""

    def instead(rule: str) -> str:
        return f"; to change it, columns={{{key!r}: {rule}}}"

    def left_out(why: str, rule: str) -> tuple[None, str]:
        return None, f"left out: {why}{instead(rule)}"

    one_value = "it has one value throughout, which tells nobody apart"
    complete = not column.missing().any()
    kind = column.kind
    if kind == "other":
        return None, f"left out: no rule reads {column.dtype}; turn it into texts, numbers or lists"
    if kind == "list":
        if are_vectors(column):
            return None, (
                "left out: its lists hold numbers that are no names, as those of vectors; give "
                "each a column of its own to use them"
            )
        return categories(), instead("None")
    if kind == "time" or (kind == "category" and are_dates(column.codes().values)):
        times = moments(column)
        times = times[~np.isnat(times)]
        for of, unit in (("year", "Y"), ("month", "M")):
            if len(np.unique(times.astype(f"datetime64[{unit}]"))) > 1:
                return part(of), instead("part('weekday')")
        return left_out("all dates are of one month", "part('day')")
    if kind in ("boolean", "number"):
        values = finite(column.numbers(), column)
        distinct = np.unique(values[~np.isnan(values)])
        is_set = distinct.any()
        if (len(distinct) == 1 and complete) or (kind == "boolean" and not is_set):
            return left_out(one_value, "categories()")
        if is_set and np.isin(distinct, (0, 1)).all():
            return flag(), instead("None" if kind == "boolean" else "categories()")
        if len(distinct) <= _FEW and (distinct == np.trunc(distinct)).all():
            return categories(), instead("scaled()")
        return bins(10), instead("bins([...])")
    codes, texts = column.codes()
    n, n_present = len(texts), int((codes >= 0).sum())
    if n == 1 and complete:
        return left_out(one_value, "categories()")
    if n > _SAMPLES and n > n_present / 2:
        texts = [text for text in texts[:1000] if isinstance(text, str)]
        for sep in "|;,":
            if sum(sep in text for text in texts) > len(texts) / 2:
                return left_out(f"{n:,} different texts in {n_present:,} rows", f"split({sep!r})")
        return left_out(f"{n:,} different values in {n_present:,} rows", "categories()")
    return categories(), instead("None")
