"""The strategies of `limits`, sync and async, as one table asks them."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

import limits.aio.strategies
import limits.strategies

STRATEGIES = ("fixed-window", "moving-window", "sliding-window-counter")


def limiter_of(storage: Any, strategy: str) -> Any:
    """Return the limiter of a strategy over a storage of either kind."""
    module = limits.aio.strategies if isinstance(storage, limits.aio.storage.Storage) else limits.strategies
    return module.STRATEGIES[strategy](storage)


async def answer(value: Any | Awaitable[Any]) -> Any:
    """Return what a call of either kind answers."""
    return await value if isawaitable(value) else value
