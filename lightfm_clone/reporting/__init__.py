"""A page about a recommender: one HTML file that needs nothing else."""

from __future__ import annotations

from lightfm_clone.reporting.page import report

__all__ = ["report"]
