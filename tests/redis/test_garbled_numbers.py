"""Numbers that no server would say, in every reply that is read: refused, and no request raises."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import Any

import msgspec
import pytest
from redis import Redis
from redis.exceptions import RedisError

from ratelimit.algorithms import LEASED
from ratelimit.deciding.charge import Charge
from ratelimit.decision import Decision, Reason
from ratelimit.errors import StoreError
from ratelimit.stores.redis.transport.batch import Question, SlotBatch
from ratelimit.stores.redis.transport.resp import read_reply
from tests.support.redis.forger import Forger
from tests.support.redis.leasing import START, Worker
from tests.support.redis.live import Live, LiveLimiter
from tests.support.redis.nonsense import EXTREMES, NOW, answer_of, simple
from tests.support.redis.server import Server
from tests.support.rule import SECOND, RuleSpec

TEN = 'per = "account"\nrate = "10/day"\nburst = 10'

# -- signs of life ----------------------------------------------------------------------------------

SIGNS = [
    simple(1, 2_000_000, 0),
    simple(1, 1_000_001, 0),
    simple(1, -1, 0),
    simple(0, 1_000_000, 0),
    simple(-1, 1_000_000, 0),
    simple(-(10**9), 1, 0),
    simple(10**30, 1_000_000, 0),
    simple(2**63, 2**63, 2**63),
    simple(1, 10**400, 0),
    simple(1, b"$3\r\nnan\r\n", 0),
    simple(1, b"$3\r\ninf\r\n", 0),
    simple(1, b"$7\r\n1000000\r\n", 0),
    simple(b"$1\r\n1\r\n", 1_000_000, 0),
    simple(b"$-1\r\n", b"$-1\r\n", b"$-1\r\n"),
    simple(b"*0\r\n", b"*0\r\n", b"*0\r\n"),
    simple(1, 1_000_000, -1),
    simple(1, 1_000_000, b"$1\r\nx\r\n"),
    simple(1, 1_000_000),
    simple(1, 1_000_000, 0, 0),
    simple(),
    b"*-1\r\n",
    b"$-1\r\n",
    b":1\r\n",
    b"+OK\r\n",
    b"$3\r\nabc\r\n",
    b"-ERR no\r\n",
]


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: repr(sign)[:40])
async def test_garbled_share_makes_no_request_raise(open_limiter: LiveLimiter, sign: bytes) -> None:
    """Hazard: a share above one made each decision in the next outage raise."""
    async with Forger() as forger:
        limiter = open_limiter(forger.url, TEN, timeout="300ms")
        await limiter.look()
        await limiter.connected()
        limiter.hush()
        forger.sign = sign
        fair_share = limiter.store.fair_share
        fair_share.pause(0)
        with pytest.raises(Exception):  # noqa: B017, PT011  # of any kind; the beat goes on
            await fair_share.beat(limiter.batch_client)
        assert 0 < fair_share.share <= 1
        assert 0 <= fair_share.workers <= 1_000_000
        limiter.hush()
        forger.answer = b"$-1\r\n"
        answers = [(await limiter.ask()).allowed for _ in range(15)]
        assert 1 <= answers.count(True) <= 11
        # A sign that makes sense is taken again.
        forger.answer, forger.sign = None, simple(4, 2, 0)
        await limiter.connected()
        fair_share.pause(0)
        await fair_share.beat(limiter.batch_client)
        assert (fair_share.workers, fair_share.hosts, fair_share.share) == (4, 2, 0.5)
        await limiter.aclose()


async def test_garbled_sign_of_another_worker_is_thrown_out(
    server: Server, open_limiter: LiveLimiter
) -> None:
    """Hazard: a sign that no worker gave counts as one more host."""
    limiter = open_limiter(server.url, TEN)
    await limiter.look()
    await limiter.connected()
    limiter.hush()
    seconds, micros = server.client.time()
    now = int(seconds) * 10**6 + int(micros)
    nan, inf = float("nan"), float("inf")
    garbled = [
        b"",
        b"x",
        b"y" * 15,
        *(
            struct.pack("<dd", seen, weight)
            for seen, weight in (
                (now, -1e9),
                (now, nan),
                (nan, 1.0),
                (now, inf),
                (now, -inf),
                (-inf, 1.0),
                (now, 1e300),
            )
        ),
    ]
    for number, sign in enumerate(garbled):
        server.client.hset("ratelimit:workers", str(1000 + number), sign)
    fair_share = limiter.store.fair_share
    fair_share.pause(0)
    await fair_share.beat(limiter.batch_client)
    assert (fair_share.workers, fair_share.hosts, fair_share.share) == (1, 1, 1.0)
    assert server.client.hlen("ratelimit:workers") == 1


# -- decisions and leases ---------------------------------------------------------------------------

RULES = {
    "bucket": TEN,
    "fixed": 'per = "account"\nrate = "10/year"\nalgorithm = "fixed-window"',
    "sliding": 'per = "account"\nrate = "10/day"\nalgorithm = "sliding-window"',
    "log": 'per = "account"\nrate = "10/day"\nalgorithm = "sliding-log"',
    "slots": 'per = "account"\nconcurrent = 5',
    "distinct": 'per = "account"\nrate = "5/day"\nunit = "distinct:ip"',
    "calendar": 'per = "account"\nrate = "10/day"\nalgorithm = "calendar"\n',
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_made_up_answers_are_a_decision_within_its_limit_or_none(
    open_limiter: LiveLimiter, rule: str, mode: str, faults: int
) -> None:
    rng = random.Random(f"{rule}{mode}")
    async with Forger() as forger:
        limiter = open_limiter(forger.url, RULES[rule], mode=mode, timeout="300ms")
        await limiter.look()
        limiter.hush()
        taken, sound = 0, sound_answer(limiter)
        for _ in range(faults):
            taken += decided(limiter, rng, sound)
        # What was left of all that does not keep it from deciding.
        assert 0 < taken < faults
        assert (await limiter.look()).verdicts
        await limiter.aclose()


def asked(limiter: Live) -> tuple[Any, Any, SlotBatch]:
    """Return the plan of a question, what is to hold the answer, and the slot batch that asks it."""
    bound = limiter.current
    row = bound.extractor.from_values({"account": "a", "ip": "i"}, None)
    plan = bound.match("GET", "/").plan_for(row)
    assert plan is not None
    slot_batch, remote = SlotBatch(), plan.away
    base = slot_batch.base_of(remote)
    outcome = remote.rules.ask(row, plan.costs, True, base, slot_batch.keys, slot_batch.items, remote)
    slot_batch.entries.append(Question(remote, outcome, True, asyncio.get_running_loop().create_future()))
    return plan, outcome, slot_batch


def delivered(slot_batch: SlotBatch, answer: bytes) -> bool:
    """Have a slot batch take an answer; return whether it made sense. Pipelines make its errors faults."""
    try:
        slot_batch.deliver(answer)
    except (MemoryError, RecursionError, SystemError):
        raise
    except Exception:
        slot_batch.fail(StoreError("garbled", code="redis-answer"))
        for entry in slot_batch.entries:
            entry.future.exception()  # type: ignore[union-attr]
        return False
    return True


def sound_answer(limiter: Live) -> list[int]:
    """Return the plainest answer that makes sense for these limits."""
    for size in range(1, 9):
        numbers = [NOW, 1, *[0] * size]
        if delivered(asked(limiter)[2], msgspec.msgpack.encode(numbers)):
            return numbers
    raise AssertionError


def decided(limiter: Live, rng: random.Random, sound: list[int]) -> bool:
    """Give a question a made-up answer; return whether it was taken for one, and see that it reads as one."""
    plan, outcome, slot_batch = asked(limiter)
    if not delivered(slot_batch, answer_of(rng, sound)):
        return False
    verdicts = Decision(outcome.allowed, Reason.LIMITS, Charge(plan, outcome, limiter.clock)).verdicts
    for verdict in verdicts:
        assert 0 <= verdict.remaining <= verdict.quota
        assert 0 <= verdict.reset_after_ns < 1 << 63
        assert verdict.retry_after_ns is None or 0 <= verdict.retry_after_ns < 1 << 63
    return True


@pytest.mark.parametrize("algorithm", sorted(LEASED))
def test_made_up_leases_let_no_more_through_than_the_limit_holds(
    server: Server, algorithm: str, faults: int
) -> None:
    """Hazard: a lease of 2^63 units is a limit that never refuses."""
    rng = random.Random(algorithm)
    spec = RuleSpec(algorithm, 100, SECOND * 60, 100 if algorithm == "token-bucket" else None)
    client = Redis.from_url(server.url)
    worker, now_ns = Worker(client, spec, 1, horizon_ns=5 * SECOND), START
    refused = 0
    for _ in range(faults // 2):
        now_ns += SECOND * rng.randint(0, 30)
        for _ in range(rng.randint(1, 30)):
            worker.ask(now_ns)
        for key in worker.leases.take_due():
            keys: dict[bytes, int] = {}
            items: list[int] = []
            rules, _ = worker.leases.question(key, False, now_ns, lambda _: 0, keys, items, 4) or (None, None)
            assert rules is not None
            said = rules.ledger.send(keys, items, now_ns)
            try:
                made_up = msgspec.msgpack.decode(answer_of(rng, list(said)), type=list[int])
                worker.leases.answer(key, made_up, 1, now_ns)
            except (ValueError, TypeError, IndexError, OverflowError, msgspec.MsgspecError):
                worker.leases.failed(key)
                refused += 1
        taken = 0
        while (found := worker.rules.take([7], now_ns, [1])) is not None and found.allowed and taken <= 300:
            taken += 1
        assert taken <= 200  # what was held, and one grant more
    assert refused
    client.close()


async def test_made_up_answers_on_the_wire_make_no_request_raise(
    open_limiter: LiveLimiter, faults: int
) -> None:
    rng = random.Random(11)
    async with Forger() as forger:
        limiter = open_limiter(forger.url, TEN, RULES["slots"], mode="leased", timeout="300ms")
        await limiter.ask()
        for _ in range(max(10, faults // 40)):
            text = answer_of(rng, [NOW, 1, 0, 0, 1, 0, 0])
            forger.answer = rng.choice(
                (b"$%d\r\n%b\r\n" % (len(text), text), simple(*rng.choices(EXTREMES, k=3)), text)
            )
            for _ in range(3):
                found = await limiter.ask()
                assert all(verdict.remaining >= 0 for verdict in found.verdicts)
                found.release()
            forger.answer = None
            await limiter.connected()
        await limiter.aclose()


def test_made_up_replies_are_read_or_refused(faults: int) -> None:
    rng = random.Random(12)
    pieces = [
        b"*",
        b"$",
        b":",
        b"+",
        b"-",
        b"\r\n",
        b"1",
        b"-1",
        b"0",
        b"9" * 30,
        b"9" * 5000,
        b"abc",
        b"\x00",
        b"*1\r\n",
        b"$3\r\nabc\r\n",
        b":5\r\n",
        b"-ERR x\r\n",
        b"-LOADING x\r\n",
        b"_\r\n",
        b",nan\r\n",
        b"#t\r\n",
        b"%1\r\n",
        b"nan",
    ]
    for _ in range(faults * 5):
        text = b"".join(rng.choices(pieces, k=rng.randint(0, 8)))
        try:
            found = read_reply(text)
        except RedisError:
            continue
        assert found is None or 0 < found[1] <= len(text)
