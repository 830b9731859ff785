"""Events: once for each host, to every sink, and never in the way of a request."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ratelimit.decision import Reason
from ratelimit.events import EVENTS, Event
from ratelimit.limiter import Limiter
from ratelimit.policy.schema.events import Events
from ratelimit.stores.acts.act import Act
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.telemetry import RateLimitCollector
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.counters import RemoteCounters
from ratelimit.telemetry.names import COUNTER_RUNTIME, RuntimeColumn
from ratelimit.worker.events import sinks
from ratelimit.worker.events.host import HostRecord
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import MOST_GROUPS, EventWatch
from tests.support.acting import BOTS, END_NS, START_NS, Actor
from tests.support.campaign import Request, campaign, policy_text
from tests.support.policy_lines import at_top, events_to
from tests.support.redis.patience import until

NS = 10**9
SINKS = ("log", "file", "webhook")
POLICY = """\
version = 1
events = ["file:{events}"]
[[limit]]
name = "requests"
per = "ip"
rate = "{rate}/hour"
[store]
keys = 1000
memory = "{table}"
"""


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Host:
    """Two workers of one host, each with its watch, and the file that their events go to."""

    def __init__(self, tmp_path: Path, text: str) -> None:
        self.file = tmp_path / "events.ndjson"
        self.policy = tmp_path / "policy.toml"
        self.policy.write_text(text)
        self.workers = [Limiter(self.policy) for _ in range(2)]
        self.reporters = [Reporter(each.store.place, each.policy.file.events) for each in self.workers]
        self.watches = [EventWatch(each) for each in self.reporters]

    def look(self, log: Sequence[Act] = ()) -> list[dict[str, Any]]:
        for watch, worker in zip(self.watches, self.workers, strict=True):
            watch.look(worker, log)
        for reporter in self.reporters:
            reporter.wait_until_written()
        return read(self.file)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    text = POLICY.format(rate=5, table=tmp_path / "table", events=tmp_path / "events.ndjson")
    made = Host(tmp_path, text)
    yield made
    for worker in made.workers:
        worker.close()


def test_a_reload_is_told_once_though_every_worker_reads_the_file(host: Host) -> None:
    assert host.look() == []
    host.policy.write_text(host.policy.read_text().replace("5/hour", "6/hour"))
    for worker in host.workers:
        worker.reload()
    (one,) = host.look()
    assert (one["event"], one["host"]) == ("policy-reloaded", os.uname().nodename)
    assert one["fields"]["digest"] == f"{host.workers[0].policy.digest:012x}"
    assert host.look() == [one]


def test_a_broken_policy_is_told_and_told_again_when_it_lasts(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = host.policy.read_text()
    host.policy.write_text(good.replace("5/hour", "often"))
    for worker in host.workers:
        worker.reload()
    assert [each["event"] for each in host.look()] == ["policy-rejected"]
    for worker in host.workers:
        assert worker.runtime.file.rejected_ns is not None
        worker.runtime.file.rejected_ns -= 600 * NS
    assert [each["event"] for each in host.look()] == ["policy-rejected", "policy-rejected-long"]
    assert len(host.look()) == 2
    host.policy.write_text(good)
    for worker in host.workers:
        worker.reload()
        assert worker.runtime.file.rejected_ns is None
    # That one is in force again is told, so that no screen calls it rejected.
    told = ["policy-rejected", "policy-rejected-long", "policy-reloaded"]
    assert [each["event"] for each in host.look()] == told
    assert len(host.look()) == 3


def test_a_likely_mistake_is_told(host: Host) -> None:
    for worker in host.workers:
        worker.runtime.diagnose("undeclared-proxy")
    (one,) = host.look()
    assert (one["event"], one["fields"]["code"]) == ("self-check", "undeclared-proxy")


def test_an_outage_of_a_host_is_one_and_says_what_came_of_it(tmp_path: Path) -> None:
    record = HostRecord(tmp_path / "table")
    assert record.leave(7, {"requests_charged_back": 10})
    assert not record.leave(8, {"requests_charged_back": 10})
    assert HostRecord(tmp_path / "table").come_back({"requests_charged_back": 52}) == (
        7,
        {"requests_charged_back": 42},
    )
    assert record.come_back({}) is None


def test_of_several_workers_the_one_that_went_first_says_what_was_counted_before(tmp_path: Path) -> None:
    """Hazard: what it decided until another one told of the absence was counted for none."""
    record = HostRecord(tmp_path / "table")
    assert record.leave(7, {"requests_allowed": 10})
    assert not record.leave(8, {"requests_allowed": 4})
    assert not record.leave(9, {"requests_allowed": 30})
    assert record.before_away == {"requests_allowed": 4}
    assert record.come_back({"requests_allowed": 12}) == (7, {"requests_allowed": 8})
    assert record.before_away == {}


def test_an_outage_has_what_was_decided_before_it_was_noticed_and_nothing_of_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: the journal and the counter of faults have different numbers for the same outage."""
    host = Host(tmp_path, POLICY.format(rate=10, table=tmp_path / "table", events=tmp_path / "events.ndjson"))
    worker, counters = host.workers[0], RemoteCounters(host.workers[0].table)
    begin_ns = worker.now_ns()
    for at_s, is_away, decided in ((0, False, 7), (3, True, 5), (4, True, 2), (5, False, 0)):
        monkeypatch.setattr(Limiter, "remote", {"is_away": is_away})
        monkeypatch.setattr(worker, "now_ns", lambda at_s=at_s: begin_ns + at_s * NS)
        worker.runtime.counters.decided(True, Reason.LIMITS)  # by the server
        host.watches[0].look(worker)
        for at in range(decided):
            counters.stood_in(allowed=at > 0)
            worker.runtime.counters.store_fault()
    host.reporters[0].wait_until_written()
    fields = read(host.file)[-1]["fields"]
    faults = totals(worker.table, COUNTER_RUNTIME, len(RuntimeColumn))[RuntimeColumn.STORE_FAULTS]
    assert (fields["requests_allowed"], fields["requests_refused"]) == (11, 3)
    assert fields["requests_allowed"] + fields["requests_refused"] == faults
    for each in host.workers:
        each.close()


@pytest.mark.parametrize("after", [{"saved_ns": 9, "is_correlator": 1}, {"saved_ns": 5, "is_correlator": 0}])
def test_snapshot_that_is_written_again_ends_the_trouble(
    host: Host, monkeypatch: pytest.MonkeyPatch, after: dict[str, int]
) -> None:
    """Hazard: what an outage made stands in the journal for good, though snapshots are written again."""
    worker = host.workers[0]
    monkeypatch.setattr(Limiter, "correlation", {"saved_ns": 5, "is_correlator": 1})
    worker.runtime.diagnose("snapshot-unwritten")
    assert [each["event"] for each in host.look()] == ["self-check"]
    assert len(host.look()) == 1
    monkeypatch.setattr(Limiter, "correlation", after)
    for _ in range(2):
        told = host.look()
        assert [each["event"] for each in told] == ["self-check", "self-check-over"]
        assert told[1]["fields"] == {"code": "snapshot-unwritten"}
    assert "snapshot-unwritten" not in worker.runtime.noticed
    worker.runtime.diagnose("snapshot-unwritten")
    assert "snapshot-unwritten" in worker.runtime.noticed


def test_server_that_is_reached_again_ends_the_trouble(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clustering:
        trouble = "lost"

    worker = host.workers[0]
    monkeypatch.setattr(type(worker.runtime), "noticed", {"hosts-unreachable": "it is away"})
    assert [each["event"] for each in host.look()] == ["self-check"]
    watch = host.watches[0]
    seen = SimpleNamespace(clustering=Clustering())
    assert not watch._is_over(seen, "hosts-unreachable")
    Clustering.trouble = ""
    assert watch._is_over(seen, "hosts-unreachable")


def test_an_outage_is_told_where_nothing_can_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path, POLICY.format(rate=10, table=tmp_path / "table", events=tmp_path / "events.ndjson"))
    worker = host.workers[0]
    reporter = Reporter(tmp_path / "no folder" / "table", worker.policy.file.events)
    watch = EventWatch(reporter)
    for is_away in (False, True, True, False):
        monkeypatch.setattr(Limiter, "remote", {"is_away": is_away})
        watch.look(worker)
    reporter.wait_until_written()
    told = read(host.file)
    assert [each["event"] for each in told] == ["store-away", "store-back"]
    assert told[1]["fields"]["away_seconds"] < 60
    for each in host.workers:
        each.close()


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([(0, True), (1, True), (1.9, False), (3, False)], []),
        ([(0, True), (1, True), (2.1, True)], ["store-away"]),
        ([(0, True), (1, False), (1.2, True)], ["store-away"]),  # it was there
        ([(0, True), (-5, True)], ["store-away"]),  # a clock that steps back hides nothing
    ],
)
def test_a_worker_that_is_still_connecting_is_no_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[tuple[float, bool]], told: list[str]
) -> None:
    host = Host(tmp_path, POLICY.format(rate=10, table=tmp_path / "table", events=tmp_path / "events.ndjson"))
    begin_ns = host.workers[0].now_ns()
    for at_s, is_away in looks:
        monkeypatch.setattr(Limiter, "remote", {"is_away": is_away})
        monkeypatch.setattr(host.workers[0], "now_ns", lambda at_s=at_s: begin_ns + int(at_s * NS))
        host.watches[0].look(host.workers[0])
    host.reporters[0].wait_until_written()
    assert [each["event"] for each in read(host.file)] == told
    for each in host.workers:
        each.close()


def test_acts_begin_and_end_with_one_event(host: Host) -> None:
    host.look()
    worker = host.workers[0]
    key = fingerprint_of(worker.store.hasher.key).hex()
    act = Act(1, "exempt-limits", 1, "me@here", key, [7], "ip", until_ns=worker.now_ns() + NS, reason="why")
    for each in host.workers:
        each.runtime.amend((act,))
    assert [(each["event"], each["fields"]["reason"]) for each in host.look()] == [("act-made", "why")]
    for each in host.workers:
        each.runtime.amend(())
    undo = Act(2, "undo", 2, "you@here", key, reason="done", undoes=1, undoes_ns=1)
    events = host.look([act, undo])
    assert [(each["event"], each["fields"]["by"]) for each in events] == [
        ("act-made", "me@here"),
        ("act-undone", "you@here"),
    ]


def test_an_act_that_is_only_not_there_is_not_told_as_taken_back(host: Host) -> None:
    host.look()
    worker = host.workers[0]
    key = fingerprint_of(worker.store.hasher.key).hex()
    act = Act(1, "exempt-limits", 1, "me@here", key, [7], "ip", until_ns=worker.now_ns() + 3600 * NS)
    for acts in ((act,), (), (act,)):
        for each in host.workers:
            each.runtime.amend(acts)
        assert [each["event"] for each in host.look()] == ["act-made"]


def test_a_campaign_is_found_and_contained(tmp_path: Path) -> None:
    path, file = tmp_path / "policy.toml", tmp_path / "events.ndjson"
    store = f'memory = "{tmp_path / "table"}"\nkeys = 5000'
    path.write_text(at_top(policy_text(store=store, budget="50/day"), f'events = ["log", "file:{file}"]'))
    actor = Actor(path)
    reporter = Reporter(actor.limiter.store.place, actor.limiter.policy.file.events)
    watch = EventWatch(reporter)
    actor.live(campaign())
    actor.rest_until(END_NS)
    watch.look(actor.limiter)
    at_s = (END_NS - START_NS) / 1e9
    actor.live(Request(at_s, name, "", "", "192.0.2.1") for name in BOTS)
    actor.clock.set_ns(END_NS + 10 * NS)
    watch.look(actor.limiter)
    watch.look(actor.limiter)
    reporter.wait_until_written()
    found, contained = read(file)
    assert (found["event"], found["fields"]["accounts"], found["fields"]["verdict"]) == (
        "actor-found",
        60,
        "certain",
    )
    assert (contained["event"], contained["fields"]["limit"]) == ("actor-contained", "one actor")
    assert contained["fields"]["actor"] == found["fields"]["actor"]
    actor.limiter.close()


def test_a_young_cluster_is_told_with_its_line_and_again_a_day_before_it_has_one_budget(
    tmp_path: Path,
) -> None:
    path, file = tmp_path / "policy.toml", tmp_path / "events.ndjson"
    store = f'memory = "{tmp_path / "table"}"\nkeys = 5000'
    young = '[[limit]]\nname = "young"\nmatch = "/v1/*"\nper = "cluster:young"\nrate = "50/day"\n'
    text = policy_text(store=store, budget="50/day").replace("[correlation]\n", f"{young}[correlation]\n")
    path.write_text(events_to(text, file))
    actor = Actor(path)
    reporters = [Reporter(actor.limiter.store.place, actor.limiter.policy.file.events) for _ in range(4)]
    watches = [EventWatch(each) for each in reporters]

    def look() -> list[dict[str, Any]]:
        for watch in watches:
            watch.look(actor.limiter)
        for reporter in reporters:
            reporter.wait_until_written()
        return [each for each in read(file) if each["event"] == "actor-young"]

    actor.live(campaign())
    actor.rest_until(END_NS)
    (begins,) = look()
    assert look() == [begins]
    fields = begins["fields"]
    assert (fields["accounts"], fields["payment_methods"]) == (60, 6)
    assert fields["declare"] == 'organisations."NAME" = { payment = ["PAYMENT METHOD"] }'
    assert 0 < fields["until"] * NS - END_NS + 7200 * NS <= 7 * 24 * 3600 * NS + 7200 * NS
    assert actor.numbers["young"] == 1
    for day, told in ((5, 1), (6.5, 2), (8, 2)):
        at_s = (END_NS - START_NS) / NS + day * 24 * 3600
        actor.live(Request(at_s + n, name, f"stolen{n % 6}", "", "192.0.2.1") for n, name in enumerate(BOTS))
        actor.rest_until(START_NS + int((at_s + 7200) * NS))
        assert len(look()) == told, day
    assert actor.numbers["young"] == 0
    actor.limiter.close()


SOURCES = {
    "payment": "",
    "payer": 'payer = { from = ["header:x-card", "header:x-payment"], missing = "skip" }\n',
    "sponsor": 'sponsor = { from = "header:x-payment", missing = "skip" }\n',
}
"""Who pays, as a policy may know it: a method, the first of several sources, the giver of free credit."""


class Groups:
    """A limiter with a limit per payer and one per network, and four watches as of four workers."""

    def __init__(self, tmp_path: Path, payer: str = "payment") -> None:
        path, self.file = tmp_path / "policy.toml", tmp_path / "events.ndjson"
        limits = "".join(
            f'[[limit]]\nname = "each {per}"\nmatch = "/v1/*"\nper = "{per}"\nrate = "{rate}/day"\n'
            'algorithm = "sliding-window"\n'
            for per, rate in ((payer, 20), ("network", 5000))
        )
        text = policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 20000')
        named = 'extra = ["sponsor"]' if payer == "sponsor" else f'payment = "{payer}"'
        text = text.replace("[identities]\n", f"[identities]\n{SOURCES[payer]}")
        text = text.replace('payment = "payment"', named)
        path.write_text(events_to(text.replace("[correlation]\n", f"{limits}[correlation]\n"), self.file))
        self.actor = Actor(path)
        limiter = self.actor.limiter
        self.reporters = [Reporter(limiter.store.place, limiter.policy.file.events) for _ in range(4)]
        self.watches = [EventWatch(each) for each in self.reporters]

    def ask(self, cards: int, accounts: int, times: int, begin_s: float = 0.0) -> None:
        """Have so many accounts on each card ask so often within a minute."""
        rows = [(card, number) for card in range(cards) for _ in range(times) for number in range(accounts)]
        self.actor.live(
            Request(
                begin_s + at / len(rows) * 60,
                f"a{card}/{number}",
                f"card {card}",
                "",
                f"10.{card}.{number}.1",
            )
            for at, (card, number) in enumerate(rows)
        )
        self.actor.rest_until(START_NS + int((begin_s + 60) * NS))

    def told(self) -> list[dict[str, Any]]:
        self.actor.clock.set_ns(self.actor.clock.now_ns() + 10 * NS)
        for watch in self.watches:
            watch.look(self.actor.limiter)
        for reporter in self.reporters:
            reporter.wait_until_written()
        return [each["fields"] for each in read(self.file) if each["event"] == "group-refused"]


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    made = Groups(tmp_path)
    yield made
    made.actor.limiter.close()


@pytest.mark.parametrize("payer", SOURCES)
def test_an_organisation_that_a_limit_refuses_is_told_once_with_what_opens_more(
    tmp_path: Path, payer: str
) -> None:
    """The limit refuses two thirds of what all its accounts ask for, and that is told within a minute."""
    groups = Groups(tmp_path, payer)
    groups.ask(1, 10, 6)
    (fields,) = groups.told()
    assert (fields["limit"], fields["per"]) == (f"each {payer}", payer)
    assert 10 <= fields["accounts"] <= 11  # one that comes during a rebuild is counted twice until the next
    assert fields["refused"] == 40
    assert len(fields["caller"]) == 8
    assert "card" not in json.dumps(fields)
    assert "`tiers`" in fields["opens"]
    groups.ask(1, 10, 6, 3600)
    assert len(groups.told()) == 1
    groups.ask(1, 10, 6, 90_000)
    assert len(groups.told()) == 2
    groups.actor.limiter.close()


@pytest.mark.parametrize(("accounts", "times"), [(6, 9), (1, 60), (10, 2)])
def test_a_payer_of_few_accounts_and_one_that_is_not_refused_are_not_told(
    groups: Groups, accounts: int, times: int
) -> None:
    groups.ask(1, accounts, times)
    assert groups.told() == []


def test_a_flood_of_payers_is_told_in_part(groups: Groups) -> None:
    groups.ask(100, 8, 5)
    assert len(groups.told()) == MOST_GROUPS
    assert len(groups.told()) == MOST_GROUPS


# -- sinks ----------------------------------------------------------------------------------------------


def event(**fields: Any) -> Event:
    return Event("store-away", 1_700_000_000 * NS, "web-1", 7, fields)


def test_a_record_is_one_line_of_json() -> None:
    assert json.loads(event(words="a\nb").json()) == {
        "event": "store-away",
        "time": "2023-11-14T22:13:20.000Z",
        "host": "web-1",
        "worker": 7,
        "says": EVENTS["store-away"].says,
        "fields": {"words": "a\nb"},
    }
    assert "\n" not in event(words="a\nb").json() + event(words="a\nb").line()


def test_the_log_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ratelimit.events"):
        sinks.to_log(event(seconds=3))
    assert [(each.levelname, each.message.startswith("store-away: ")) for each in caplog.records] == [
        ("WARNING", True)
    ]
    assert caplog.records[0].message.endswith("seconds=3")


def test_a_sink_that_hangs_holds_up_nothing_and_forgets_the_latest() -> None:
    release, written = Signal(), []

    def write(one: Event) -> None:
        release.wait(60)
        written.append(one)

    sink = sinks.Sink(write, "hanging")
    for number in range(2 * sinks.MOST_WAITING):
        sink.put(event(number=number))
    release.set()
    sink.wait_until_written(20)
    assert [each.fields["number"] for each in written] == list(range(sinks.MOST_WAITING))
    assert sum(each.fields.get("dropped", 0) for each in written) == sinks.MOST_WAITING


@pytest.fixture
def receiver() -> Iterator[Callable[[], tuple[str, list[Any]]]]:
    servers = []

    def start() -> tuple[str, list[Any]]:
        got: list[Any] = []

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(500 if len(got) < 3 else 204)
                self.end_headers()

            def log_message(self, *given: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/hook", got

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_webhook_is_tried_again(
    receiver: Callable[[], tuple[str, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "FIRST_PAUSE_S", 0.001)
    address, got = receiver()
    monkeypatch.setenv("HOOK", address)
    _, hook = sinks.sinks_of(Events(webhook="env:HOOK"))
    hook.put(event(number=1))
    until(lambda: len(got) == 3, "the third try")
    assert {each["event"] for each in got} == {"store-away"}


def test_a_webhook_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "FIRST_PAUSE_S", 0.001)
    with pytest.raises(OSError, match="refused"):
        sinks.Webhook("http://127.0.0.1:9/").post(event())
    with pytest.raises(ValueError, match="http"):
        sinks.Webhook("file:///etc/passwd").post(event())


def test_a_lost_webhook_is_in_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/")
    text = POLICY.format(rate=5, table=tmp_path / "table", events=tmp_path / "events.ndjson")
    host = Host(tmp_path, text.replace('"]', '", "env:HOOK"]', 1))
    worker = host.workers[0]
    host.reporters[0].tell("store-away", 1)
    host.reporters[0].wait_until_written(20.0)
    for _ in range(2):  # counted once
        host.watches[0].look(worker)
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(worker))
    lost = {sink: registry.get_sample_value("ratelimit_events_lost_total", {"sink": sink}) for sink in SINKS}
    assert lost == {"log": 0.0, "file": 0.0, "webhook": 1.0}
    for each in host.workers:
        each.close()


def test_the_page_has_every_event() -> None:
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    for name in EVENTS:
        assert f"`{name}`" in page, name
