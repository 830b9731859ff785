r"""The combined and common log formats of nginx and Apache.

    host ident user [day/Mon/year:h:m:s +zone] "METHOD target PROTO" status bytes "referer" "agent"

The common format ends before the referer. Whatever follows is ignored, as many
sites append a field or two. Quotes inside quotes are escaped with a backslash.
Times have whole seconds; the remote user, where there is one, is the identity
`user` if the caller names one.
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import Any

from ratelimit.traces.instant import MONTHS
from ratelimit.traces.record import Fields
from ratelimit.traces.unreadable import Unreadable

# Every repetition excludes the character that ends it, so that matching is linear in the line.
_HEAD = (
    r'^([^\s"\[]+) [^\s"\[]+ ([^"\[\n]*) \[([^\]\n]{20,40})\] '
    r'"([!#$%&\'*+.^_`|~\w-]+) ([^\s"]+)(?: HTTP/[\d.]+)?" \d{3} [\d-]+'
)
_QUOTED = r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)"'
COMMON = re.compile(_HEAD + r"()()[^\n]*$", re.ASCII | re.MULTILINE)
COMBINED = re.compile(_HEAD + rf" {_QUOTED} {_QUOTED}[^\n]*$", re.ASCII | re.MULTILINE)

_TIME = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$", re.ASCII)
_REQUEST = re.compile(r'\] "([^"]*)')


class LogParser:
    """Chunks of an access log to records and their instants."""

    def __init__(self, fields: Fields, unreadable: Unreadable, pattern: re.Pattern[str]) -> None:
        self._type = fields.type
        self._unreadable = unreadable
        self._pattern = pattern
        self._headers = fields.headers
        self._user_agent = fields.user_agent
        self._user = fields.attribute.get("user")
        self._times: dict[str, int] = {}

    def parse(self, number: int, chunk: bytes) -> tuple[list[Any], list[int]]:
        """Return the records of a chunk that begins at this line, and their times in ns."""
        # Clients write the bytes of logs; undecodable ones must survive as themselves.
        text = chunk.decode("utf-8", "surrogateescape")
        lines = text.count("\n") + (not text.endswith("\n"))
        records: list[Any] = []
        times: list[int] = []
        found = self._pattern.findall(text)
        if len(found) == lines:
            try:
                for match in found:
                    times.append(self._time_ns(match[2]))
                    records.append(self._record(match))
            except ValueError:
                records, times = [], []
            else:
                return records, times
        for offset, line in enumerate(text.split("\n")):
            if not line or line.isspace():
                continue
            single = self._pattern.match(line)
            try:
                if single is None:
                    raise ValueError(_reason(line, self._pattern is COMBINED))
                times.append(self._time_ns(single[3]))
                records.append(self._record(single.groups("")))
            except ValueError as error:
                self._unreadable.add(number + offset, str(error), line.encode("utf-8", "surrogateescape"))
        return records, times

    def _record(self, match: tuple[str | Any, ...]) -> Any:
        host, user, _, method, target, referer, agent = match
        record = self._type(0, method, target, host)
        if self._user_agent and agent not in ("", "-"):
            record.user_agent = agent
        if self._headers and referer not in ("", "-"):
            record.headers = {"referer": referer}
        if self._user is not None and user not in ("", "-"):
            setattr(record, self._user, user)
        return record

    def _time_ns(self, text: str) -> int:
        known = self._times.get(text)
        if known is not None:
            return known
        if len(self._times) > 10_000:  # a log repeats the current second, seldom an old one
            self._times.clear()
        self._times[text] = instant = log_time_ns(text)
        return instant


def log_time_ns(text: str) -> int:
    """Return `17/May/2015:10:05:03 +0200` as nanoseconds since the epoch.

    Raises:
        ValueError: it is no such instant.
    """
    match = _TIME.match(text)
    if match is None:
        raise ValueError("the time in brackets is not of the form 17/May/2015:10:05:03 +0000")
    day, name, year, hour, minute, second, sign, zone_h, zone_m = match.groups()
    month = MONTHS.get(name, 0)
    if not (month and 1 <= int(day) <= 31 and int(hour) < 24 and int(minute) < 60 and int(second) <= 60):
        raise ValueError("the time in brackets does not exist")
    offset = int(zone_h) * 3600 + int(zone_m) * 60
    seconds = timegm((int(year), month, int(day), int(hour), int(minute), int(second)))
    seconds -= offset if sign == "+" else -offset
    if not 0 <= seconds < 9_200_000_000:
        raise ValueError("time is outside 1970 to 2261")
    return seconds * 1_000_000_000


def _reason(line: str, combined: bool) -> str:
    """Return one short clause that says where a line stops being a log line."""
    request = _REQUEST.search(line)
    if request is None:
        return "not an access log line"
    if len(request[1].split(" ")) not in (2, 3):
        return f"the request is not METHOD TARGET PROTOCOL but {request[1][:40]!r}"
    if combined and COMMON.match(line):
        return "referer and user agent are missing or cut off (--format common reads lines without)"
    return "not an access log line"
