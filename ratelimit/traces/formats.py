"""The formats that traces come in: how each is read, and which one a trace has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ratelimit.traces import patterns
from ratelimit.traces.combined import COMBINED, COMMON, LogParser
from ratelimit.traces.lines import TraceUnreadable
from ratelimit.traces.mapped import RowParser
from ratelimit.traces.ndjson import NdjsonParser
from ratelimit.traces.record import MEMBERS, Fields
from ratelimit.traces.rows import JsonRows, PatternRows, RowReader, TableRows
from ratelimit.traces.shape import FieldMap, Shape, at
from ratelimit.traces.unreadable import Unreadable

LOOKED_AT = 50
_LOOKED_AT_BYTES = 65_536
_MOST_NAMED = 12


class Parser(Protocol):
    """Reads chunks of whole lines."""

    def parse(self, number: int, chunk: bytes) -> tuple[Sequence[Any], list[int]]:
        """Return the records of a chunk, and their times in ns; `number` is that of its first line."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    `quick` makes a parser of its own, used where no field map asks for more than it reads.
    """

    rows: Callable[[], RowReader]
    shape: Shape
    is_json: bool = False
    quick: Callable[[Fields, Unreadable], Parser] | None = None

    def parser(self, fields: Fields, unreadable: Unreadable, mapping: FieldMap) -> Parser:
        """Return a parser of one trace."""
        if self.quick is not None and not mapping:
            return self.quick(fields, unreadable)
        return RowParser(self.rows(), fields, self.shape.with_map(mapping), unreadable)


def _own() -> Shape:
    """Return the shape of rows that call their members as we do."""
    fields = ("time", "method", "path", "ip", "user_agent", "headers", *MEMBERS)
    return Shape({field: at(field) for field in fields})


_ACCESS = Shape(
    {
        "time": at("time"),
        "request": at("request"),
        "ip": at("host"),
        "user_agent": at("agent"),
        "header:referer": at("referer"),
    }
)
_NGINX = Shape(
    {
        "time": at("msec", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "ts"),
        "request": at("request"),
        "method": at("request_method", "method"),
        "path": at("request_uri", "uri", "path"),
        "ip": at("remote_addr", "client_ip", "remote_ip", "ip"),
        "user_agent": at("http_user_agent", "user_agent", "agent"),
        "user": at("remote_user"),
    },
    header_prefix="http_",
)
_CADDY = Shape(
    {
        "time": at("ts"),
        "method": at("request.method"),
        "path": at("request.uri"),
        # What Caddy itself takes for the client, through the proxies that it trusts.
        "ip": at("request.client_ip", "request.remote_ip", "request.remote_addr"),
        "user_agent": at("request.headers.User-Agent"),
        "headers": at("request.headers"),
        "user": at("user_id"),
    },
    redacted="REDACTED",
)
_ENVOY_JSON = Shape(
    {
        "time": at("start_time", ":start_time", "timestamp"),
        "method": at("method", "request_method", ":method"),
        "path": at("path", "x_envoy_original_path", "request_path", ":path"),
        "ip": at(
            "downstream_direct_remote_address_without_port",
            "downstream_remote_address_without_port",
            "downstream_direct_remote_address",
            "downstream_remote_address",
        ),
        "forwarded": at("x_forwarded_for"),
        "user_agent": at("user_agent"),
    }
)
_ENVOY = Shape(
    {
        "time": at("time"),
        "request": at("request"),
        "ip": at("peer"),
        "forwarded": at("forwarded"),
        "user_agent": at("agent"),
        "header:host": at("authority"),
    }
)
_HAPROXY = Shape({"time": at("time"), "request": at("request"), "ip": at("client")})
_ALB = Shape(
    {
        "time": at("came", "answered"),
        "request": at("request"),
        "ip": at("client"),
        "user_agent": at("agent"),
        "header:host": at("domain"),
    }
)
_UVICORN = Shape({"time": at("time"), "request": at("request"), "ip": at("client")})


def _access_rows() -> RowReader:
    return PatternRows(patterns.ACCESS, "not an access log line")


# In the order in which ties are decided: what reads a trace quicker goes first.
KNOWN: dict[str, Format] = {
    "ndjson": Format(JsonRows, _own(), is_json=True, quick=NdjsonParser),
    "combined": Format(_access_rows, _ACCESS, quick=lambda fields, bad: LogParser(fields, bad, COMBINED)),
    "common": Format(_access_rows, _ACCESS, quick=lambda fields, bad: LogParser(fields, bad, COMMON)),
    "caddy": Format(JsonRows, _CADDY, is_json=True),
    "envoy-json": Format(JsonRows, _ENVOY_JSON, is_json=True),
    "nginx-json": Format(JsonRows, _NGINX, is_json=True),
    "envoy": Format(lambda: PatternRows(patterns.ENVOY, "not a line of Envoy's default format"), _ENVOY),
    "haproxy": Format(
        lambda: PatternRows(patterns.HAPROXY, "not a line of HAProxy's HTTP format", patterns.HAPROXY_LISTS),
        _HAPROXY,
    ),
    "alb": Format(lambda: PatternRows(patterns.ALB, "not an entry of an application load balancer"), _ALB),
    "uvicorn": Format(lambda: PatternRows(patterns.UVICORN, "not an access line of uvicorn"), _UVICORN),
    "csv": Format(TableRows, _own()),
}
FORMATS = ("auto", *KNOWN)


def detect(chunk: bytes, name: str, mapping: FieldMap) -> str:
    """Return the format that most of a trace's first lines have.

    Raises:
        TraceUnreadable: none of them has any; the message says what to write.
    """
    lines = [line for line in chunk[:_LOOKED_AT_BYTES].split(b"\n") if line.strip()][:LOOKED_AT]
    fields = Fields()
    parsers = {format: known.parser(fields, Unreadable(), mapping) for format, known in KNOWN.items()}
    votes = dict.fromkeys(KNOWN, 0)
    for number, line in enumerate(lines, 1):
        is_json = line.lstrip().startswith(b"{")
        for format, parser in parsers.items():
            if KNOWN[format].is_json == is_json and parser.parse(number, line)[0]:
                votes[format] += 1
                break
    best = max(votes, key=lambda format: votes[format])
    if votes[best]:
        return best
    json = [line for line in lines if line.lstrip().startswith(b"{")]
    raise TraceUnreadable(f"{name}: {_advice(json or lines, bool(json), mapping)}")


def _advice(lines: list[bytes], is_json: bool, mapping: FieldMap) -> str:
    """Return what to do about lines that no format reads."""
    if is_json:
        reason = Unreadable()
        KNOWN["ndjson"].parser(Fields(), reason, mapping).parse(1, lines[0] + b"\n")
        members = _members(lines[0])
        if members:
            return (
                f"the first lines are JSON objects of no known format ({reason.first[0].reason}); name its "
                "fields: --map time=FIELD,method=FIELD,path=FIELD,ip=FIELD. "
                f"The first line has {', '.join(members)}"
            )
    if any(patterns.UVICORN.match(line.decode("utf-8", "replace")) for line in lines):
        return (
            "these are access lines of uvicorn without a time; log them with one, as "
            '`"format": "%(asctime)s %(message)s"`, `docker logs --timestamps` or '
            "`journalctl --output short-iso-precise` do"
        )
    return (
        "the first lines are of no known format; say which with --format "
        f"{', '.join(list(KNOWN)[:-1])} or {list(KNOWN)[-1]}, and with --map where its fields are"
    )


def _members(line: bytes) -> list[str]:
    """Return the names that a map may use for a line's members, the first of them."""
    try:
        row = JsonRows().row(line) or {}
    except ValueError:
        return []
    names: list[str] = []
    for name, value in row.items():
        names += [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]
    shown = names[:_MOST_NAMED]
    return [*shown, "…"] if len(names) > _MOST_NAMED else shown
