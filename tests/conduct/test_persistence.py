"""The ordinary retries of well-kept clients are no strike; hammering is."""

from __future__ import annotations

from random import Random

import pytest

from ratelimit.conduct.model.persistence import Persistence

SECOND = 10**9
HOUR_S = 3600.0


def strikes(calls: list[float], retry_after_s: float) -> int:
    """Refuse every call of a list of instants in seconds; return how many strikes come of it."""
    known, count = Persistence(), 0
    for at in sorted(calls):
        known, struck = known.refuse(int(at * SECOND), int(retry_after_s * SECOND))
        count += struck
    return count


def obedient(random: Random, at: float, retry_after_s: float, retries: int) -> list[float]:
    """One request of a client as OpenAI's and Anthropic's: it waits as told, if that is at most a minute,
    else half a second doubled up to eight, less up to a quarter of jitter; it gives up after `retries`."""
    calls = [at]
    for number in range(retries):
        told = retry_after_s if 0 < retry_after_s <= 60 else min(0.5 * 2**number, 8.0)
        at += told * (1.0 if told == retry_after_s else 1 - 0.25 * random.random())
        calls.append(at)
    return calls


@pytest.mark.parametrize("together", [1, 8, 64, 500])
@pytest.mark.parametrize("retry_after_s", [1.0, 7.0, 60.0, 600.0])
@pytest.mark.parametrize("retries", [2, 6])
def test_ordinary_retries_are_no_strike(together: int, retry_after_s: float, retries: int):
    """A batch of requests at once, each retried as its client does, once in ten minutes."""
    random = Random(together)
    calls = [
        call
        for batch in range(6)
        for _ in range(together)
        for call in obedient(random, batch * 600.0 + random.random() * 0.5, retry_after_s, retries)
    ]
    assert strikes(calls, retry_after_s) == 0


def test_crowd_after_a_single_refusal_is_no_strike():
    """A request is refused, and a minute later five hundred at once, each tried thrice."""
    random = Random(1)
    crowd = [call for _ in range(500) for call in obedient(random, 60.0, 3600.0, 2)]
    assert strikes([0.0, *crowd], 3600.0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_client_that_waits_as_told_for_an_hour_is_no_strike(seed: int):
    random = Random(seed)
    calls, at = [], 0.0
    while at < HOUR_S:
        calls.append(at)
        at += 10.0 * (1 + 0.25 * random.random())
    assert strikes(calls, 10.0) == 0


@pytest.mark.parametrize("rate", [0.5, 2.0, 10.0, 100.0])
def test_hammering_is_a_strike(rate: float):
    calls = [number / rate for number in range(int(rate * 600))]
    assert strikes(calls, 10.0) >= 1


def test_clock_that_jumps_back_begins_a_new_window():
    known, _ = Persistence().refuse(1_000 * SECOND, SECOND)
    known, struck = known.refuse(0, SECOND)
    assert (known.refused, struck) == (1, False)
