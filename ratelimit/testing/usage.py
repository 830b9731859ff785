"""Usage read from an answer that was recorded, by the form that a limit names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ratelimit.errors import UsageError
from ratelimit.policy import Policy
from ratelimit.usage.report import Usage, UsageReading, message_reader, reader_of, reading_of
from ratelimit.usage.shapes import headers_of, scaled


def read_usage(
    policy: Policy | str | Path,
    limit: str,
    body: bytes | list[str],
    content_type: str = "",
    *,
    headers: Mapping[str, str] | None = None,
) -> UsageReading:
    """Return what an answer used, as a limit with `usage` reads it.

    Args:
        policy: a policy, or the path of its file.
        limit: the name of the limit.
        body: the answer, whole; the messages of a WebSocket.
        content_type: its `Content-Type`.
        headers: its other headers, for forms that read some.

    Raises:
        PolicyError: the file cannot be used.
        UsageError: code `unit-unknown`; there is no such limit, or it reads no answers.
    """
    known = policy if isinstance(policy, Policy) else Policy.load(policy)
    form = next(
        (
            rule.metering.usage
            for rule in known.compiled.rules
            if rule.name == limit and rule.metering is not None and rule.metering.usage is not None
        ),
        None,
    )
    if form is None:
        raise UsageError(f"no limit `{limit}` reads answers: it needs `usage`", code="unit-unknown")
    reader = message_reader(form) if isinstance(body, list) else reader_of(form, content_type.encode())
    if reader is None:
        return UsageReading("unknown", Usage())
    places = headers_of(form) or {}
    for name, value in (headers or {}).items():
        if place := places.get(name.lower().encode()):
            reader.foretell(place[0], scaled(value.encode(), place[1]))
    if isinstance(body, list):
        for message in body:
            reader.message(message)
    else:
        reader.feed(body)
    return reading_of(reader, is_complete=True)
