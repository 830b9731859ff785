"""A storage as `limits` asks it, by its own strategies, in virtual time; both storages, one table."""

from __future__ import annotations

from typing import Any

import limits
import pytest
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from ratelimit.clock import ManualClock
from ratelimit.integrations.limits import AsyncSharedStorage, Location, SharedStorage
from ratelimit.integrations.limits.memory import SharedWindows
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.limits_storage.strategies import STRATEGIES, answer, limiter_of

START_S = 1_700_000_040
"""A multiple of a minute."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S * 1_000_000_000)


@pytest.fixture(params=["kinlimit+shared", "async+kinlimit+shared"])
def storage(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Any) -> Any:
    """Return a storage as its URL makes it, counting in a private memory with a clock that tests move."""
    made: Any = storage_from_string(f"{request.param}://{tmp_path / 'table'}?megabytes=2")
    made.windows.close()
    made.windows = SharedWindows(lambda: EmbeddedStore.private(block_bytes=4 << 20, clock=clock))
    yield made
    made.windows.close()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("rate", ["1/second", "10/minute", "1000/minute", "5000/hour"])
async def test_strategy_gives_what_the_rate_says(
    storage: Any, clock: ManualClock, strategy: str, rate: str
) -> None:
    limiter, item = limiter_of(storage, strategy), limits.parse(rate)
    clock.set_ns(START_S // item.get_expiry() * item.get_expiry() * 1_000_000_000)
    given = [await answer(limiter.hit(item, "client")) for _ in range(item.amount + 3)]
    assert given == [True] * item.amount + [False] * 3
    assert await answer(limiter.test(item, "client")) is False
    assert (await answer(limiter.get_window_stats(item, "client"))).remaining == 0
    assert await answer(limiter.hit(item, "another")) is True
    clock.advance(2 * item.get_expiry())
    assert (await answer(limiter.get_window_stats(item, "client"))).remaining == item.amount
    assert await answer(limiter.hit(item, "client", cost=item.amount)) is True


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_cleared_client_begins_afresh(storage: Any, strategy: str) -> None:
    limiter, item = limiter_of(storage, strategy), limits.parse("2/minute")
    assert await answer(limiter.hit(item, "client", cost=2))
    assert not await answer(limiter.hit(item, "client"))
    await answer(limiter.clear(item, "client"))
    assert await answer(limiter.hit(item, "client", cost=2))


async def test_windows_tell_when_they_reset(storage: Any, clock: ManualClock) -> None:
    item = limits.parse("3/minute")
    clock.advance(10)
    resets = {}
    for strategy in ("fixed-window", "moving-window"):
        limiter = limiter_of(storage, strategy)
        await answer(limiter.hit(item, strategy))
        resets[strategy] = (await answer(limiter.get_window_stats(item, strategy))).reset_time
    # Both begin with their first charge; sliding windows begin with the minute.
    assert resets == {"fixed-window": START_S + 70, "moving-window": START_S + 70}
    await answer(storage.acquire_sliding_window_entry("k", 3, 60))
    assert await answer(storage.get_sliding_window("k", 60)) == (0, 0.0, 1, 110.0)
    clock.advance(60)
    assert await answer(storage.get_sliding_window("k", 60)) == (1, 50.0, 0, 110.0)


async def test_fraction_of_a_unit_counts_as_a_whole_one(storage: Any) -> None:
    item = limits.parse("50/minute")
    for strategy in STRATEGIES:
        limiter = limiter_of(storage, strategy)
        given = [await answer(limiter.hit(item, strategy, cost=7.5)) for _ in range(7)]
        assert given == [True] * 6 + [False], strategy


async def test_reset_forgets_and_counts(storage: Any) -> None:
    item = limits.parse("5/minute")
    for number in range(10):
        await answer(storage.incr(item.key_for(str(number)), 60))
    assert await answer(storage.reset()) == 10
    assert await answer(storage.get(item.key_for("1"))) == 0
    assert await answer(storage.check()) is True


@pytest.mark.parametrize("wraps", [False, True])
async def test_number_that_no_window_holds_is_an_error_of_the_storage(storage: Any, wraps: bool) -> None:
    storage.wrap_exceptions = wraps
    with pytest.raises(StorageError if wraps else storage.base_exceptions):
        await answer(storage.incr("key", 60, amount=-1))


def test_two_storages_of_one_name_count_together(tmp_path: Any) -> None:
    url = f"kinlimit+shared://{tmp_path / 'table'}?megabytes=2"
    first, second = storage_from_string(url), storage_from_string("async+" + url)
    assert isinstance(first, SharedStorage)
    assert isinstance(second, AsyncSharedStorage)
    first.incr("key", 60)
    assert second.windows.get("key") == 1
    second.windows.close()
    first.windows.close()


URLS = [
    ("kinlimit+shared://orders", Location("orders")),
    ("async+kinlimit+shared://orders/?megabytes=64", Location("orders", None, 64)),
    ("kinlimit+shared:///run/my%20api/limits", Location("/run/my api/limits", "/run/my api/limits")),
]


@pytest.mark.parametrize(("url", "location"), URLS)
def test_url_says_where_the_memory_is(url: str, location: Location) -> None:
    assert Location.parse(url) == location


WRONG = [
    ("kinlimit+shared://", "no name that the workers could meet under"),
    ("kinlimit+shared:///", "no name that the workers could meet under"),
    ("kinlimit+shared://name/path", "three slashes"),
    ("kinlimit+shared://name?megabyte=3", "no option 'megabyte'; there is one: megabytes"),
    ("kinlimit+shared://name?megabytes=1", "from 2 to 128"),
    ("kinlimit+shared://name?megabytes=lots", "from 2 to 128"),
]


@pytest.mark.parametrize(("url", "says"), WRONG)
def test_url_that_says_nothing_is_refused_with_what_to_write(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        storage_from_string(url)


def test_memory_that_cannot_be_had_is_a_storage_error(tmp_path: Any) -> None:
    with pytest.raises(StorageError):
        storage_from_string(f"kinlimit+shared://{tmp_path / 'no' / 'folder'}")
