"""The commands that this library calls on a server, and all of them that a user may not call.

Tried and not looked up: few users may read their own rights. What scripts call is tried in a
script, where permissions and available commands can differ; one by one where scripts are refused.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Container, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoScriptError, ResponseError

from ratelimit.environment.finding import Fact, Finding
from ratelimit.stores.redis.decision.script import SCRIPT
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.transport.connect import CLIENT_NAME
from ratelimit.stores.redis.transport.symptom import explain, is_about_keys, is_forbidden, state_of

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

TRIAL = (files("ratelimit.stores.redis.doctor") / "trial.lua").read_bytes()
_DIGEST = hashlib.sha1(TRIAL, usedforsecurity=False).hexdigest()
_SENT = [0, -1, 52, (1 << 52) - 1, 1_700_000_000_000_000]
_UNPACKED = 4_000_000_001
_ALONE = (
    ("CLIENT SETNAME", CLIENT_NAME),
    ("EVALSHA", "0" * 40, 0),
    ("EVAL", "return 1", 0),
    ("SCRIPT LOAD", SCRIPT),
)
_OTHER_LUA = "This is not Redis' Lua: use Redis or Valkey."

Commands = Sequence[Sequence[str]]
"""Each a list of words; `@` stands for a key that nothing else uses."""
Refusal = Sequence[str]
"""A command, and what the server says of it."""


def _read(text: str) -> Commands:
    return [line.split() for line in text.strip().splitlines()]


DECIDING = _read("""
TIME
SET @ x PX 5000
GET @
MGET @
PEXPIRE @ 5000
DEL @
SETRANGE @ 0 x
SETBIT @ 1 1
GETBIT @ 1
GETRANGE @ 0 7
PEXPIRE @ 5000
DEL @
HSET @ field 1
PEXPIRE @ 5000
HGET @ field
HMGET @ field
HGETALL @
HINCRBY @ field 1
HDEL @ field
DEL @
ZADD @ 1 member
PEXPIRE @ 5000
ZCARD @
ZREM @ member
ZREMRANGEBYSCORE @ -inf 1
DEL @
""")
"""What deciding calls, in scripts."""
CORRELATING = _read("""
TIME
SET @ x PX 5000
GET @
PTTL @
PEXPIRE @ 5000
DEL @
HSET @ 0 x
PEXPIRE @ 5000
HGET @ 0
DEL @
XADD @ MAXLEN ~ 10 * e x
PEXPIRE @ 5000
XRANGE @ (0-0 + COUNT 1
DEL @
""")
"""What correlation across hosts calls, by scripts and without: a user that may in a script may alone."""
ACTING = _read("""
TIME
RPUSH @ x
PEXPIRE @ 5000
LRANGE @ -1 -1
DEL @
HSET @ host x
PEXPIRE @ 5000
HGETALL @
HDEL @ host
DEL @
""")
"""What the operator's acts call, by scripts and without."""
STRIKING = _read("""
INCR @
GET @
PEXPIRE @ 5000
DEL @
HSET @ account x
PEXPIRE @ 5000
HGET @ account
HDEL @ account
DEL @
ZADD @ 1 account
PEXPIRE @ 5000
ZCARD @
ZRANGE @ 0 0
ZRANGEBYSCORE @ (0 +inf LIMIT 0 1
ZREMRANGEBYRANK @ 0 0
DEL @
""")
"""What the script calls that tells all hosts what strikes on one."""


RECORDING = _read("""
INCR @
GET @
PEXPIRE @ 5000
DEL @
HSET @ payer x
PEXPIRE @ 5000
HGET @ payer
HDEL @ payer
DEL @
ZADD @ 1 payer
PEXPIRE @ 5000
ZCARD @
ZRANGE @ 0 0
ZRANGEBYSCORE @ (0 +inf LIMIT 0 1
ZREM @ payer
DEL @
""")
"""What the script calls that gives all hosts the same records of payers."""


JOURNALLING = _read("""
HSET @ epoch x
PEXPIRE @ 5000
HGET @ epoch
HINCRBY @ number 1
DEL @
ZADD @ 1 line
PEXPIRE @ 5000
ZCARD @
ZSCORE @ line
ZRANGEBYSCORE @ (0 +inf LIMIT 0 1
ZREMRANGEBYRANK @ 0 0
DEL @
""")
"""What the script calls that gives all hosts the same journal."""


def hosts_key(prefix: str) -> str:
    """Return a name that nothing else uses, where the correlation across hosts has its own: in one slot."""
    return Places(prefix).scratch(secrets.token_hex(8))


def scratch_key(prefix: str, slots: Container[int] | None = None) -> str:
    """Return a name under the prefix that nothing else uses, in one of these slots of a cluster."""
    while True:
        key = f"{prefix}:doctor:{secrets.token_hex(8)}"
        if slots is None or key_slot(key.encode()) in slots:
            return key


async def try_script(client: Redis, spec: RemoteSpec, slots: Container[int] | None) -> list[Finding]:
    """Return whether scripts work here, and whether this user may call what they call."""
    try:
        version, refused = await _try_all(client, scratch_key(spec.prefix, slots), DECIDING)
        unable = await _try_rest(client)
    except ResponseError as error:
        return [_broken(error)]
    except (TypeError, ValueError, msgspec.DecodeError):
        return [Finding("script", "fail", "the answer cannot be read", _OTHER_LUA)]
    except _Changed:
        return [Finding("script", "fail", "numbers come back changed", _OTHER_LUA)]
    advice = _advice(spec, [*unable, *refused], DECIDING)
    able = f"EVALSHA with cmsgpack and struct, {version}" if version else "this user may run them"
    return [
        _permitted("script", able, unable, spec, advice),
        _permitted("commands", "scripts may call all they need", refused, spec, advice),
    ]


async def try_correlation(client: Redis, spec: RemoteSpec) -> Finding:
    """Return whether this user may call what correlation across hosts does, on its keys."""
    try:
        _, refused = await _try_all(client, hosts_key(spec.prefix), CORRELATING)
    except ResponseError as error:
        return replace(_broken(error), check="correlation")
    advice = _advice(spec, refused, CORRELATING)
    return _permitted("correlation", "hosts may share what they see", refused, spec, advice, braces=True)


async def try_acts(client: Redis, spec: RemoteSpec) -> Finding:
    """Return whether this user may make the calls of acts, strikes, records and the journal."""
    commands = [*ACTING, *STRIKING, *RECORDING, *JOURNALLING]
    try:
        _, refused = await _try_all(client, hosts_key(spec.prefix), commands)
    except ResponseError as error:
        return replace(_broken(error), check="acts", status="warn")
    advice = _advice(spec, refused, commands)
    good = "operators' acts, strikes, records of payers and the journal reach all hosts"
    found = _permitted("acts", good, refused, spec, advice, braces=True)
    if found.status == "ok":
        return found
    return replace(
        found,
        status="warn",
        says=f"acts, strikes, records and the journal do not reach all hosts: {found.says}",
    )


class _Changed(Exception):
    """The answer differs from the value that was sent."""


async def _try_all(client: Redis, key: str, commands: Commands) -> tuple[str, list[Refusal]]:
    """Return the version of Lua, empty where scripts are refused, and which commands are."""
    try:
        answer = await _run(client, key, commands)
    except ResponseError as error:
        if not is_forbidden(error):
            raise
        return "", await _try_alone(client, key, commands)
    back, number, version, refused = msgspec.msgpack.decode(answer)
    if back != _SENT or number != _UNPACKED:
        raise _Changed
    return version, _meant(refused)


async def _run(client: Redis, key: str, commands: Commands) -> Any:
    """Run the trial as decisions are run: by its digest, with the text only when that is unknown."""
    evalsha: Any = client.evalsha
    evaluate: Any = client.eval
    words = (1, key, msgspec.msgpack.encode(_SENT), msgspec.msgpack.encode(commands))
    try:
        return await evalsha(_DIGEST, *words)
    except NoScriptError:
        await evaluate(TRIAL, *words)
        return await evalsha(_DIGEST, *words)


async def _try_alone(client: Redis, key: str, commands: Commands) -> list[Refusal]:
    refused = []
    for words in commands:
        try:
            await client.execute_command(*(key if word == "@" else word for word in words))  # type: ignore[no-untyped-call]
        except ResponseError as error:
            refused.append((words[0], str(error)))
    return _meant(refused)


async def _try_rest(client: Redis) -> list[Refusal]:
    """Return what is refused of what connecting and running scripts takes.

    Raises:
        redis.exceptions.ResponseError: it cannot be done for another reason.
    """
    refused: list[Refusal] = []
    for words in _ALONE:
        try:
            await client.execute_command(*words)  # type: ignore[no-untyped-call]
        except NoScriptError:
            pass  # it may be asked for
        except ResponseError as error:
            if not is_forbidden(error):
                raise
            refused.append((str(words[0]), str(error)))
    return refused


def _meant(refused: Sequence[Refusal]) -> list[Refusal]:
    """Return the refusals that are not for what an earlier one left behind."""
    return [each for each in refused if not each[1].startswith("WRONGTYPE")]


def _advice(spec: RemoteSpec, refused: Sequence[Refusal], commands: Commands) -> str:
    """Return what an administrator grants: commands, and keys unless they are known to be granted."""
    names = {name for name, words in refused if not is_about_keys(words)}
    by_key = {words[0] for words in commands if "@" in words}
    granted = [f"+{name.lower().replace(' ', '|')}" for name in sorted(names)]
    if by_key <= {name for name, _ in refused} or any(is_about_keys(words) for _, words in refused):
        # Limits', and those of the correlation across hosts, which are of one slot. Not for a user that
        # has them: a server refuses further patterns for a user with all keys.
        granted = [f"~{spec.prefix}:*", f"~{{{spec.prefix}}}:*", *granted]
    return (
        f"As an administrator: `ACL SETUSER {spec.username or 'default'} {' '.join(granted)}`; "
        "if they were renamed or disabled, enable them."
    )


def _permitted(
    check: str, good: str, refused: Sequence[Refusal], spec: RemoteSpec, advice: str, *, braces: bool = False
) -> Finding:
    if not refused:
        return Finding(check, "ok", good)
    names = sorted({name for name, words in refused if not is_about_keys(words)})
    facts: dict[str, Fact] = {"refused": ",".join(names)}
    name, words = refused[0]
    state = state_of(words)
    if state is not None:
        return Finding(check, "fail", *state, facts=facts)
    missing = [f"call {', '.join(names)}"] if names else []
    if len(names) < len({name for name, _ in refused}):
        keys = f"{{{spec.prefix}}}:*" if braces else f"{spec.prefix}:*"
        missing.append(f"use keys `{keys}`")
        facts["keys"] = keys
    return Finding(
        check,
        "fail",
        f"this user may not {' nor '.join(missing)}; the server says of {name}: {words}",
        advice,
        facts=facts,
    )


def _broken(error: ResponseError) -> Finding:
    words = str(error)
    if "cmsgpack" in words or "struct" in words:
        says = f"scripts lack a library: {words}"
        advice = "It comes with every Redis and Valkey: use one of them."
    elif "compil" in words.lower():
        says, advice = f"the deciding script does not compile: {words}", "Report this, please."
    else:
        says, advice = explain(error)
    return Finding("script", "fail", says, advice)
