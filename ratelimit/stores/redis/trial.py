"""Trying on a server what decisions need: scripts, their commands, the round trip, clock and keys alike.

Nothing is left behind: the one key that is written lies under the policy's prefix, and is
deleted by the script that made it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Container
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisError, ResponseError

from ratelimit.finding import Fact, Finding
from ratelimit.stores.redis.hosts.places import Places
from ratelimit.stores.redis.pulse import mark_of, marks_in
from ratelimit.stores.redis.script import SCRIPT
from ratelimit.stores.redis.symptom import explain, is_forbidden, state_of

if TYPE_CHECKING:
    from ratelimit.policy.compiled import RemoteSpec

TRIAL = (files("ratelimit.stores.redis") / "trial.lua").read_bytes()
ROUND_TRIPS = 200
MOST_TIME_NS = 5 * 10**9
"""A slow server is asked fewer times."""
MOST_SKEW_NS = 2 * 10**9
"""A server whose clock is further off turns calendar windows visibly late or early."""

HOSTS_TRIAL = (files("ratelimit.stores.redis.hosts") / "trial.lua").read_bytes()
_DIGEST = hashlib.sha1(TRIAL, usedforsecurity=False).hexdigest()
_SENT = [0, -1, 52, (1 << 52) - 1, 1_700_000_000_000_000]

Timer = Callable[[], int]
"""Nanoseconds: of an era of its own (`timer`), or since the epoch (`wall`)."""


def hosts_key(prefix: str) -> str:
    """Return such a name where the correlation across hosts has its own: in one slot."""
    return Places(prefix).scratch(secrets.token_hex(8))


def scratch_key(prefix: str, slots: Container[int] | None = None) -> str:
    """Return a name under the prefix that nobody else uses, in one of these slots of a cluster."""
    while True:
        key = f"{prefix}:doctor:{secrets.token_hex(8)}"
        if slots is None or key_slot(key.encode()) in slots:
            return key


async def try_script(client: Redis, spec: RemoteSpec, slots: Container[int] | None) -> list[Finding]:
    """Return whether scripts work here, and whether this user may call what they call."""
    key = scratch_key(spec.prefix, slots)
    grant = _grant(spec)
    sent = msgspec.msgpack.encode(_SENT)
    try:
        answer = await _run(client, key, sent)
        back, number, version, refused = msgspec.msgpack.decode(answer)
        if back != _SENT or number != 4_000_000_001:
            return [_broken("numbers come back changed", "This is not Redis' Lua: use Redis or Valkey.")]
    except ResponseError as error:
        return [_refused(error, grant)]
    except (TypeError, ValueError, msgspec.DecodeError):
        return [_broken("the answer cannot be read", "This is not Redis' Lua: use Redis or Valkey.")]
    findings = [Finding("script", "ok", f"EVALSHA with cmsgpack and struct, {version}")]
    try:
        await client.script_load(SCRIPT)  # type: ignore[no-untyped-call,unused-ignore]
    except ResponseError as error:
        if is_forbidden(error):
            findings = [_refused(error, grant)]
        else:
            findings = [_broken(f"the deciding script does not compile: {error}", "Report this, please.")]
    findings.append(_commands("commands", refused, grant))
    return findings


async def try_correlation(client: Redis, spec: RemoteSpec) -> Finding:
    """Return whether this user may call what correlation across hosts does, on its keys."""
    evaluate: Any = client.eval
    try:
        refused = msgspec.msgpack.decode(await evaluate(HOSTS_TRIAL, 1, hosts_key(spec.prefix)))
    except ResponseError as error:
        return replace(_refused(error, _grant(spec)), check="correlation")
    return _commands("correlation", refused, _grant(spec))


def _grant(spec: RemoteSpec) -> str:
    """Return the beginning of what an administrator grants this user: the keys."""
    # Limits', and those of the correlation across hosts, which are of one slot.
    return f"`ACL SETUSER {spec.username or 'default'} ~{spec.prefix}:* ~{{{spec.prefix}}}:*"


async def time_round_trips(client: Redis, timer: Timer, timeout_ns: int) -> Finding:
    """Return how long the server takes to answer: the median and the 99th percentile."""
    took: list[int] = []
    await client.ping()
    begun = timer()
    while len(took) < ROUND_TRIPS and timer() - begun < MOST_TIME_NS:
        before = timer()
        await client.ping()
        took.append(timer() - before)
    took.sort()
    median, late = took[len(took) // 2], took[len(took) * 99 // 100]
    facts = {"median_us": median / 1e3, "p99_us": late / 1e3, "round_trips": len(took)}
    words = f"median {_ms(median)}, 99 % within {_ms(late)}; time-out {_ms(timeout_ns)}"
    if median >= timeout_ns:
        return Finding(
            "round trip",
            "fail",
            f"{words}: decisions would not wait for the answer",
            "Move the server nearer, or raise `timeout` above what 99 % take.",
            facts=facts,
        )
    if late >= timeout_ns or 4 * median >= timeout_ns:
        return Finding(
            "round trip",
            "warn",
            f"{words}: under load, decisions will run out of time",
            "Move the server nearer or find what keeps it busy (`LATENCY DOCTOR`, `SLOWLOG GET`), "
            'raise `timeout`, or use leases: `mode = "leased"`.',
            facts=facts,
        )
    return Finding("round trip", "ok", words, facts=facts)


async def compare_clocks(client: Redis, wall: Timer) -> Finding:
    """Return how far the server's clock, which limits go by, is from this host's."""
    offsets = []
    for _ in range(5):
        before = wall()
        seconds, micros = await client.time()
        after = wall()
        offsets.append((after - before, int(seconds) * 10**9 + int(micros) * 1000 - (before + after) // 2))
    # The quickest answer says the most: it cannot be further off than half of what it took.
    took, offset = min(offsets)
    facts = {"offset_us": offset / 1e3, "uncertainty_us": took / 2e3}
    direction = "ahead of" if offset > 0 else "behind"
    if abs(offset) <= took // 2:
        return Finding("clock", "ok", f"the same as this host's, within {_ms(took // 2)}", facts=facts)
    words = f"{_ms(abs(offset))} {direction} this host's"
    if abs(offset) > MOST_SKEW_NS:
        return Finding(
            "clock",
            "warn",
            f"{words}: calendar windows turn by the server's clock",
            "Synchronise both (NTP).",
            facts=facts,
        )
    return Finding("clock", "ok", words, facts=facts)


async def compare_keys(client: Redis, signs: bytes, key: bytes) -> list[Finding]:
    """Return whether the workers that run now hash identities with this key; nothing if it cannot be seen."""
    try:
        seconds, micros = await client.time()
        answer: Any = client.hgetall(signs.decode())
        marks = marks_in((await answer).values(), int(seconds) * 1_000_000 + int(micros))
    except ResponseError:
        return []
    others = sum(mark != mark_of(key) for mark in marks)
    facts = {"workers": len(marks), "other_keys": others}
    if others:
        return [
            Finding(
                "workers",
                "fail",
                f"{others} of {len(marks)} that run now hash identities with another key: "
                "each caller has its limits once with each key",
                "Give all hosts the same [hashing] key, or deployments of their own different prefixes; "
                "then restart the workers.",
                facts=facts,
            )
        ]
    words = f"{len(marks)} run now, with the same hash key" if marks else "none runs now"
    return [Finding("workers", "ok", words, facts=facts)]


async def _run(client: Redis, key: str, sent: bytes) -> Any:
    """Run the trial as decisions are run: by its digest, with the text only when that is unknown."""
    evalsha: Any = client.evalsha
    evaluate: Any = client.eval
    try:
        return await evalsha(_DIGEST, 1, key, sent)
    except NoScriptError:
        await evaluate(TRIAL, 1, key, sent)
        return await evalsha(_DIGEST, 1, key, sent)


def _commands(check: str, refused: list[str], grant: str) -> Finding:
    if not refused:
        what = "scripts may call all they need" if check == "commands" else "hosts may share what they see"
        return Finding(check, "ok", what)
    names = sorted({line.partition(" ")[0] for line in refused})
    facts: dict[str, Fact] = {"refused": ",".join(names)}
    state = state_of(refused[0])
    if state is not None:
        says, advice = state
        return Finding(check, "fail", says, advice, facts=facts)
    more = f", and of {len(names) - 1} more commands" if len(names) > 1 else ""
    granted = " ".join(f"+{name.lower()}" for name in names)
    return Finding(
        check,
        "fail",
        f"scripts may not do what they need; the server says of {refused[0]}{more}",
        f"As an administrator: {grant} {granted}`; where they were renamed or disabled, enable them.",
        facts=facts,
    )


def _refused(error: RedisError, grant: str) -> Finding:
    words = str(error)
    if "cmsgpack" in words or "struct" in words:
        return _broken(
            f"scripts lack a library: {words}", "It comes with every Redis and Valkey: use one of them."
        )
    if is_forbidden(error):
        return Finding(
            "script",
            "fail",
            f"this user may not run scripts on keys of this prefix: {words}",
            f"As an administrator: {grant} +eval +evalsha +script|load`.",
        )
    says, advice = explain(error)
    return Finding("script", "fail", says, advice)


def _broken(says: str, advice: str) -> Finding:
    return Finding("script", "fail", says, advice)


def _ms(time_ns: int) -> str:
    if time_ns >= 10**9:
        return f"{time_ns / 1e9:.3g} s"
    return f"{time_ns / 1e6:.3g} ms"
