r"""Patterns of log lines: what nginx and Apache, Envoy, HAProxy, AWS load balancers and uvicorn write.

Every repetition excludes the character that ends it, so that matching is linear in the line: a client
writes its target and its headers. Quotes inside quotes are escaped by a backslash or not at all.
"""

from __future__ import annotations

import re

_QUOTED = r'"(?P<{}>[^"\\\n]*(?:\\.[^"\\\n]*)*)"'
_REQUEST = _QUOTED.format("request")


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


# The combined and common formats, where a field map asks for their parts by name.
ACCESS = _pattern(
    r'(?P<host>[^\s"\[]+) [^\s"\[]+ (?P<user>[^"\[\n]*) \[(?P<time>[^\]\n]{20,40})\] '
    rf"{_REQUEST} (?P<status>\d{{3}}) [\d-]+"
    rf"(?: {_QUOTED.format('referer')} {_QUOTED.format('agent')})?"
)

# docs: "Default Format String" of Envoy's access logging; Istio's has six fields more, of which the
# ninth after the addresses is the peer. Envoy writes the request's start.
ENVOY = _pattern(
    rf"\[(?P<time>[^\]\n]{{10,40}})\] {_REQUEST} (?P<status>\d+) \S+ "
    rf"(?:\S+ \S+ {_QUOTED.format('failure')} )?\S+ \S+ \S+ \S+ "
    rf"{_QUOTED.format('forwarded')} {_QUOTED.format('agent')} "
    rf"{_QUOTED.format('request_id')} {_QUOTED.format('authority')} {_QUOTED.format('upstream')}"
    r"(?: \S+ \S+ \S+ (?P<peer>\S+))?"
)

# `option httplog` and `option httpslog`, with whatever syslog writes before. The captured request
# headers stand in the first braces.
HAPROXY = _pattern(
    r"(?:[^\"\n]{0,200}? )??"
    r"(?P<client>[0-9A-Fa-f:.]+):\d+ \[(?P<time>[^\]\n]{20,30})\] (?P<frontend>\S+) (?P<backend>\S+) "
    r"[-+/\d]+ [-\d]+ [-+\d]+ \S+ \S+ \S+ [/\d+]+ [/\d]+ "
    rf"(?:\{{(?P<captured>[^}}\n]*)\}} )?(?:\{{[^}}\n]*\}} )?{_REQUEST}"
)
HAPROXY_LISTS = {"captured": "|"}

# Elastic Load Balancing, "Access log entries". The second time is when the request came; the first is
# when the answer went, and alone in older logs.
ALB = _pattern(
    r"(?:https?|h2|grpcs|wss?) (?P<answered>\S+) (?P<elb>\S+) (?P<client>\S+) \S+ [-\d.]+ [-\d.]+ [-\d.]+ "
    rf"\S+ \S+ \d+ \d+ {_REQUEST} {_QUOTED.format('agent')} \S+ \S+"
    rf"(?: \S+ {_QUOTED.format('trace_id')} {_QUOTED.format('domain')} {_QUOTED.format('certificate')} "
    r"\S+ (?P<came>\S+))?"
)

# uvicorn writes no time: it stands before where a logging configuration, journald, Docker or
# Kubernetes put it.
UVICORN = _pattern(
    r"(?:(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?))?"
    r'[^"\n]{0,200}?\b(?P<client>[0-9A-Fa-f:.\[\]]{2,45}:\d{1,5}) - '
    rf"{_REQUEST} (?P<status>\d{{3}})"
)
