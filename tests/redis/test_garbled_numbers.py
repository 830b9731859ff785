"""Numbers that no server would say, in every reply that is read: refused, and no request raises."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.exceptions import RedisError

from ratelimit.charge import Charge
from ratelimit.decision import Decision, Reason
from ratelimit.errors import StoreError
from ratelimit.finding import Finding
from ratelimit.stores.redis import vitals
from ratelimit.stores.redis.hosts.carrier import Carrier, Failures
from ratelimit.stores.redis.hosts.entries import EntryRefused, Head, Seen, Told
from ratelimit.stores.redis.hosts.places import Places
from ratelimit.stores.redis.hosts.postbox import Postbox
from ratelimit.stores.redis.parcel import Parcel, Question
from ratelimit.stores.redis.reply import read_reply
from tests.cli.running import run
from tests.redis.examining import POLICY as EXAMINED
from tests.support.redis.forger import Forger, bulk
from tests.support.redis.live import Live, LiveLimiter, turns

TEN = 'per = "account"\nrate = "10/day"\nburst = 10'
NOW = 1_700_000_000_000_000
EXTREMES = (
    0,
    1,
    -1,
    2,
    9,
    10,
    11,
    255,
    10**6,
    10**6 + 1,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**53 + 1,
    2**62,
    2**63 - 1,
    -(2**31),
    -(2**53),
    -(2**63),
    NOW,
    -NOW,
    NOW * 1000,
    2**63,
    2**64 - 1,
)


def simple(*numbers: object) -> bytes:
    """Return a script's answer as it is on the wire: a list of numbers, or of whatever is given."""
    parts = [each if isinstance(each, bytes) else b":%d\r\n" % each for each in numbers]  # type: ignore[str-bytes-safe]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


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
        pulse = limiter.store.pulse
        pulse.made = 7
        pulse.pause(0)
        with pytest.raises(Exception):  # noqa: B017, PT011  # of any kind; the beat goes on
            await pulse.beat(limiter.courier)
        assert pulse.made >= 7  # reported with the next
        assert 0 < pulse.share <= 1
        assert 0 <= pulse.workers <= 1_000_000
        limiter.hush()
        forger.answer = b"$-1\r\n"
        answers = [(await limiter.ask()).allowed for _ in range(15)]
        assert 1 <= answers.count(True) <= 11
        # A sign that makes sense is taken again.
        forger.answer, forger.sign = None, simple(4, 250_000, 0)
        await limiter.connected()
        pulse.pause(0)
        await pulse.beat(limiter.courier)
        assert (pulse.workers, pulse.share) == (4, pytest.approx(0.25))
        await limiter.aclose()


async def test_garbled_sign_of_another_worker_is_thrown_out(server: Any, open_limiter: LiveLimiter) -> None:
    """Hazard: a weight below nothing made this worker's share more than all."""
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
    pulse = limiter.store.pulse
    pulse.pause(0)
    await pulse.beat(limiter.courier)
    assert (pulse.workers, pulse.share) == (1, pytest.approx(1.0))
    assert server.client.hlen("ratelimit:workers") == 1


# -- decisions and leases ---------------------------------------------------------------------------

RULES = {
    "bucket": TEN,
    "fixed": 'per = "account"\nrate = "10/day"\nalgorithm = "fixed-window"',
    "sliding": 'per = "account"\nrate = "10/day"\nalgorithm = "sliding-window"',
    "log": 'per = "account"\nrate = "10/day"\nalgorithm = "sliding-log"',
    "slots": 'per = "account"\nconcurrent = 5',
    "distinct": 'per = "account"\nrate = "5/day"\ndistinct = "ip"',
    "calendar": 'per = "account"\nrate = "10/day"\nalgorithm = "fixed-window"\ncalendar = true',
}


def odd_number(rng: random.Random) -> object:
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(EXTREMES)
    if kind < 0.8:
        return rng.randint(-(2 ** rng.randint(1, 63)), 2 ** rng.randint(1, 63))
    return rng.choice((None, True, "x", 0.5, float("nan"), float("inf"), b"x", [], {}, -0.0))


def answer_of(rng: random.Random, sound: list[int]) -> bytes:
    """Return a sound answer with some numbers replaced, added or lost."""
    numbers: list[object] = list(sound)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(numbers) + 1)
        if at == len(numbers) or rng.random() < 0.1:
            numbers.insert(at, odd_number(rng))
        elif rng.random() < 0.1:
            del numbers[at]
        else:
            numbers[at] = odd_number(rng)
    packed = msgspec.msgpack.encode(numbers)
    if rng.random() < 0.1:
        at = rng.randrange(len(packed) + 1)
        packed = packed[:at] + rng.randbytes(rng.randint(0, 3)) + packed[at:]
    return packed


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


def asked(limiter: Live) -> tuple[Any, Any, Parcel]:
    """Return the plan of a question, what is to hold the answer, and the parcel that asks it."""
    generation = limiter.current
    row = generation.extractor.from_values({"account": "a", "ip": "i"}, None)
    plan = generation.match("GET", "/").plan_for(row)
    assert plan is not None
    parcel, remote = Parcel(), plan.plan
    base = parcel.base_of(remote)
    outcome = remote.rules.ask(row, plan.costs, True, base, parcel.keys, parcel.items, remote)
    parcel.entries.append(Question(remote, outcome, True, asyncio.get_running_loop().create_future()))
    return plan, outcome, parcel


def delivered(parcel: Parcel, answer: bytes) -> bool:
    """Have a parcel take an answer; return whether it made sense. Whatever it raises, lanes make a fault of it."""
    try:
        parcel.deliver(answer)
    except (MemoryError, RecursionError, SystemError):
        raise
    except Exception:
        parcel.fail(StoreError("garbled", code="redis-answer"))
        for entry in parcel.entries:
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
    plan, outcome, parcel = asked(limiter)
    if not delivered(parcel, answer_of(rng, sound)):
        return False
    verdicts = Decision(outcome.allowed, Reason.LIMITS, Charge(plan, outcome, limiter.clock)).verdicts
    for verdict in verdicts:
        assert 0 <= verdict.remaining <= verdict.quota
        assert 0 <= verdict.reset_after_ns < 1 << 63
        assert verdict.retry_after_ns is None or 0 <= verdict.retry_after_ns < 1 << 63
    return True


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


# -- what a server says of itself -------------------------------------------------------------------

INFO: dict[str, Any] = {
    "redis_version": "7.2.4",
    "role": "master",
    "connected_slaves": 1,
    "min_slaves_good_slaves": 1,
    "maxmemory": 100,
    "used_memory": 5,
    "maxmemory_policy": "noeviction",
    "evicted_keys": 0,
    "aof_enabled": 0,
    "rdb_last_save_time": 5,
    "rdb_last_bgsave_status": "ok",
    "connected_clients": 5,
    "maxclients": 100,
    "cluster_enabled": 0,
    "server_name": "valkey",
    "valkey_version": "8.0.0",
}
TOLD: tuple[Any, ...] = (
    *EXTREMES,
    1.5,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "nan",
    "-1",
    "9" * 5000,
    "\x1b[2J",
    "٣",
    None,
    True,
    [],
    {},
    {"x": 1},
    b"5",
    "1 2",
    "1" * 21,
    "0x10",
    "1e3",
)


def test_made_up_vitals_are_a_finding(faults: int) -> None:
    rng = random.Random(13)
    asked: list[Callable[[Any], Finding | None]] = [
        vitals.software,
        vitals.memory,
        vitals.role,
        vitals.clients,
        lambda info: vitals.persistence(info, {"save": rng.choice(TOLD)}, rng.choice((0, 10**18))),
        lambda info: vitals.replication(info, {"min-replicas-to-write": rng.choice(TOLD)}, fails_over=True),
        lambda info: vitals.replication(info, None, fails_over=False),
    ]
    for _ in range(faults):
        info = {
            key: rng.choice(TOLD) if rng.random() < 0.4 else value
            for key, value in INFO.items()
            if rng.random() < 0.9
        }
        for ask in asked:
            found = ask(info)
            assert found is None or found.says


@pytest.mark.parametrize("seed", range(4))
async def test_doctor_shows_made_up_answers_in_visible_lines(tmp_path: Path, seed: int, faults: int) -> None:
    rng = random.Random(seed)
    pieces = (
        b"+OK\r\n",
        b":1\r\n",
        b":-1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"-ERR \x1b[2J\x9b\r\n",
        b"+PONG\r\n",
        b"$4\r\n\x1b[2J\r\n",
        b"*2\r\n:%d\r\n$1\r\nx\r\n" % 2**70,
        b"*2\r\n$3\r\nnan\r\n$3\r\ninf\r\n",
        b"-NOSCRIPT x\r\n",
        b"*2\r\n*3\r\n:0\r\n:99999999999\r\n*2\r\n$1\r\nx\r\n:1\r\n:5\r\n",
        b"-READONLY x\r\n",
        b"-MOVED 1 x:1\r\n",
        bulk([NOW, 1]),
        bulk([]),
    )

    def other(words: list[bytes]) -> bytes | None:
        if words[0] in (b"HELLO", b"CLIENT", b"SELECT", b"AUTH", b"COMMAND") and rng.random() < 0.9:
            return b"+OK\r\n"
        if words[0] == b"PING" and rng.random() < 0.9:
            return b"+PONG\r\n"
        if words[0] == b"INFO" and rng.random() < 0.7:
            info = {
                key: rng.choice(TOLD[:-8]) if rng.random() < 0.3 else value for key, value in INFO.items()
            }
            text = "\r\n".join(
                f"{key}:{str(value)[:60] if not isinstance(value, int) else 7}" for key, value in info.items()
            )
            raw = text.encode()
            return b"$%d\r\n%b\r\n" % (len(raw), raw)
        return rng.choice(pieces)

    async with Forger() as forger:
        forger.other = other
        for _ in range(max(3, faults // 130)):
            path = tmp_path / "policy.toml"
            url = (
                forger.url if rng.random() < 0.7 else forger.url.replace("redis://", "redis+cluster://")[:-2]
            )
            path.write_text(EXAMINED.format(url=url, more="", rate="5/day", folder=tmp_path))
            result = await asyncio.to_thread(run, "doctor", path, *(["--json"] if rng.random() < 0.5 else []))
            assert result.exit_code in (0, 1), result.output
            assert isinstance(result.exception, SystemExit | None), result.exception
            assert not {"\x1b", "\x9b", "\x00"} & set(result.stdout + result.stderr)
            if result.stdout.startswith("{"):
                json.loads(result.stdout)


# -- hosts ------------------------------------------------------------------------------------------


def test_made_up_entries_of_other_hosts_are_read_or_refused(faults: int) -> None:
    rng = random.Random(14)
    sound = [
        Told(7, 5, 3, 9, 0, (1, 2, 3), b"x" * 32).packed(),  # type: ignore[arg-type]
        Head(7, 5, 1, 2, 100, b"d" * 16, 3, b"5-1").packed(),
    ]
    for _ in range(faults * 5):
        entry = bytearray(rng.choice(sound))
        for _ in range(rng.randint(0, 4)):
            if entry:
                entry[rng.randrange(len(entry))] = rng.randrange(256)
        raw = bytes(entry[: rng.randint(0, len(entry))]) if rng.random() < 0.4 else bytes(entry)
        for read in (Told.read, Head.read, Seen.read):
            try:
                read(raw, 7)
            except EntryRefused:
                continue


class Server:
    """A client whose server answers with whatever it pleases."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def _any(self, depth: int = 0) -> Any:
        rng = self._rng
        if depth < 3 and rng.random() < 0.5:
            return [self._any(depth + 1) for _ in range(rng.randint(0, 4))]
        return rng.choice(
            (*EXTREMES, None, b"", b"x", b"5-1", b"0-0", {b"e": b"x"}, {b"e": 5}, [], "text", 0.5)
        )

    async def execute_command(self, *words: Any) -> Any:
        found = self._any()
        if isinstance(found, Exception):
            raise found
        return found

    evalsha = eval = script_load = execute_command

    async def aclose(self) -> None: ...


async def test_made_up_replies_to_the_correlation_end_no_turn_and_no_thread(faults: int) -> None:
    rng = random.Random(15)
    box = Postbox(is_candidate=True)
    carrier = Carrier(lambda: Server(rng), Places("ratelimit"), box, mark=7, key=b"0" * 16)
    for _ in range(faults):
        carrier._lease_due_s = carrier._table_due_s = 0.0
        try:
            await carrier.turn()
        except Failures:
            continue
        assert box.term < 1 << 53
        box.news.clear()
        box.incoming.clear()
    await turns()
    await carrier.close()
