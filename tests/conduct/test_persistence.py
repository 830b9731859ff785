"""Calls through refusals are a strike where they come faster than callers make that wait as they are told."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from heapq import heappop, heappush
from itertools import repeat
from math import ceil
from random import Random

import pytest

from ratelimit.conduct.model.persistence import LONGEST_S, Persistence

SECOND = 10**9
TEN_MINUTES_S = 600.0
Caller = Generator[float, float | None, None]
"""Yields how long it waits before it calls again; is sent what it was told, None where it was let in."""


class Bucket:
    """A token bucket of so many a minute."""

    def __init__(self, a_minute: int, burst: int | None = None) -> None:
        self._each_s, self._burst, self._full_at = 60 / a_minute, burst or a_minute, 0.0

    def room_after_s(self, at: float) -> float:
        """Take a token; return 0, or when there is one."""
        self._full_at = max(self._full_at, at)
        late_s = self._full_at - at - (self._burst - 1) * self._each_s
        if late_s > 1e-9:
            return late_s
        self._full_at += self._each_s
        return 0.0


class Window:
    """A fixed window of a minute."""

    def __init__(self, a_minute: int) -> None:
        self._left, self._minute, self._of = a_minute, -1, a_minute

    def room_after_s(self, at: float) -> float:
        """Take a place; return 0, or when the window ends."""
        minute = int(at // 60)
        if minute != self._minute:
            self._minute, self._left = minute, self._of
        self._left -= 1
        return 0.0 if self._left >= 0 else (minute + 1) * 60.0 - at


class Played:
    """Clients of one account before a limit, for ten minutes or less."""

    def __init__(self, limit: Bucket | Window, callers: list[Caller], for_s: float = TEN_MINUTES_S) -> None:
        self.served, self.refused, self.strikes, self.told_s = 0, 0, list[float](), list[int]()
        known, first = Persistence(), None
        waiting = [(next(caller), number, caller) for number, caller in enumerate(callers)]
        waiting.sort()
        while waiting:
            at, number, caller = heappop(waiting)
            if at > for_s:
                break
            room_s, told_s = limit.room_after_s(at), None
            if room_s:
                first = at if first is None else first
                known, told_ns, is_strike = known.refuse(int(at * SECOND), int(room_s * SECOND))
                told_s = max(1, ceil(told_ns / SECOND))
                self.told_s.append(told_s)
                self.refused += 1
                if is_strike:
                    self.strikes.append(at - first)
            else:
                self.served += 1
            heappush(waiting, (at + caller.send(told_s), number, caller))


def loop(a_second: float, random: Random | None = None) -> Caller:
    """Call on and on, whatever is answered; at random instants if there is something to draw them from."""
    while True:
        yield 1 / a_second if random is None else random.expovariate(a_second)


def obedient(begins_s: float, retries: int | None = None, pause_s: float = 0.0) -> Caller:
    """Wait as told, and a fifth of a second after an answer; after some retries pause, and begin again."""
    told_s, tried = (yield begins_s), 0
    while True:
        gives_up = told_s is None or tried == retries
        if gives_up:
            tried = 0
            told_s = yield 0.2 + (pause_s if told_s is not None else 0.0)
        else:
            tried += 1
            told_s = yield float(told_s or 0.0)


LIMITS: dict[str, Callable[[int], Bucket | Window]] = {"bucket": Bucket, "window": Window}


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("a_minute", [20, 60, 600])
@pytest.mark.parametrize(("loops", "a_second"), [(1, 20), (50, 20), (1, 100)])
def test_scraper_is_struck_within_a_minute_whatever_the_limit(
    kind: str, a_minute: int, loops: int, a_second: int
):
    """Hazard: twenty calls a second were never struck where `Retry-After` was three seconds or less."""
    random = Random(a_minute + loops)
    callers = [loop(a_second / loops, random if loops > 1 else None) for _ in range(loops)]
    played = Played(LIMITS[kind](a_minute), callers, 240)
    assert played.strikes
    assert played.strikes[0] <= 60
    assert len(played.strikes) >= 3  # and goes on being struck


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("a_minute", [1, 10, 20, 60, 600])
@pytest.mark.parametrize("loops", [1, 3])
def test_loop_of_a_call_a_second_is_no_strike_and_is_told_no_longer_wait(
    kind: str, a_minute: int, loops: int
):
    """Hazard: a naive client lost nine tenths of its limit."""
    limit = LIMITS[kind](a_minute)
    played = Played(limit, [loop(1.0) for _ in range(loops)])
    assert not played.strikes
    assert all(told_s <= 60 for told_s in played.told_s)
    assert played.served >= min(a_minute * 10, 600 * loops)


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("a_minute", [10, 600])
@pytest.mark.parametrize("callers", [10, 50, 200])
@pytest.mark.parametrize(
    ("retries", "pause_s"), [(None, 0.0), (2, 0.0), (2, 4.0)], ids=["obeys", "sdk", "tenacity"]
)
def test_fleet_that_waits_as_told_is_no_strike_and_is_served_in_full(
    kind: str, a_minute: int, callers: int, retries: int | None, pause_s: float
):
    random = Random(callers)
    fleet = [obedient(2 * random.random(), retries, pause_s * random.random()) for _ in range(callers)]
    played = Played(LIMITS[kind](a_minute), fleet)
    assert not played.strikes
    assert played.served >= 0.95 * a_minute * 10


def strikes(calls: list[float], room_after_s: float) -> int:
    """Refuse every call of a list of instants in seconds; return how many strikes come of it."""
    known, count = Persistence(), 0
    for at in sorted(calls):
        known, _, struck = known.refuse(int(at * SECOND), int(room_after_s * SECOND))
        count += struck
    return count


def retried(random: Random, at: float, told_s: float, retries: int) -> Iterator[float]:
    """One request of a client as OpenAI's and Anthropic's: it waits as told, if that is at most a minute,
    else half a second doubled up to eight, less up to a quarter of jitter; it gives up after `retries`."""
    yield at
    for number in range(retries):
        backoff_s = min(0.5 * 2**number, 8.0) * (1 - 0.25 * random.random())
        at += told_s if told_s <= 60 else backoff_s
        yield at


@pytest.mark.parametrize("together", [1, 8, 64, 500])
@pytest.mark.parametrize("told_s", [1.0, 7.0, 60.0, 600.0])
@pytest.mark.parametrize("retries", [2, 6])
def test_batch_with_ordinary_retries_is_no_strike(together: int, told_s: float, retries: int):
    """Requests at once, each retried as its client does, once in ten minutes."""
    random = Random(together)
    calls = [
        call
        for batch in range(6)
        for _ in range(together)
        for call in retried(random, batch * 600.0 + random.random() * 0.5, told_s, retries)
    ]
    assert strikes(calls, told_s) == 0


def test_crowd_after_a_single_refusal_is_no_strike():
    """A request is refused, and a minute later five hundred at once, each tried thrice."""
    random = Random(1)
    crowd = [call for _ in range(500) for call in retried(random, 60.0, 3600.0, 2)]
    assert strikes([0.0, *crowd], 3600.0) == 0


def test_wait_that_is_told_grows_with_refusals_and_is_never_more_than_a_client_obeys():
    random = Random(5)
    played = Played(Bucket(600), [obedient(2 * random.random()) for _ in range(200)])
    assert 32 <= max(played.told_s) <= LONGEST_S
    assert played.told_s[0] == 1


def test_single_refusals_are_told_when_there_is_room():
    known = Persistence()
    for minute, room_s in enumerate((0.25, 6.0, 50.0, 7000.0)):
        known, told_ns, _ = known.refuse(minute * 60 * SECOND, int(room_s * SECOND))
        assert told_ns == room_s * SECOND


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_clock_that_jumps_begins_anew(jump_s: int):
    known = Persistence()
    for call in range(100):
        known, _, _ = known.refuse((10_000 + call // 20) * SECOND, SECOND)
    known, told_ns, struck = known.refuse((10_005 + jump_s) * SECOND, SECOND)
    assert (known.refused, told_ns, struck) == (1, SECOND, False)


def test_rounds_of_any_state_are_survived():
    """What is in shared memory may be anything."""
    random = Random(3)
    for _ in range(2_000):
        known = Persistence(*(random.choice((0, 1, random.getrandbits(32), 2**32 - 1)) for _ in range(8)))
        for now_ns in (0, 5 * SECOND, random.getrandbits(62)):
            known, told_ns, _ = known.refuse(now_ns, SECOND)
            assert told_ns >= SECOND
            assert known.refused <= 2**32


def test_calls_without_end_are_one_round_after_another():
    assert strikes(list(repeat(5.0, 10_000)), 1.0) == 0  # all at one instant: a batch
