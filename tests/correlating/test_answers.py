"""How long answers are, from whoever settles them to whoever correlates."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.core.bundle import Bundle, sightings_in, unpack
from ratelimit.core.watch import Answer, Watch
from ratelimit.correlation import Correlator
from ratelimit.identity.fact import ABSENT
from tests.asgi.driver import Client, ok
from tests.support.acting import NS, START_NS
from tests.support.boards import COLUMNS, WIDTH, board, correlator, row
from tests.support.campaign import policy_text
from tests.support.rule import EPOCH

SECOND = 10**9
TOKENS = (
    '\n[[limit]]\nname = "tokens"\nper = "account"\nunit = "tokens"\nrate = "100000/hour"\nestimate = 5\n'
)


def length_of(one: Correlator, account: int = 1) -> float | None:
    """Return how long an account's answers are said to be."""
    key = COLUMNS.key_of(row(account))
    assert key is not None
    why = one.explain(key)
    return None if why is None else why.answer_length


def test_what_is_told_is_what_the_judge_hears() -> None:
    ring_board = board()
    watch, subject = Watch(ring_board, COLUMNS, WIDTH - 1, "tokens"), correlator()
    assert watch.observe(row(1), False, EPOCH)
    answer = watch.answer(row(1))
    assert answer is not None
    assert [answer.tell({"tokens": length}, EPOCH) for length in (10, 200, 1000)] == [True] * 3
    assert not answer.tell({"tokens": 1000}, EPOCH), "no news"
    assert not answer.tell({"requests": 7}, EPOCH)
    assert watch.ring.drain(subject.core, 100, EPOCH) == 4
    assert length_of(subject) == pytest.approx(1000, rel=0.05)


def test_answer_that_found_the_ring_full_is_told_the_next_time() -> None:
    watch, subject = Watch(board(sightings=16), COLUMNS, WIDTH - 1, "tokens"), correlator()
    answer = watch.answer(row(1))
    assert answer is not None
    for _ in range(16):
        watch.observe(row(1), False, EPOCH)
    assert not answer.tell({"tokens": 300}, EPOCH)
    watch.ring.drain(subject.core, 100, EPOCH)
    assert answer.tell({"tokens": 300}, EPOCH)
    watch.ring.drain(subject.core, 100, EPOCH)
    assert length_of(subject) == pytest.approx(300, rel=0.05)


@pytest.mark.parametrize("unit", [None, "tokens"])
def test_nothing_is_told_where_nobody_asks_or_of_nobody(unit: str | None) -> None:
    watch = Watch(board(), COLUMNS, WIDTH - 1, unit)
    assert watch.unit == unit
    assert watch.answer([ABSENT] * WIDTH) is None
    assert (watch.answer(row(1)) is None) == (unit is None)


def test_closed_board_hears_of_no_answer() -> None:
    shared = board()
    answer = Watch(shared, COLUMNS, WIDTH - 1, "tokens").answer(row(1))
    assert answer is not None
    shared.close()
    assert not answer.tell({"tokens": 3}, EPOCH)


def test_an_answer_is_of_a_request_of_this_process() -> None:
    answer = Watch(board(), COLUMNS, WIDTH - 1, "tokens").answer(row(1))
    with pytest.raises(TypeError):
        pickle.dumps(answer)
    with pytest.raises(TypeError):
        Answer()
    with pytest.raises(TypeError):
        Answer.__new__(Answer).tell({"tokens": 1}, EPOCH)


def test_answers_travel_with_sightings() -> None:
    watch, bundle = Watch(board(sightings=64), COLUMNS, WIDTH - 1, "tokens"), Bundle(16)
    for account in (1, 2):
        watch.observe(row(account), False, EPOCH)
        answer = watch.answer(row(account))
        assert answer is not None
        for length in (20, 400 * account):
            answer.tell({"tokens": length}, EPOCH)
    assert bundle.drain(watch.ring, 100, EPOCH) == 6
    assert (bundle.held, bundle.sightings) == (6, 6)
    records = bundle.pack()
    assert sightings_in(records) == 6
    there = correlator()
    assert unpack(records, there.core, EPOCH // SECOND) == 6
    assert [length_of(there, account) for account in (1, 2)] == [
        pytest.approx(400 * account, rel=0.05) for account in (1, 2)
    ]


def test_bundle_of_answers_alone_is_worth_sending() -> None:
    watch, bundle = Watch(board(), COLUMNS, WIDTH - 1, "tokens"), Bundle(4)
    answer = watch.answer(row(1))
    assert answer is not None
    answer.tell({"tokens": 20}, EPOCH)
    assert bundle.drain(watch.ring, 100, EPOCH) == 1
    assert sightings_in(bundle.pack()) == 1


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    """Answer, and settle twice as a stream does."""
    scope["ratelimit"].settle(tokens=30)
    scope["ratelimit"].settle(tokens=700)
    await ok(scope, receive, send)


def told(limiter: Limiter) -> float | None:
    """Return how long answers to the only account are known to be."""
    correlating = limiter.correlating
    assert correlating is not None
    while correlating.tick(limiter.now_ns()):
        pass
    tenure = correlating._tenure
    assert tenure is not None
    assert tenure.correlator is not None
    one = tenure.correlator
    (key,) = [key for key in [limiter.current.extractor.value_hash("account", "a")] if one.core.knows(key)]
    why = one.explain(key)
    return None if why is None else why.answer_length


@pytest.mark.parametrize("way", ["gate", "with care", "limiter"])
@pytest.mark.parametrize("says_length", [True, False])
async def test_settled_length_reaches_the_correlator(way: str, says_length: bool) -> None:
    text = policy_text()
    if says_length:
        text = text.replace("[correlation]\n", '[correlation]\nlength = "tokens"\n')
    text = text.replace("[correlation]", TOKENS + "\n[correlation]", 1)
    if way == "with care":
        text = text.replace('from = "header:x-payment"', 'from = ["state:payment", "header:x-payment"]')
    clock = ManualClock(START_NS)
    limiter = Limiter(Policy.from_toml(text), clock=clock)
    if way == "limiter":
        decision = limiter.decide(
            path="/v1/x", client="192.0.2.1", headers={"x-api-key": "a"}, now_ns=START_NS
        )
        decision.settle(tokens=30)
        decision.settle(tokens=700)
    else:
        client = Client(RateLimitMiddleware(streaming, limiter=limiter, reload_interval_s=0))
        answer = await client("GET", "/v1/x", [(b"x-api-key", b"a")], peer="192.0.2.1")
        assert answer.status == 200
    clock.set_ns(START_NS + NS)
    assert told(limiter) == (pytest.approx(700, rel=0.05) if says_length else None)
    limiter.close()
