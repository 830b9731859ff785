"""The answers of all hosts about some callers: what their limits refused, and what they shed.

Each host that shares the server is asked through it. Without a server, or while it is away, this host alone
answers, from the memory of its workers.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack

from ratelimit.errors import StoreError
from ratelimit.inspection.access.host_state import state_of
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.refusals import HostsReport
from ratelimit.inspection.hosts.moment import AWAY, Refused, absent, answers_of, in_words, lines_of
from ratelimit.inspection.hosts.policies import different_policies
from ratelimit.load.compile import loads_of
from ratelimit.load.memory import SharedInFlight
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.shed import ShedLine
from ratelimit.worker.refusal_lines import Line, refusal_lines, shed_lines

MOST_HASHES = 64
"""In one question."""


def told_of(known: Knowledge, hashes: Sequence[int]) -> HostsReport:
    """Return what all hosts say of callers by their hashes; asked once for all that is made of it."""
    key = tuple(hashes)
    found = known.told.get(key)
    if found is None:
        found = known.told[key] = _asked(known, key)
    return found


def _asked(known: Knowledge, wanted: Sequence[int]) -> HostsReport:
    server = known.deployment.server
    if server is None or known.is_away:
        return _of_this_host(known, wanted, [] if server is None else [AWAY])
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.inquiries import Inquiry

    lines: list[tuple[str, Line]] = []
    shed: list[tuple[str, ShedLine]] = []
    hosts: dict[str, str] = {}
    missing: dict[str, None] = {}
    gone: dict[str, None] = {}
    policies = ""
    try:
        for at in range(0, max(1, len(wanted)), MOST_HASHES):
            inquiry = Inquiry(known.deployment.key, [*wanted[at : at + MOST_HASHES]])
            answers, reports = answers_of(known.deployment, inquiry)
            hosts |= {name: each.host for name, each in answers.items()}
            silent, left = absent(answers, reports)
            missing |= {each.host: None for each in silent}
            gone |= {each.named: None for each in left}
            policies = different_policies([state_of(each) for each in reports.values()])
            lines += [line for answer in answers.values() for line in lines_of(answer)]
            shed += [(each.host, one) for each in answers.values() for one in each.shed]
    except StoreError:
        return _of_this_host(known, wanted, [AWAY])
    shed.sort(key=lambda each: -each[1].last_ns)
    return HostsReport(
        _latest(known, lines),
        shed,
        sorted(hosts.values()),
        sorted(missing),
        policies,
        is_shared=True,
        gone=sorted(gone),
    )


def _of_this_host(known: Knowledge, wanted: Sequence[int], missing: Sequence[str]) -> HostsReport:
    """Return what this host says, from the memory of its workers."""
    if known.here is None:
        return HostsReport(missing=missing, is_shared=bool(missing))
    host, now_ns = socket.gethostname(), known.here.clock.now_ns()
    lines = refusal_lines(known.here.table, known.compiled, known.compiled.rules, wanted, now_ns)
    refused = _latest(known, [(host, line) for line in lines])
    shed = [(host, each) for each in _shed(known, known.here, set(wanted))]
    return HostsReport(refused, shed, [host], missing, is_shared=bool(missing))


def _latest(known: Knowledge, lines: Sequence[tuple[str, Line]]) -> list[Refused]:
    return sorted(in_words(known.compiled, lines, known.log), key=lambda each: -each.last_ns)


def _shed(known: Knowledge, here: EmbeddedStore, accounts: set[int]) -> list[ShedLine]:
    """Return what this host shed of accounts for want of room."""
    with ExitStack() as stack:
        flights = []
        for spec in loads_of(known.compiled):
            flight = SharedInFlight.existing(here.place, here.hasher.key, spec.name)
            if flight is not None:
                stack.callback(flight.close)
                flights.append((spec, flight))
        return shed_lines(flights, here.table, accounts, here.clock.now_ns())
