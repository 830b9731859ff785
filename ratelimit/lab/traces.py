r"""Traces as batches of records: files of JSON lines and access logs, plain or gzip, in order of time.

    ndjson            one JSON object a line; a field map names members that are called otherwise
    nginx-json        the same, with members that are called as nginx's variables
    combined, common  access logs of nginx and Apache; what follows their fields is ignored

Rules: memory stays flat whatever the input, and one bad line costs only itself.

Theory of operation. A chunk is read whole. Of plain JSON lines it is only found out where what stands
(`core.replay.members`); others are decoded in one call. If that fails, or if records and lines differ in
number, the chunk is read again line by line to find the line to blame. Clean traces never pay for the care.
"""

from __future__ import annotations

import gzip
import heapq
import io
import os
import re
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, compress, islice
from operator import attrgetter, itemgetter, ne, sub
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast, overload

import msgspec

from ratelimit.core.replay.members import MOST_MEMBERS, Members, count_lines
from ratelimit.core.replay.spans import Spans
from ratelimit.facts.numbers import FACTS
from ratelimit.lab.records import Fields, time_ns, times_ns
from ratelimit.parsing.json import JsonReader

# A chunk's records should stay in the processor's cache, and what is done once a chunk should be seldom.
CHUNK_BYTES = 1 << 20
FREE_BYTES = 16 << 20
MOST_BYTES_A_BYTE = 250
"""Bytes for each byte of a gzip file, beyond the free ones: logs have ten to fifty, zeros a thousand."""
_LOOKED_AT = 50
_SHOWN = 5
_BATCH = 4096

Record = Any
Row = Mapping[str, Any]
FieldMap = Mapping[str, tuple[str, ...]]
"""The places of fields in a JSON object, by name: steps down between dots, or `=text` for a constant."""
TARGETS = (
    *("time", "method", "path", "request", "ip", "forwarded", "user_agent", "headers"),
    *(fact.member for fact in FACTS),
)
"""What a map may place, beside `header:NAME`, identities and units."""


class TraceUnreadable(Exception):
    """The trace as a whole cannot be read; the message says what to do."""


class MappingWrong(ValueError):
    """A field map that cannot be used; the message says what to write."""


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """One line that could not be read: where, why, and how it begins."""

    number: int
    reason: str
    excerpt: str


@dataclass(slots=True)
class Unreadable:
    """Lines that say no request. Only the first few are kept, so that a wrong file costs no memory."""

    count: int = 0
    first: list[UnreadableLine] = field(default_factory=list)

    def add(self, number: int, reason: str, line: bytes) -> None:
        """Count one line, and keep it if it is among the first."""
        self.count += 1
        if len(self.first) < _SHOWN:
            # A log is written by strangers and shown on a terminal.
            text = line[:120].decode("utf-8", "backslashreplace")
            shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
            self.first.append(UnreadableLine(number, reason, shown))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive requests: records, and as many instants that never step back."""

    records: Sequence[Record]
    times_ns: list[int]


# -- a file as chunks of whole lines ---------------------------------------------------------------


class _Counted(io.RawIOBase):
    """A file that knows how many bytes were read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: Any = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read: int = self._file.readinto(buffer) or 0
        self.count += read
        return read


class LineSource:
    """Chunks of complete lines of a file, with the number of the first line of each.

    A compressed file that breaks off ends the trace where it broke: what came before is still worth reading.
    A line longer than four chunks, or a megabyte, is dropped.

    Args:
        path: a file, or "-" for standard input.
        stdin: what "-" reads; the process's own unless given.

    Raises:
        TraceUnreadable: there is no such file, or it is not ours to read.
    """

    def __init__(self, path: str, *, stdin: BinaryIO | None = None, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.name = "standard input" if path == "-" else path
        self.broken: str | None = None
        """The reason why the input ended before its end, if it did."""
        self.overlong: list[int] = []
        """Numbers of lines dropped because they were too long."""
        self.size: int | None = None
        """Bytes of the file as stored; None where that cannot be known."""
        self._chunk_bytes = chunk_bytes
        self._given = 0
        try:
            # A directory opens on some systems, and fails when it is read.
            if Path(path).is_dir():
                raise IsADirectoryError(f"{path} is a directory")
            self._file = (stdin or sys.stdin.buffer) if path == "-" else Path(path).open("rb")  # noqa: SIM115
            self._stored = _Counted(self._file)
            self._stream: io.BufferedIOBase = io.BufferedReader(self._stored)
            self._is_packed = cast(io.BufferedReader, self._stream).peek(2)[:2] == b"\x1f\x8b"
        except OSError as error:
            raise TraceUnreadable(f"{path}: {error.strerror or error}") from error
        if path != "-":
            self.size = os.fstat(self._file.fileno()).st_size or None
        if self._is_packed:
            self._stream = cast(io.BufferedIOBase, gzip.GzipFile(fileobj=self._stream))

    @property
    def position(self) -> int:
        """Bytes of the stored file read so far (compressed ones where it is)."""
        return self._stored.count

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number of the first line, chunk); every chunk but the last ends with a newline.

        Closes the source when it ends, or is given up.
        """
        try:
            number, rest = 1, b""
            block = self._read().removeprefix(b"\xef\xbb\xbf")
            while block:
                cut = block.rfind(b"\n") + 1
                if cut:
                    chunk = b"".join((rest, memoryview(block)[:cut]))  # in one copy
                    rest = block[cut:]
                    yield number, chunk
                    number += count_lines(chunk)
                else:
                    rest += block
                    if len(rest) >= max(self._chunk_bytes, min(1 << 20, 4 * self._chunk_bytes)):
                        self.overlong.append(number)
                        number += 1
                        while (block := self._read()) and b"\n" not in block:
                            pass
                        rest = b""
                        block = block.partition(b"\n")[2]
                        if block:
                            continue
                block = self._read()
            if rest:
                yield number, rest
        finally:
            self.close()

    def close(self) -> None:
        """Close what was opened here; standard input is left as it is."""
        if self.name != "standard input":
            self._file.close()

    def _read(self) -> bytes:
        try:
            found = self._stream.read(self._chunk_bytes)
        except (EOFError, zlib.error, OSError) as error:
            self.broken = str(error) or type(error).__name__
            return b""
        self._given += len(found)
        if self._is_packed and self._given > FREE_BYTES + MOST_BYTES_A_BYTE * self._stored.count:
            self.broken = f"it unpacks to more than {MOST_BYTES_A_BYTE} times its size"
            return b""
        return found


# -- lines as records ------------------------------------------------------------------------------


class PlainLines(Sequence[Record]):
    """The records of some plain lines, decoded only when they are looked at.

    Args:
        spans: where everything stands.
        fields: what records have.
        decode: makes the records of whole lines.
    """

    __slots__ = ("_decode", "_fields", "_records", "spans")

    def __init__(self, spans: Spans, fields: Fields, decode: Callable[[bytes], list[Record]]) -> None:
        self.spans = spans
        self._fields = fields
        self._decode = decode
        self._records: list[Record] | None = None

    def __len__(self) -> int:
        return self.spans.size

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> PlainLines: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return PlainLines(self.spans.part(start, max(start, stop)), self._fields, self._decode)
        if self._records is not None:
            return self._records[at]
        return self._decode(self.spans.line(at + len(self) if at < 0 else at))[0]

    def __iter__(self) -> Iterator[Record]:
        if self._records is None:
            self._records = self._decode(self.spans.lines)
        return iter(self._records)

    def column(self, attribute: str) -> list[Any]:
        """Return one attribute of each record."""
        member = self._fields.member.get(attribute)
        return [None] * len(self) if member is None else self.spans.values(member)


def column(records: Sequence[Record], attribute: str) -> list[Any]:
    """Return one attribute of each record, without its record where that can be."""
    if isinstance(records, PlainLines) and attribute != "time":
        return records.column(attribute)
    return list(map(attrgetter(attribute), records))


class Parser:
    """Reads chunks of whole lines of one format."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields

    def quickly(self, chunk: bytes) -> tuple[Sequence[Record], list[int]] | None:
        """Return the records of a chunk and their instants; None unless each line is one."""
        return None

    def line(self, line: bytes) -> tuple[Record, int]:
        """Return the record of one line and its instant.

        Raises:
            ValueError: it is no request; the message says why in one short clause.
        """
        raise NotImplementedError

    def parse(self, number: int, chunk: bytes, unreadable: Unreadable) -> tuple[Sequence[Record], list[int]]:
        """Return the records of a chunk that begins at this line, and their instants."""
        if (found := self.quickly(chunk)) is not None:
            return found
        pairs: list[tuple[Record, int]] = []
        for offset, line in enumerate(chunk.split(b"\n")):
            if line and not line.isspace():
                try:
                    pairs.append(self.line(line))
                except ValueError as error:
                    reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
                    unreadable.add(number + offset, reason, line)
        return [record for record, _ in pairs], [at_ns for _, at_ns in pairs]


class JsonLines(Parser):
    """One JSON object a line, with our own names."""

    def __init__(self, fields: Fields) -> None:
        super().__init__(fields)
        self._reader: JsonReader[Record] = JsonReader(fields.type)
        self._members = Members(fields.members) if len(fields.members) <= MOST_MEMBERS else None

    def quickly(self, chunk: bytes) -> tuple[Sequence[Record], list[int]] | None:
        """Return the records of a chunk and their instants; None unless each line is one."""
        spans = None if self._members is None else self._members.scan(chunk)
        if spans is not None:
            return PlainLines(spans, self.fields, self._reader.read_lines), spans.times_ns
        try:
            records = self._reader.read_lines(chunk)
            return (records, times_ns(records)) if len(records) == count_lines(chunk) else None
        except ValueError:
            return None

    def line(self, line: bytes) -> tuple[Record, int]:
        """Return the record of one line and its instant."""
        record = self._reader.read(line)
        return record, time_ns(record.time)


class AccessLog(Parser):
    r"""The access logs of nginx and Apache.

        host ident user [day/Mon/year:h:m:s +zone] "METHOD target PROTO" status bytes "referer" "agent"

    The remote user, where there is one, is the identity `user` if the policy has one. Quotes inside quotes
    are escaped by a backslash. Every repetition of a pattern excludes the character that ends it, so that
    matching is linear in the line: a client writes its target and its headers.
    """

    HEAD = (
        r'^([^\s"\[]+) [^\s"\[]+ ([^"\[\n]*) \[([^\]\n]{20,40})\] '
        r'"([!#$%&\'*+.^_`|~\w-]+) ([^\s"]+)(?: HTTP/[\d.]+)?" \d{3} [\d-]+'
    )
    QUOTED = r' "([^"\\\n]*(?:\\.[^"\\\n]*)*)"'
    COMMON = re.compile(HEAD + r"()()[^\n]*$", re.ASCII | re.MULTILINE)
    COMBINED = re.compile(HEAD + 2 * QUOTED + r"[^\n]*$", re.ASCII | re.MULTILINE)

    def __init__(self, fields: Fields, pattern: re.Pattern[str]) -> None:
        super().__init__(fields)
        self._pattern = pattern
        self._user = fields.attribute.get("user")

    def quickly(self, chunk: bytes) -> tuple[Sequence[Record], list[int]] | None:
        """Return the records of a chunk and their instants; None unless each line is one."""
        # Clients write the bytes of logs; undecodable ones must survive as themselves.
        found = self._pattern.findall(chunk.decode("utf-8", "surrogateescape"))
        if len(found) != count_lines(chunk):
            return None
        try:
            return list(map(self._record, found)), [_log_ns(match[2]) for match in found]
        except ValueError:
            return None

    def line(self, line: bytes) -> tuple[Record, int]:
        """Return the record of one line and its instant."""
        text = line.decode("utf-8", "surrogateescape")
        match = self._pattern.match(text)
        if match is None:
            request = re.search(r'\] "([^"]*)', text)
            if request is not None and len(request[1].split(" ")) not in (2, 3):
                raise ValueError(f"the request is not METHOD TARGET PROTOCOL but {request[1][:40]!r}")
            if request is not None and self.COMMON.match(text):
                raise ValueError("referer and user agent are missing or cut off (--format common reads such)")
            raise ValueError("not an access log line")
        return self._record(match.groups("")), _log_ns(match[3])

    def _record(self, match: tuple[str | Any, ...]) -> Record:
        host, user, _, method, target, referer, agent = match
        record = self.fields.type(0, method, target, host)
        if self.fields.user_agent and agent not in ("", "-"):
            record.user_agent = agent
        if self.fields.headers and referer not in ("", "-"):
            record.headers = {"referer": referer}
        if self._user is not None and user not in ("", "-"):
            setattr(record, self._user, user)
        return record


_log_ns = lru_cache(10_000)(time_ns)  # a log repeats the current second, seldom an old one


class MappedJson(Parser):
    """JSON objects with names that a map says, and our own for what it does not."""

    NGINX: ClassVar[FieldMap] = {
        "time": ("msec", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "ts"),
        "request": ("request",),
        "method": ("request_method",),
        "path": ("request_uri", "uri"),
        "ip": ("remote_addr", "client_ip", "remote_ip"),
        "user_agent": ("http_user_agent", "agent"),
        "user": ("remote_user",),
    }

    def __init__(self, fields: Fields, mapping: FieldMap, usual: FieldMap) -> None:
        super().__init__(fields)
        self._read = JsonReader[dict[str, Any]](dict[str, Any]).read
        self._places = {
            name: (*mapping.get(name, ()), *usual.get(name, ()), *(() if name in _NEVER_OWN else (name,)))
            for name in (*fields.attribute, *mapping, *_NEVER_OWN)
        }
        if {"method", "path"} & mapping.keys():  # such a map means them, not the request line
            self._places["request"] = mapping.get("request", ())
        self._prefix = "http_" if usual else ""

    def line(self, line: bytes) -> tuple[Record, int]:
        """Return the record of one line and its instant."""
        try:
            row = self._read(line)
        except UnicodeDecodeError:
            # nginx writes a client's bytes as they came, in JSON too: none may hide its request.
            row = self._read(line.decode("utf-8", "replace"))
        said = {name: found for name in self._places if (found := self._first(row, name)) is not None}
        said["headers"] = headers = said["headers"] if isinstance(said.get("headers"), dict) else {}
        if (request := said.pop("request", None)) is not None:
            words = str(request).split(" ")
            if len(words) not in (2, 3):
                raise ValueError(f"the request is not METHOD TARGET PROTOCOL but {str(request)[:40]!r}")
            said["method"], said["path"] = words[:2]
        # The proxy adds its peer's address at the end; what stands before was sent by the client.
        address = said.get("ip", str(said.pop("forwarded", "")).rpartition(",")[2].strip() or None)
        if (match := _WITH_PORT.match(str(address or ""))) is not None:
            address = match[1] or match[2] or None
        for name in self._places:
            if name.startswith("header:") and name in said:
                headers[name.removeprefix("header:")] = said.pop(name)
        for name, value in row.items() if self._prefix else ():
            if name.startswith(self._prefix) and value not in _NOTHING:
                headers[name.removeprefix(self._prefix).replace("_", "-")] = value
        for name in ("time", "method", "path"):
            if name not in said:
                raise ValueError(f"no {name}")
        if not _METHOD.match(str(said["method"])):
            raise ValueError(f"no method is called {str(said['method'])[:40]!r}")
        texts: Row = {name: str(said[name]) for name in ("method", "path", "user_agent") if name in said}
        at_ns = time_ns(said.pop("time"))
        said |= {
            **texts,
            "time": 0,
            "ip": None if address is None else str(address),
            "headers": headers or None,
        }
        try:
            return msgspec.convert(said, self.fields.type, strict=False), at_ns
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None

    def _first(self, row: Row, name: str) -> Any:
        for place in self._places[name]:
            value = place[1:] if place.startswith("=") else row.get(place)
            if value is None:
                value = row
                for step in place.split("."):
                    if isinstance(value, list):
                        value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
                    else:
                        value = value.get(step) if isinstance(value, dict) else None
            while isinstance(value, list):
                value = value[0] if value else None
            if value not in _NOTHING:
                return value
        return None


_NEVER_OWN = ("request", "forwarded")
"""Names that stand for something only in a map: a member called so may be anything."""
_NOTHING = (None, "", "-")
"""What logs write for a value that is not there."""
_METHOD = re.compile(r"[!#$%&'*+.^_`|~\w-]+\Z", re.ASCII)
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]]*))(?::\d+)?\Z", re.ASCII)


def parse_map(written: Iterable[str], known: Iterable[str] = ()) -> FieldMap:
    """Return the map that some texts say, each `NAME=FIELD` or `NAME==TEXT`, several by commas.

    Args:
        written: the texts.
        known: identities and units that may be placed beside the fixed fields.

    Raises:
        MappingWrong: one of them says nothing, or places what no policy knows.
    """
    targets = [*TARGETS, *known]
    places: dict[str, tuple[str, ...]] = {}
    # A comma ends a part only where another begins.
    for part in (part.strip() for text in written for part in re.split(r",(?=[^,=]+=)", text)):
        target, equals, source = part.partition("=")
        if not equals or not target or source in ("", "="):
            raise MappingWrong(f"--map {part}: write NAME=FIELD, or NAME==TEXT for the same on each line")
        if target.lower().startswith("header:"):
            target = target.lower()
        elif target not in targets:
            raise MappingWrong(f"--map {part}: no {target!r} is wanted; there are {', '.join(targets)}")
        if len(source) > 200 or len(places) >= 64:
            raise MappingWrong("--map: more than 64 fields, or a name that is too long")
        places[target] = (source,)
    return places


KNOWN: dict[str, Callable[[Fields, FieldMap], Parser]] = {
    "ndjson": lambda fields, mapping: MappedJson(fields, mapping, {}) if mapping else JsonLines(fields),
    "combined": lambda fields, mapping: AccessLog(fields, AccessLog.COMBINED),
    "common": lambda fields, mapping: AccessLog(fields, AccessLog.COMMON),
    "nginx-json": lambda fields, mapping: MappedJson(fields, mapping, MappedJson.NGINX),
}
"""The formats, in the order in which ties are decided."""
FORMATS = ("auto", *KNOWN)


def _detected(chunk: bytes, name: str, mapping: FieldMap) -> str:
    """Return the format that most of a trace's first lines have."""
    lines = [line for line in chunk[:65_536].split(b"\n") if line.strip()][:_LOOKED_AT]
    parsers = {format: make(Fields(), mapping) for format, make in KNOWN.items()}
    votes = dict.fromkeys(KNOWN, 0)
    for line in lines:
        found = (format for format, parser in parsers.items() if parser.parse(1, line, Unreadable())[0])
        if (format := next(found, None)) is not None:
            votes[format] += 1
    best = max(votes, key=votes.__getitem__)
    if votes[best]:
        return best
    for line in lines:
        if line.lstrip().startswith(b"{"):
            reason = Unreadable()
            parsers["ndjson"].parse(1, line, reason)
            try:
                row = JsonReader[dict[str, Any]](dict[str, Any]).read(line)
            except ValueError:
                continue
            names = [
                f"{name}.{inner}" if inner else name
                for name, value in row.items()
                for inner in (value if isinstance(value, dict) else ("",))
            ]
            raise TraceUnreadable(
                f"{name}: the first lines are JSON objects of no known format ({reason.first[0].reason}); "
                "name their fields: --map time=FIELD,method=FIELD,path=FIELD,ip=FIELD. The first line has "
                f"{', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
            )
    raise TraceUnreadable(
        f"{name}: the first lines are neither JSON objects nor of an access log; say with --format "
        f"{', '.join(list(KNOWN)[:-1])} or {list(KNOWN)[-1]} what they are"
    )


# -- traces ----------------------------------------------------------------------------------------


class Reader:
    """The batches of one trace, and what was odd about it.

    Iterate once. `unreadable` and `stepped_back` are complete when iteration ends.

    Raises:
        TraceUnreadable: while iterating: the trace has lines, and none of them can be read.
    """

    def __init__(
        self, source: LineSource, fields: Fields, format: str = "auto", mapping: FieldMap | None = None
    ) -> None:
        self.source = source
        self.fields = fields
        self.format = format
        """The format read; "auto" until the first chunk has been seen."""
        self.requests = 0
        self.unreadable = Unreadable()
        self.stepped_back = 0
        """Lines earlier than one before them; they count as of the later instant."""
        self.longest_step_ns = 0
        """The furthest that such a line lay behind."""
        self._mapping = mapping or {}
        self._parser: Parser | None = None

    @property
    def is_disordered(self) -> bool:
        """True if it is so far out of order that decisions mean little.

        Lines a little out of order are how servers write: when an answer ends.
        """
        return self.longest_step_ns > 60 * 10**9 or self.stepped_back > 0.01 * self.requests

    def __iter__(self) -> Iterator[Batch]:
        latest = 0
        for _, records, times in self._chunks():
            forwards = times
            if times[0] < latest or times != sorted(times):  # sorting what is sorted is cheap
                forwards = list(accumulate(times, max, initial=latest))[1:]
                self.stepped_back += sum(map(ne, times, forwards))
                self.longest_step_ns = max(self.longest_step_ns, *map(sub, forwards, times))
            latest = forwards[-1]
            yield Batch(records, forwards)

    def in_order(self) -> Iterator[Batch]:
        """Yield the requests by time, those of one instant as the trace has them.

        Their lines are in a temporary file meanwhile.

        Raises:
            TraceUnreadable: there is no room for it.
        """
        try:
            with (
                tempfile.NamedTemporaryFile(prefix="ratelimit-sort-") as file,
                closing(sqlite3.connect(file.name, isolation_level=None)) as lines,
            ):
                lines.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;")
                lines.execute("CREATE TABLE line (at_ns INTEGER, text BLOB)")
                for chunk, records, times in self._chunks():
                    texts = [line for line in chunk.split(b"\n") if line and not line.isspace()]
                    if len(texts) != len(records):  # some are no requests, and have been told of
                        texts = list(compress(texts, map(self._is_request, texts)))
                    lines.executemany("INSERT INTO line VALUES (?, ?)", zip(times, texts, strict=True))
                found = lines.execute("SELECT text FROM line ORDER BY at_ns, rowid")
                while some := found.fetchmany(_BATCH):
                    yield Batch(*self._parse(1, b"".join(text + b"\n" for (text,) in some), Unreadable()))
        except (OSError, sqlite3.Error) as error:
            raise TraceUnreadable(
                f"{self.source.name}: cannot be sorted in {tempfile.gettempdir()}: {error}; "
                "the variable TMPDIR names another folder"
            ) from error

    def _is_request(self, line: bytes) -> bool:
        return bool(self._parse(1, line, Unreadable())[0])

    def _parse(self, number: int, chunk: bytes, unreadable: Unreadable) -> tuple[Sequence[Record], list[int]]:
        assert self._parser is not None  # made with the first chunk
        return self._parser.parse(number, chunk, unreadable)

    def _chunks(self) -> Iterator[tuple[bytes, Sequence[Record], list[int]]]:
        """Yield each chunk that has records, with these and their instants."""
        told = 0
        for number, chunk in self.source:
            if self._parser is None:
                if self.format == "auto":
                    self.format = _detected(chunk, self.source.name, self._mapping)
                self._parser = KNOWN[self.format](self.fields, self._mapping)
                if self._mapping and isinstance(self._parser, AccessLog):
                    raise TraceUnreadable(
                        f"{self.source.name}: --map names members of JSON objects, and this is an access log"
                    )
            records, times = self._parse(number, chunk, self.unreadable)
            told = self._tell_overlong(told)
            self.requests += len(records)
            if records:
                yield chunk, records, times
        self._tell_overlong(told)
        if self.source.broken is not None and not self.requests:
            raise TraceUnreadable(f"{self.source.name}: broke off before any request: {self.source.broken}")
        if self.unreadable.count and not self.requests:
            first = self.unreadable.first[0]
            raise TraceUnreadable(
                f"{self.source.name}: none of {self.unreadable.count:,} lines could be read as "
                f"{self.format}; line {first.number}: {first.reason}: {first.excerpt}"
            )

    def _tell_overlong(self, told: int) -> int:
        for number in self.source.overlong[told:]:
            self.unreadable.add(number, "longer than a megabyte", b"")
        return len(self.source.overlong)


class Traces:
    """Some traces as one; its time runs forwards.

    Args:
        readers: one for each trace, in the order in which they were named: at the same instant they go so.
        sort: whether lines are put in order first.

    Iterate once. What the readers found odd is complete when iteration ends.
    """

    def __init__(self, readers: Sequence[Reader], *, sort: bool = False) -> None:
        self.readers = readers
        self.is_sorted = sort

    def __iter__(self) -> Iterator[Batch]:
        ordered = [reader.in_order() if self.is_sorted else iter(reader) for reader in self.readers]
        try:
            yield from ordered[0] if len(ordered) == 1 else merged(ordered)
        finally:
            for reader in self.readers:
                reader.source.close()

    @property
    def size(self) -> int | None:
        """Bytes of all traces as stored; None where that cannot be known."""
        sizes = [reader.source.size for reader in self.readers]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return sum(reader.source.position for reader in self.readers)


def merged(traces: Iterable[Iterable[Batch]]) -> Iterator[Batch]:
    """Yield the requests of all traces, each of which runs forwards, by time, and then as they are named."""
    ways = [
        (request for batch in trace for request in zip(batch.times_ns, batch.records, strict=True))
        for trace in traces
    ]
    requests = heapq.merge(*ways, key=itemgetter(0))
    while some := list(islice(requests, _BATCH)):
        yield Batch([record for _, record in some], [at_ns for at_ns, _ in some])


def open_reader(
    path: str,
    fields: Fields,
    *,
    format: str = "auto",
    stdin: BinaryIO | None = None,
    mapping: FieldMap | None = None,
) -> Reader:
    """Return a reader of the trace at `path`, or of standard input for "-".

    Raises:
        TraceUnreadable: there is no such file, or it is not ours to read.
    """
    return Reader(LineSource(path, stdin=stdin), fields, format, mapping)


def open_traces(
    paths: Sequence[str],
    fields: Fields,
    *,
    format: str = "auto",
    mapping: FieldMap | None = None,
    sort: bool = False,
) -> Traces:
    """Return the traces at some paths as one; "-" is standard input.

    Raises:
        TraceUnreadable: one of them is not there, or not ours to read.
    """
    readers: list[Reader] = []
    try:
        for path in paths:
            readers.append(open_reader(path, fields, format=format, mapping=mapping))
    except BaseException:
        for reader in readers:
            reader.source.close()
        raise
    return Traces(readers, sort=sort)
