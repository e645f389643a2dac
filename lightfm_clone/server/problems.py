"""What is said to who asked for something that cannot be had."""

from __future__ import annotations

from typing import Any


class Problem(Exception):
    """An answer of 4xx or 5xx: why, and what may be sent along with it."""

    def __init__(
        self, status: int, message: str, headers: dict[str, str] | None = None, **further: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.content = {"error": message, **further}
