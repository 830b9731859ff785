"""Outages in a journal as people read them: what happened beside a server that flaps is not lost."""

from __future__ import annotations

from ratelimit.inspection.journal.entries import Entry, entry_of
from ratelimit.inspection.journal.outages import folded
from ratelimit.stores.journal import Record

NS = 10**9
START_S = 1_700_000_000


def entry(at_s: float, host: str, name: str, **fields: object) -> Entry:
    return entry_of(Record(name, round((START_S + at_s) * NS), host, 7, name, fields, b""))


def outage(at_s: float, away_s: float, host: str = "web-1", **fields: object) -> list[Entry]:
    return [
        entry(at_s, host, "store-away"),
        entry(at_s + away_s, host, "store-back", away_seconds=away_s, **fields),
    ]


def told(entries: list[Entry]) -> list[tuple[float, str, str]]:
    return [(each.time_ns / NS - START_S, each.host, each.kind) for each in folded(entries)]


def test_a_server_that_flaps_is_one_entry_of_each_host_and_hides_nothing() -> None:
    flaps = [
        one
        for at in range(0, 600, 10)
        for one in outage(
            at,
            0.5,
            requests_allowed=3,
            requests_charged_back=7,
            tokens_charged_back=500,
            micro_dollars_charged_back=20_000,
        )
    ]
    flaps += [one for at in range(5, 600, 10) for one in outage(at, 1.0, "web-2")]
    act = entry(301, "web-1", "act-made", act="3-7cc8", kind="stop", accounts=["26c94d0a"], by="ann")
    found = folded([*flaps, act])
    assert told([*flaps, act]) == [
        (0, "web-1", "outage"),
        (5, "web-2", "outage"),
        (301, "web-1", "act-made"),
    ]
    assert found[0].fields["times"] == 60
    assert found[0].end_ns == (START_S + 590) * NS + NS // 2
    for words in (
        "lost 60 times",
        "30 s in all",
        "500 ms at most",
        "180 requests allowed without it",
        "limits counted 420 requests, 30,000 tokens, $1.20 of what was allowed",
        "the rest fell in windows already over",
    ):
        assert words in found[0].text, found[0].text


def test_an_outage_that_pages_is_an_entry_of_its_own_among_hiccups() -> None:
    entries = [*outage(0, 0.5), *outage(20, 0.5), *outage(30, 89.8), *outage(130, 0.5), *outage(150, 0.5)]
    found = folded(entries)
    assert [each.fields["times"] for each in found] == [2, 1, 2]
    assert found[1].text.startswith("the server was not used for 89.8 s, until 22:15:19")


def test_hiccups_of_different_hours_stay_apart() -> None:
    entries = [*outage(0, 0.5), *outage(3600, 0.5)]
    assert told(entries) == [(0, "web-1", "outage"), (3600, "web-1", "outage")]


def test_an_outage_that_goes_on_is_told_as_begun_and_one_without_its_beginning_as_ended() -> None:
    back = outage(-90, 90)[1:]
    away = outage(100, 1)[:1]
    assert told([*away, *back]) == [(-90, "web-1", "outage"), (100, "web-1", "store-away")]


def test_what_is_folded_stays_as_it_is() -> None:
    once = folded([*outage(0, 0.5), *outage(20, 0.5), *outage(100, 1)[:1]])
    assert folded(once) == once
