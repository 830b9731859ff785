"""The HTTP port of the reference service: `/json` decides a call in JSON, `/healthcheck` says OK."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

from ratelimit.asgi.pages import Page, Pages
from ratelimit.parsing.json import JsonError, JsonReader
from ratelimit.serving.descriptors import DescriptorError
from ratelimit.serving.domains.model import UNITS
from ratelimit.serving.domains.service import Call, Descriptor, Reply

_UNITS = {number: name for name, number in UNITS.items()}
_CODES = {1: "OK", 2: "OVER_LIMIT"}
_CALL: JsonReader[dict[str, Any]] = JsonReader(dict[str, Any])


def pages_of(decide: Callable[[Call], Awaitable[Reply]], is_healthy: Callable[[], bool]) -> Pages:
    """Return the two pages.

    Args:
        decide: decides a call.
        is_healthy: says whether the process can take calls.
    """

    async def called(body: bytes) -> Page:
        try:
            reply = await decide(call_of(body))
        except DescriptorError as error:
            return Page(400, b"text/plain", f"{error}\n".encode("utf-8", "replace"))
        return Page(200 if reply.allowed else 429, b"application/json", json.dumps(told(reply)).encode())

    async def health(_body: bytes) -> Page:
        return Page(200, b"text/plain", b"OK") if is_healthy() else Page(500, b"text/plain", b"")

    return Pages({"/json": called, "/healthcheck": health})


def call_of(body: bytes) -> Call:
    """Return the call of a `RateLimitRequest` in JSON, with names of either spelling.

    Raises:
        DescriptorError: it is none; the message says where.
    """
    try:
        tree = _CALL.read(body)
    except (JsonError, UnicodeDecodeError) as error:
        raise DescriptorError(f"the body is no RateLimitRequest in JSON: {error}") from None
    members = _members(tree, ("domain", "descriptors", "hits_addend"), "the call")
    descriptors = [_descriptor(each) for each in _list(members.get("descriptors"), "descriptors")]
    return Call(_text(members.get("domain"), "domain"), _number(members.get("hits_addend"), 32), descriptors)


def _descriptor(tree: Any) -> Descriptor:
    members = _members(tree, ("entries", "limit", "hits_addend"), "a descriptor")
    entries = []
    for each in _list(members.get("entries"), "entries"):
        entry = _members(each, ("key", "value"), "an entry")
        entries.append((_text(entry.get("key"), "key"), _text(entry.get("value"), "value")))
    limit = members.get("limit")
    if limit is not None:
        inner = _members(limit, ("requests_per_unit", "unit"), "a limit")
        limit = _number(inner.get("requests_per_unit"), 32), _unit(inner.get("unit"))
    hits = members.get("hits_addend")
    return Descriptor(entries, limit, None if hits is None else _number(hits, 64))


def _members(tree: Any, known: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise DescriptorError(f"{what} is an object")
    members: dict[str, Any] = {}
    for name, value in tree.items():
        written = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
        if written not in known or written in members:
            raise DescriptorError(f"{what} has one each of {', '.join(known)}, and no {name[:40]!r}")
        members[written] = value
    return members


def _list(value: Any, what: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise DescriptorError(f"{what} is a list")
    return value or []


def _text(value: Any, what: str) -> str:
    if value is not None and not isinstance(value, str):
        raise DescriptorError(f"{what} is a text")
    return value or ""


def _number(value: Any, bits: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**bits:
        raise DescriptorError(f"a number is whole, from 0 to {2**bits - 1}")
    return value


def _unit(value: Any) -> int:
    if isinstance(value, str):
        return UNITS.get(value, 0)
    return _number(value, 31)


def told(reply: Reply) -> dict[str, Any]:
    """Return a reply as protobuf's JSON has it: members with their default are left out."""
    found: dict[str, Any] = {"overallCode": _CODES[1 if reply.allowed else 2]}
    found["statuses"] = [_status(status) for status in reply.statuses]
    if reply.headers:
        found["responseHeadersToAdd"] = [
            {"key": name.decode("latin-1"), "value": value.decode("latin-1")} for name, value in reply.headers
        ]
    if reply.body:
        found["rawBody"] = b64encode(reply.body).decode()
    if reply.metadata is not None:
        found["dynamicMetadata"] = reply.metadata
    return found


def _status(status: tuple[int, tuple[int, int, str] | None, int, int]) -> dict[str, Any]:
    code, limit, remaining, reset_s = status
    found: dict[str, Any] = {"code": _CODES[code]}
    if limit is not None:
        requests, unit, name = limit
        members = {"name": name, "requestsPerUnit": requests, "unit": _UNITS[unit]}
        found["currentLimit"] = {key: value for key, value in members.items() if value}
    if remaining:
        found["limitRemaining"] = remaining
    if limit is not None:
        found["durationUntilReset"] = f"{reset_s}s"
    return found
