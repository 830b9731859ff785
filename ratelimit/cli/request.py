"""One request as a person writes it.

    METHOD PATH [NAME=VALUE]...

    POST /v1/chat ip=203.0.113.9 header:x-api-key=abc output_tokens=500

Names: `ip`, `user_agent`, `time`; `header:NAME`, `cookie:NAME`, `state:NAME`; an identity of
the policy; a unit of the policy; where the policy asks for them `created`, when the account was, and
`paid`, the dollars that its payer has paid.
Values with blanks are quoted as in a shell. Or one JSON object, as in a line of a trace.
"""

from __future__ import annotations

import itertools
import re
import shlex
from typing import Any

import msgspec

from ratelimit.cli.failure import INPUT, Failure
from ratelimit.cli.terminal import note
from ratelimit.environment.spelling import nearest
from ratelimit.facts.sources import given_words, source_of
from ratelimit.lab.records import Fields, carried
from ratelimit.parsing.json import read_json
from ratelimit.policy.compile.compiled import CompiledPolicy

_SIMPLE = ("ip", "user_agent", "time")
_HASH = re.compile("[0-9a-f]{8}(?:[0-9a-f]{8})?")


def parse_request(text: str, fields: Fields, policy: CompiledPolicy, now_s: float) -> Any:
    """Return the record that a text describes; its time is `now_s` unless it says another.

    Raises:
        Failure: it describes none.
    """
    text = text.strip()
    members = _of_json(text) if text.startswith("{") else _of_words(text, policy)
    members.setdefault("time", now_s)
    members.setdefault("method", "GET")
    try:
        return msgspec.convert(members, fields.type)
    except msgspec.ValidationError as error:
        raise Failure(f"the request cannot be read: {error}", INPUT) from error


def _of_json(text: str) -> dict[str, Any]:
    try:
        members = read_json(text)
    except ValueError as error:
        raise Failure(f"the request is not JSON: {error}", INPUT) from error
    if not isinstance(members, dict):
        raise Failure("the request is JSON but no object", INPUT)
    return members


def _of_words(text: str, policy: CompiledPolicy) -> dict[str, Any]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Failure(f"the request cannot be read: {error}", INPUT, hint="Is a quote left open?") from error
    members: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    if words and "=" not in words[0] and not words[0].startswith("/"):
        members["method"] = words.pop(0).upper()
    if not words or not words[0].startswith("/"):
        raise Failure(
            "a request is METHOD /path and its facts",
            INPUT,
            hint='For example: "POST /v1/chat ip=203.0.113.9 header:x-api-key=abc"',
        )
    members["path"] = words.pop(0)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Failure(f"{word!r} is not NAME=VALUE", INPUT, hint=_quoting(words, word))
        _put(name, value, members, headers, policy)
    if headers:
        members["headers"] = headers
    return members


def _quoting(words: list[str], stray: str) -> str:
    """Return how a value is written that has blanks, where the word before may go on; else nothing."""
    at = words.index(stray)
    if at == 0:
        return ""
    parts = [words[at - 1]]
    parts += itertools.takewhile(lambda word: "=" not in word, words[at:])
    return f"A value with blanks stands in quotes: {shlex.quote(' '.join(parts))}"


def _put(
    name: str, value: str, members: dict[str, Any], headers: dict[str, Any], policy: CompiledPolicy
) -> None:
    identities = carried(policy)
    source, written = source_of(name) or (None, "")
    if source is None or not source.is_given or name in identities:
        source = None
    if source is not None and source.reading == "line":
        headers[source.argument_of(written)] = value
    elif source is not None and source.reading == "cookie":
        earlier = f"{headers['cookie']}; " if "cookie" in headers else ""
        headers["cookie"] = f"{earlier}{written}={value}"
    elif source is not None:
        in_trace = {at: number.member or "" for at, number in policy.numbers.items()}
        named = [
            in_trace.get(spec.index, spec.name)
            for spec in policy.identities
            if any((each.record, each.name) == (source, source.argument_of(written)) for each in spec.sources)
        ]
        if not named:
            raise Failure(f"no identity of this policy comes from {name}", INPUT)
        members.update(dict.fromkeys(named, value))
    elif name in policy.units[1:]:
        if not value.isdecimal():
            raise Failure(f"{name} is a number of units, not {value!r}", INPUT)
        members[name] = int(value)
    elif name == "time":
        try:
            members[name] = float(value)
        except ValueError:
            members[name] = value
    elif name in _SIMPLE or name in identities:
        _check_value(name, value)
        members[name] = value
    elif member := next(
        (fact.member for fact in policy.facts.values() if name in (fact.key, fact.member)), ""
    ):
        members[member] = value
    else:
        raise Failure(
            f"{name!r} is not an identity or a unit of this policy", INPUT, hint=_proposed(name, policy)
        )


def _check_value(name: str, value: str) -> None:
    """Warn of a hash in the place of a value: a request has the value, and no hash is turned back into it."""
    if value.startswith("hash:"):
        hint = "`ratelimit who` takes the hashes that screens show."
        raise Failure(f"a request has a value for {name}, and {value} is a hash", INPUT, hint=hint)
    if _HASH.fullmatch(value) and not value.isdecimal():
        note(
            f"{name}={value} looks like a hash that a screen shows. A request has the value itself; "
            f"`ratelimit who` takes hashes."
        )


def _proposed(name: str, policy: CompiledPolicy) -> str:
    """Return the name that was meant, or all there are."""
    numbers = [fact.key for fact in policy.facts.values()]
    known = list(dict.fromkeys([*_SIMPLE, *carried(policy), *numbers, *policy.units[1:]]))
    written = {word: word for word in known}
    for source in (source for spec in policy.identities for source in spec.sources):
        if source.record.is_given:
            short = source.record.implied and source.kind
            written.setdefault(short or source.name, f"{short or f'{source.kind}:{source.name}'}=")
    near = nearest(name.lower(), written)
    if near is not None:
        return f"Did you mean `{written[near]}`?"
    return f"It can be {', '.join(known)}, {given_words()}."
