"""Results by argument, bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MOST_REMEMBERED = 200_000


class Memo(dict[Any, Any]):
    """Results by argument; emptied when full, so that a trace cannot fill memory."""

    def __init__(self, function: Callable[[Any], Any], most: int = MOST_REMEMBERED) -> None:
        super().__init__()
        self._function = function
        self._most = most

    def __missing__(self, key: Any) -> Any:
        value = self._function(key)
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value
