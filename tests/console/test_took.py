"""Who took most: over hosts, limits and a chosen time, in the units of each limit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import SystemClock
from ratelimit.console.observation import Observation
from ratelimit.events import Event
from ratelimit.inspection.hosts.moment import HostMoment, Moment, Refused
from ratelimit.inspection.journal.entries import journal_of
from ratelimit.stores.journal import takings_of
from tests.cli.running import write_policy
from tests.cli.test_actors import key_of
from tests.console.driving import Reader, reading
from tests.support.acting import BOTS, Actor
from tests.support.time import stop_host

HOUR_NS = 3600 * 10**9
DAY = 24
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
match = "/a"
per = "account"
rate = "100/hour"
[[limit]]
name = "dollars"
match = "/b"
per = "account"
rate = "50/day"
unit = "usd"
cost = 0
[store]
keys = 1000
memory = "{}"
"""


def write_takings(place: Path, hour_ns: int, host: str, **limits: dict[str, int]) -> None:
    fields = {"begin": hour_ns // 10**9, "limits": limits}
    takings_of(place).append([Event("takings", hour_ns + HOUR_NS, host, 7, fields).json().encode()])


@pytest.fixture
def now_ns(monkeypatch: pytest.MonkeyPatch) -> int:
    """Stop the clock at noon, a quarter past."""
    noon = SystemClock().now_ns() // (DAY * HOUR_NS) * DAY * HOUR_NS + 12 * HOUR_NS
    stop_host(monkeypatch, noon + HOUR_NS // 4)
    return noon


def test_most_of_a_chosen_time_is_summed_over_hosts_in_the_limits_own_units(
    tmp_path: Path, now_ns: int
) -> None:
    """Hazard: the level of a bucket that is shown as what was taken; a host that is left out."""
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter = Limiter(path)
    try:
        ann, bob = (f"{number:016x}" for number in (0xA << 60, 0xB << 60))
        with journal_of(Policy.load(path)) as journal:
            assert journal.place is not None
            for hours, host, units in (
                (2, "web-1", 30),
                (2, "web-2", 20),
                (3, "web-1", 7),
                (30, "web-2", 500),
            ):
                begin_ns = now_ns - hours * HOUR_NS
                write_takings(journal.place, begin_ns, host, requests={ann: units, bob: 40}, gone={bob: 1})
            write_takings(
                journal.place, now_ns - 5 * HOUR_NS, "web-1", dollars={bob: 1_250_000, ann: 2_500_000}
            )
        for _ in range(9):
            limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with reading(path) as reader:

            def rows(since: str, limit: str = "requests") -> list[tuple[str, str]]:
                html = reader.get(f"/took?since={since}&limit={limit}").html
                return re.findall(r"<code>(\w{8})</code></a>\s*</th><td class=\"n\">([^<]*)", html)

            assert rows("1h") == [(rows("1h")[0][0], "9")]  # the hour under way, of this host
            assert rows("1d")[:2] == [("b" + "0" * 7, "120"), ("a" + "0" * 7, "57")]
            assert rows("7d")[:2] == [("a" + "0" * 7, "557"), ("b" + "0" * 7, "160")]
            assert rows("yesterday") == [("a" + "0" * 7, "500"), ("b" + "0" * 7, "40")]
            assert rows("7d", "dollars") == [("a" + "0" * 7, "2.5 usd"), ("b" + "0" * 7, "1.25 usd")]
            week = reader.get("/week").text
            assert "2.5 usd" in week
            assert "557" in week
            assert "web-1, web-2" in week
            page = reader.get("/limit?name=requests&since=1d")
            assert "120" in page.html.partition('id="took"')[2]
            assert f"account {ann[:8]}" in page.text
            person = reader.get(f"/person?who=account%3Dhash%3A{ann}")
            assert "took of requests 557 at least" in person.text
            assert "took of dollars 2.5 usd at least" in person.text
            everything = reader.get(reader.get("/").link("/took")).text
            assert "it took at least so much" in everything
            assert "gone" not in everything
            assert "is none of" in reader.get("/took?since=9y", 400).text
    finally:
        limiter.close()


def test_actors_are_ordered_by_what_they_took(actor: Actor, reader: Reader, policy: Path) -> None:
    """Hazard: `used` of a bucket, which is full again by the morning, taken for what was taken."""
    (name,) = actor.clusters(BOTS)
    hour_ns = (SystemClock().now_ns() // HOUR_NS - 3) * HOUR_NS
    with journal_of(Policy.load(policy)) as journal:
        assert journal.place is not None
        account = {f"{key_of(actor, bot):016x}": 4 for bot in BOTS[:10]}
        write_takings(
            journal.place, hour_ns, "web-2", **{"one actor": {f"{name:016x}": 700}, "requests": account}
        )
    page = reader.get("/actors?by=took%20of%20one%20actor&since=1d")
    assert re.search(r"≥ 7\d\d", page.text)  # and of this hour
    assert "took of one actor" in page.text
    found = reader.get(page.link("/actor?id=")).text
    assert re.search(r"took of one actor 7\d\d at least", found)
    assert re.search(r"took of requests \d+ at least by its accounts together", found)


def test_refusals_of_an_actor_are_those_of_all_hosts(
    actor: Actor, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: an actor that the other host refuses looks as if nobody refused it."""
    (name,) = actor.clusters(BOTS)
    now_ns = SystemClock().now_ns()
    callers = [
        Refused(host, "one actor", "cluster", name, number, 0, now_ns, now_ns, in_shadow)
        for host, number, in_shadow in (("web-1", 70_000, False), ("web-2", 7, False), ("web-2", 900, True))
    ]
    hosts = [HostMoment("web-3", None, None)]
    monkeypatch.setattr(Observation, "present", lambda self: Moment(now_ns, hosts, callers))
    assert "70,007" in reader.get("/actors").text
    page = reader.get(f"/actor?id={name:016x}").text
    assert re.search(r"70,000 times by one actor since .* UTC, on web-1 refused 7 times by .* on web-2", page)
    assert not re.search(r"\b900\b", page)  # a hash may have these digits
    assert "no answer from web-3" in page


def test_what_was_taken_is_looked_at_in_one_unit(tmp_path: Path, now_ns: int) -> None:
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    Limiter(path).close()
    with journal_of(Policy.load(path)) as journal:
        assert journal.place is not None
        taken = {"requests": {"a" * 16: 7}, "dollars": {"b" * 16: 2_500_000}}
        write_takings(journal.place, now_ns - 3 * HOUR_NS, "web-1", **taken)
    with reading(path) as reader:
        page = reader.get("/took?since=1d")
        assert "2.5 usd" in page.text
        assert "account aaaaaaaa" in page.text
        dollars = reader.get(page.link("unit=usd"))
        assert "2.5 usd" in dollars.text
        assert "account aaaaaaaa" not in dollars.text
        assert "unit=usd" in reader.get(dollars.link("since=7d")).link("since=1d")  # it stays chosen
