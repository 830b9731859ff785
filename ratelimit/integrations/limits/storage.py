"""The two storages that `limits` finds by their schemes; all they do is in `memory`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import limits.aio.storage
import limits.storage
from limits.errors import StorageError
from limits.storage.base import TimestampedSlidingWindow

from ratelimit.errors import RateLimitError
from ratelimit.integrations.limits.location import Location
from ratelimit.integrations.limits.memory import SharedWindows
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import enter_windows

P = ParamSpec("P")
R = TypeVar("R")


class _Windowed(TimestampedSlidingWindow):
    """The common part of both storages: the windows, and how they are opened.

    `TimestampedSlidingWindow` tells `limits` that sliding windows begin at multiples of their length.
    """

    windows: SharedWindows

    @property
    def storage(self) -> SharedWindows:
        """The counter; every storage of `limits` has it by this name, and `flask limiter config` shows it."""
        return self.windows

    @property
    def base_exceptions(self) -> type[Exception]:
        """The errors for memory that cannot be used, or a number out of range."""
        return RateLimitError


def _open(url: str | None, options: dict[str, Any]) -> SharedWindows:
    if url is None:
        url = "kinlimit+shared://"
    location = Location.parse(url, options)
    wanted = partial(
        EmbeddedStore.shared,
        f"limits:{location.name}",
        path=location.path,
        keys=location.keys,
        block_bytes=location.block_bytes,
    )
    try:
        windows = SharedWindows(wanted)
    except RateLimitError as error:
        raise StorageError(error) from error
    enter_windows(windows)
    return windows


def _ask(
    method: Callable[Concatenate[SharedWindows, P], R],
) -> Callable[Concatenate[_Windowed, P], R]:
    @wraps(method)
    def answer(self: _Windowed, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.windows, *args, **kwargs)

    return answer


def _await(
    method: Callable[Concatenate[SharedWindows, P], R],
) -> Callable[Concatenate[_Windowed, P], Coroutine[Any, Any, R]]:
    @wraps(method)
    async def answer(self: _Windowed, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.windows, *args, **kwargs)  # memory: nothing to wait for

    return answer


class SharedStorage(
    _Windowed,
    limits.storage.Storage,
    limits.storage.MovingWindowSupport,
    limits.storage.SlidingWindowCounterSupport,
):
    """`kinlimit+shared://NAME`: counts in memory that all processes of this host share.

    Args:
        uri: see `Location.parse`.
        wrap_exceptions: whether errors of a call are raised as `limits.errors.StorageError`.
        options: what could also stand in the URL.

    Raises:
        ConfigurationError: of `limits`; the URL says something that there is not.
        StorageError: of `limits`; the memory cannot be had.
    """

    STORAGE_SCHEME = ["kinlimit+shared"]  # noqa: RUF012  # as `limits` declares it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.windows = _open(uri, options)

    incr = _ask(SharedWindows.incr)
    get = _ask(SharedWindows.get)
    get_expiry = _ask(SharedWindows.get_expiry)
    check = _ask(SharedWindows.check)
    reset = _ask(SharedWindows.reset)
    clear = _ask(SharedWindows.clear)
    acquire_entry = _ask(SharedWindows.acquire_entry)
    get_moving_window = _ask(SharedWindows.get_moving_window)
    acquire_sliding_window_entry = _ask(SharedWindows.acquire_sliding_window_entry)
    get_sliding_window = _ask(SharedWindows.get_sliding_window)
    clear_sliding_window = _ask(SharedWindows.clear_sliding_window)


class AsyncSharedStorage(
    _Windowed,
    limits.aio.storage.Storage,
    limits.aio.storage.MovingWindowSupport,
    limits.aio.storage.SlidingWindowCounterSupport,
):
    """`async+kinlimit+shared://NAME`: the same memory for `limits.aio`."""

    STORAGE_SCHEME = ["async+kinlimit+shared"]  # noqa: RUF012  # as `limits` declares it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.windows = _open(uri, options)

    incr = _await(SharedWindows.incr)
    get = _await(SharedWindows.get)
    get_expiry = _await(SharedWindows.get_expiry)
    check = _await(SharedWindows.check)
    reset = _await(SharedWindows.reset)
    clear = _await(SharedWindows.clear)
    acquire_entry = _await(SharedWindows.acquire_entry)
    get_moving_window = _await(SharedWindows.get_moving_window)
    acquire_sliding_window_entry = _await(SharedWindows.acquire_sliding_window_entry)
    get_sliding_window = _await(SharedWindows.get_sliding_window)
    clear_sliding_window = _await(SharedWindows.clear_sliding_window)
