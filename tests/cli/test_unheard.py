"""Hosts that are not heard of: late, silent, or taken for gone; and what commands make of each."""

from __future__ import annotations

from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ratelimit.cli.moment import hosts_table
from ratelimit.inspection.access.host_state import HostState, state_of, unheard_words
from ratelimit.inspection.acts.acting import Confirmation
from ratelimit.inspection.callers.refusals import HostsReport
from ratelimit.inspection.hosts.moment import HostMoment, Moment, absent, answers_of
from ratelimit.inspection.hosts.policies import by_policy
from ratelimit.inspection.journal.entries import Journal, Printed
from ratelimit.stores.redis.acts import GONE_MS, LATE_MS, SILENT_MS, HostReport
from ratelimit.worker.acts import REPORT_NS
from tests.support.time import stop_host

NS = 10**9
NOW_NS = 1_700_000_000 * NS


def host(silent_ms: int) -> HostState:
    return state_of(HostReport("web-2", "same", 2, "0123456789ab", 1, silent_ms), "same")


def test_a_host_whose_report_is_due_is_not_said_to_apply_anything() -> None:
    """Hazard: for fifteen seconds after a kill -9 a list has a tick for a host that is dead."""
    assert REPORT_NS // 10**6 < LATE_MS < SILENT_MS < GONE_MS
    assert host(LATE_MS).has_applied
    assert host(LATE_MS).unheard == ""
    late = host(9_000)
    assert (late.has_applied, late.silent_s, late.unheard) == (False, 0, "last heard 9 s ago")
    assert Confirmation([late], is_away=False).missing == ["web-2"]
    assert by_policy([late]) == {}


@pytest.mark.parametrize(
    ("silent_s", "words"),
    [
        (16, "silent since 22:13 UTC (16 s)"),
        (11 * 3600, "silent since 11:13 UTC (11 hours)"),
        (13 * 3600, "silent since 2023-11-14 09:13:20 UTC (13 hours)"),
    ],
)
def test_silence_is_told_with_its_beginning(
    silent_s: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_host(monkeypatch, NOW_NS)
    assert unheard_words(silent_s, is_silent=True) == words


def test_a_host_that_is_gone_is_named_and_fails_no_command() -> None:
    """Hazard: a pod that was killed never returns, and each act ends with exit code 4 for a day."""
    silent, gone = host(GONE_MS), host(GONE_MS + 1)
    assert (silent.is_gone, gone.is_gone) == (False, True)
    assert Confirmation([silent], is_away=False).missing == ["web-2"]
    outcome = Confirmation([gone], is_away=False)
    assert (outcome.missing, outcome.gone, gone.has_applied) == ([], ["web-2"], False)
    reports = {
        "a": HostReport("web-1", "", 1, silent_ms=60_000),
        "b": HostReport("web-2", "", 1, silent_ms=GONE_MS + 1),
    }
    missing, left = absent({}, reports)
    assert ([each.host for each in missing], [each.host for each in left]) == (["web-1"], ["web-2"])
    assert (
        "without web-2, silent since" in HostsReport(is_shared=True, gone=[each.named for each in left]).where
    )
    hosts = [
        HostMoment("web-1", None, missing[0]),
        HostMoment("web-2", None, left[0]),
        HostMoment("web-3", None, None),
    ]
    assert Moment(NOW_NS, hosts, []).missing == ["web-1", "web-3"]


def test_a_host_that_ended_is_named_for_a_while_as_its_counts_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hazard: a host is shut down in order, and all sums halve without a word."""
    stop_host(monkeypatch, NOW_NS)
    reports = {
        "a": HostReport("web-1", "same", 2),
        "b": HostReport("web-2", "same", 0, silent_ms=31_000),
        "c": HostReport("web-3", "same", 0, silent_ms=GONE_MS + 1),
    }

    class Server:
        class inquiries:
            ask = staticmethod(lambda name, inquiry: None)
            answers = staticmethod(lambda name: {"a": None})

        hosts = staticmethod(lambda: reports)

    answers, found = answers_of(cast(Any, SimpleNamespace(server=Server)), cast(Any, None))
    assert [*found] == ["a", "b"]
    missing, left = absent(answers, found)
    assert (missing, [each.named for each in left]) == ([], ["web-2, ended at 22:12 UTC (31 s)"])
    moment = Moment(NOW_NS, [HostMoment("web-2", None, left[0])], [])
    assert moment.missing == []
    console = Console(file=StringIO(), width=80)
    console.print(hosts_table(moment.hosts))
    shown = cast(StringIO, console.file).getvalue()
    assert "ended" in shown
    assert "ended at 22:12 UTC (31 s)" in shown
    journal = Journal(None, None, None)
    journal.ended = {"web-2": 31}
    (entry,) = journal.entries()
    assert (entry.time_ns, entry.host, entry.kind) == (NOW_NS - 31 * NS, "web-2", "host-ended")


def test_what_happened_has_the_last_report_of_a_silent_host_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: a host dies, and the list of what changed says nothing of it."""
    stop_host(monkeypatch, NOW_NS)
    printed = Printed()
    for silent_s, is_new in ((16, True), (31, False), (GONE_MS // 1000 + 9, False)):
        stop_host(monkeypatch, NOW_NS + (silent_s - 16) * NS)
        gone = silent_s * 1000 > GONE_MS
        journal = Journal(None, None, None)
        (journal.gone if gone else journal.missing)["web-2"] = silent_s
        (entry,) = journal.entries(NOW_NS - 60 * NS)
        assert (entry.time_ns, entry.host, entry.kind) == (NOW_NS - 16 * NS, "web-2", "host-silent")
        assert (entry.is_warning, printed.add(entry)) == (True, is_new)
    assert not list(journal.entries(NOW_NS))
    assert not list(journal.entries(of=["web-1"]))
