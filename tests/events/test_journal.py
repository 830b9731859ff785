"""The journal: a ring that survives kills, full memory and other damage, and the command that reads it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ratelimit.core.sharing.steering import Steering
from ratelimit.decision import Reason
from ratelimit.events import EVENTS, NOTES, Event
from ratelimit.inspection.callers.takings import hours_taken
from ratelimit.inspection.formatting import instant, iso
from ratelimit.inspection.history.changes import Changes
from ratelimit.inspection.history.week import week_of
from ratelimit.inspection.journal.entries import Entry, entry_of, journal_of
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.journal import (
    LONGEST_LINE,
    JournalRing,
    Record,
    events_of,
    minutes_of,
    quarters_of,
    read_records,
)
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.names import COUNTER_EVENTS, REQUEST_COLUMN
from ratelimit.worker.events.minutes import OTHERS
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.cli.running import run
from tests.cli.test_shed import Worker
from tests.cli.test_shed import policy as class_policy
from tests.events.test_events import Host
from tests.support.acting import END_NS, Actor
from tests.support.campaign import campaign, policy_text
from tests.support.time import stop_host

NS = 10**9
START_NS = 1_700_000_000 * NS
ROOM = 4096


def line(number: int, name: str = "store-away", **fields: Any) -> bytes:
    return Event(name, START_NS + number * NS, "web-1", 7, fields).json().encode()


@pytest.fixture
def ring(tmp_path: Path) -> JournalRing:
    return JournalRing(tmp_path / "table", "journal", ROOM)


def seconds(ring: JournalRing) -> list[int]:
    return [(each.time_ns - START_NS) // NS for each in read_records(ring.read())]


def test_the_ring_forgets_the_oldest_and_never_grows(ring: JournalRing, tmp_path: Path) -> None:
    for number in range(200):
        ring.append([line(number)])
    found = seconds(ring)
    assert found == list(range(found[0], 200))
    assert len(found) >= ROOM // len(line(0))
    rings = [each for each in tmp_path.iterdir() if not each.name.endswith("-lock")]
    assert sum(each.stat().st_size for each in rings) == 2 * ROOM
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in tmp_path.iterdir())


@pytest.mark.parametrize("left", [1, 30, len(line(1)) - 1])
def test_a_writer_that_is_killed_leaves_half_a_line_and_the_next_goes_on(
    ring: JournalRing, tmp_path: Path, left: int
) -> None:
    ring.append([line(0)])
    path = tmp_path / "table.actors-journal"
    with path.open("r+b") as file:
        file.seek(len(line(0)) + 1)
        file.write(line(1)[:left])
    assert seconds(ring) == [0]
    ring.append([line(2)])
    assert seconds(ring) == [0, 2]


def test_other_bytes_in_the_ring_are_left_out(ring: JournalRing) -> None:
    ring.append([line(0), b"\xff\xfe nonsense", b"[" * 500, b"{}", b'{"event": 1}', line(1)])
    ring.append([line(2, code="x" * LONGEST_LINE)])  # too long: it would push out others
    assert seconds(ring) == [0, 1]


def test_writers_of_many_processes_lose_no_line(ring: JournalRing, tmp_path: Path) -> None:
    big = JournalRing(tmp_path / "table", "journal", 1 << 20)
    spawning = get_context("fork")
    processes = [
        spawning.Process(target=lambda at: [big.append([line(at * 50 + n)]) for n in range(50)], args=(each,))
        for each in range(4)
    ]
    for each in processes:
        each.start()
    for each in processes:
        each.join(30)
    assert seconds(big) == list(range(200))


def test_a_line_is_written_where_memory_is_full(
    ring: JournalRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.reserve()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    ring.append([line(0)])
    assert seconds(ring) == [0]
    assert (tmp_path / "table.actors-journal").stat().st_size == ROOM


def test_a_line_that_comes_in_the_same_instant_is_noticed(ring: JournalRing, tmp_path: Path) -> None:
    """Hazard: a line that is added while the kernel's time stands still goes to no other host."""
    path = tmp_path / "table.actors-journal"
    ring.append([line(0)])
    os.utime(path, ns=(START_NS, START_NS))
    before = ring.stamp()
    ring.append([line(1)])
    os.utime(path, ns=(START_NS, START_NS))
    assert ring.stamp() != before
    before = ring.stamp()
    assert ring.add([line(2)]) == [line(2)]
    os.utime(path, ns=(START_NS, START_NS))
    assert ring.stamp() != before
    assert ring.add([line(2)]) == []


def test_two_rings_are_joined_in_any_order(tmp_path: Path) -> None:
    one, other = JournalRing(tmp_path / "a"), JournalRing(tmp_path / "b")
    one.append([line(0), line(2)])
    other.append([line(1), line(2)])
    assert one.add(other.read()) == [line(1)]
    other.add(one.read())
    assert seconds(one) == seconds(other) == [0, 1, 2]
    assert one.add(other.read()) == []


# -- what is in it -----------------------------------------------------------------------------------------

POLICY = """\
version = 1
events = [{file}]
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "{rate}/hour"
[store]
keys = 1000
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, POLICY.format(rate=5, table=tmp_path / "table", file=""))
    yield made
    for worker in made.workers:
        worker.close()


def journal(policy: Path, *options: str) -> list[dict[str, Any]]:
    result = run("journal", policy, "--json", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_a_policy_is_in_the_journal_with_its_author_and_what_changed(host: Host) -> None:
    host.look()
    host.policy.write_text(host.policy.read_text().replace("5/hour", "6/hour"))
    for worker in host.workers:
        worker.reload()
    host.look()
    (one,) = journal(host.policy)
    assert (one["kind"], one["subject"]) == ("policy-reloaded", f"{host.workers[0].policy.digest:012x}")
    assert one["fields"]["by"] == host.policy.owner()
    assert "requests" in one["text"]
    assert host.policy.owner() in run("journal", host.policy).stdout


def test_a_policy_that_comes_with_a_restart_is_in_the_journal(tmp_path: Path) -> None:
    digests = []
    for rate in (5, 5, 6):
        host = Host(tmp_path, POLICY.format(rate=rate, table=tmp_path / "table", file=""))
        host.look()
        digests.append(f"{host.workers[0].policy.digest:012x}")
        for worker in host.workers:
            worker.close()
    (one,) = journal(host.policy)
    assert one["subject"] == digests[2]
    assert digests[0] in one["text"]


def test_minutes_are_counted_once_whichever_worker_does(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_ns = host.workers[0].now_ns() // (3600 * NS) * 3600 * NS  # no hour ends meanwhile
    for at, asked in enumerate((0, 7, 0, 3)):
        for worker in host.workers:
            monkeypatch.setattr(worker, "now_ns", lambda at=at: begin_ns + at * 60 * NS)
        for number in range(asked):
            host.workers[number % 2].decide(identities={"account": "acct-17"}, client="203.0.113.9")
        for watch, worker in list(zip(host.watches, host.workers, strict=True))[:: 1 if at % 2 else -1]:
            watch.look(worker)
    found = journal(host.policy, "--minutes", "--of", "requests")
    assert [each["fields"]["limits"]["requests"] for each in found] == [
        {"allowed": 5, "refused": 2},
        {"refused": 3},
    ]
    assert journal(host.policy, "--minutes", "--of", "other") == []
    assert journal(host.policy) == []


def test_minutes_are_counted_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(class_policy(tmp_path))
    begin_ns = worker.limiter.now_ns() // (60 * NS) * 60 * NS
    reporter = Reporter(worker.limiter.store.place, worker.limiter.policy.file.events)
    watch = EventWatch(reporter)
    watch.look(worker.limiter)
    answers = [worker.ask("bob", path) for path in ("/v1/batch", "/v1/chat") for _ in range(8)]
    monkeypatch.setattr(worker.limiter, "now_ns", lambda: begin_ns + 60 * NS)
    watch.look(worker.limiter)
    worker.close()
    (one,) = journal(tmp_path / "policy.toml", "--minutes", "--of", "batch")
    classes = one["fields"]["classes"]
    assert classes["batch"]["shed"] == answers[:8].count(503) > 0
    assert classes.get("interactive", {}).get("shed", 0) == answers[8:].count(503)
    assert one["fields"]["requests"]["shed"] == answers.count(503)
    for name, of in (("batch", answers[:8]), ("interactive", answers[8:])):
        assert classes[name].get("allowed", 0) == len(of) - of.count(503)
    assert "class batch" in one["text"]


DENIES = '[deny]\naccount = ["bad"]\n[store]'


def test_a_minute_has_what_refused_beside_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: a flood that is stopped goes on, and of its refusals the journal says nothing."""
    text = POLICY.format(rate=5, table=tmp_path / "table", file="")
    host = Host(tmp_path, text.replace("[store]", DENIES).replace('key" }', 'key", missing = "refuse" }'))
    begin_ns = host.workers[0].now_ns() // HOUR_NS * HOUR_NS + 7 * MINUTE_NS
    asked = [("bad", 4), ("acct-17", 6), (None, 2)]
    for minute in range(2):
        for worker in host.workers:
            monkeypatch.setattr(worker, "now_ns", lambda minute=minute: begin_ns + minute * MINUTE_NS)
        host.look()
        for account, times in asked if minute == 0 else ():
            for _ in range(times):
                host.workers[0].decide(identities={"account": account} if account else {}, client="192.0.2.1")
    for worker in host.workers:
        worker.close()
    (one,) = journal(host.policy, "--minutes", "--since", "2h", "--of", "deny list")
    assert one["fields"]["limits"] == {"requests": {"allowed": 5, "refused": 1}}
    assert one["fields"]["others"] == {"deny list": {"refused": 4}, "missing identity": {"refused": 2}}
    assert one["fields"]["requests"] == {"allowed": 5, "refused": 4 + 1 + 2}
    said = "requests 5 allowed, 1 refused; deny list 4 refused; missing identity 2 refused"
    assert one["text"] == said
    with journal_of(Policy.load(host.policy)) as opened:
        (hour,) = opened.hours(begin_ns, now_ns=begin_ns + MINUTE_NS)
    assert hour.as_entry().text.startswith(
        "5 allowed, 7 refused (58.3 %); deny list 4; missing identity 2; requests 1;"
    )
    assert hour.as_entry().fields["others"] == {"deny list": 4, "missing identity": 2}
    (day,) = week_of([hour], Changes([], []), begin_ns).days
    assert day.limits == [("deny list", 4), ("missing identity", 2), ("requests", 1)]


def test_all_that_refuses_requests_has_a_name() -> None:
    refusing = {reason for is_allowed, reason in REQUEST_COLUMN if not is_allowed} - {Reason.LIMITS}
    assert set(OTHERS) == refusing
    assert len({*OTHERS.values()}) == len(OTHERS)


def test_a_minute_has_the_time_that_was_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: what was refused from 14:03 on stands at 14:04, and people look in the wrong minute."""
    begin_ns = host.workers[0].now_ns() // HOUR_NS * HOUR_NS + 3 * MINUTE_NS
    for minute, asked in ((0, 7), (1, 0), (2, 1), (12, 0), (57, 0)):
        for worker in host.workers:
            # It is looked at some time after the minute has begun.
            monkeypatch.setattr(worker, "now_ns", lambda at=minute: begin_ns + at * MINUTE_NS + NS // 3)
        host.look()
        for _ in range(asked):
            host.workers[0].decide(identities={"account": "acct-17"}, client="203.0.113.9")
    lines = journal(host.policy, "--minutes", "--since", "3h")
    assert [(each["kind"], each["time"], each["end"]) for each in lines] == [
        ("top-callers", iso(begin_ns - 3 * MINUTE_NS), iso(begin_ns + 57 * MINUTE_NS)),
        ("minute", iso(begin_ns), iso(begin_ns + MINUTE_NS)),
        ("minute", iso(begin_ns + 2 * MINUTE_NS), iso(begin_ns + 12 * MINUTE_NS)),
    ]
    shown = run("journal", host.policy, "--minutes", "--hours", "--since", "3h").stdout
    at = {minute: instant(begin_ns + minute * MINUTE_NS)[:16] for minute in (0, 1, 2, 12)}
    hour = instant(begin_ns)[:13]
    assert f"{at[0]}–{at[1][11:]}  " in shown
    assert f"{at[2]}–{at[12][11:]}  " in shown
    assert f"{hour}:00–" in shown


MINUTE_NS = 60 * NS
QUARTER_NS = 15 * MINUTE_NS
HOUR_NS = 4 * QUARTER_NS


def test_hours_are_the_sums_of_all_hosts_and_outlive_minutes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_ns = host.workers[0].now_ns() // (8 * QUARTER_NS) * 8 * QUARTER_NS
    host.look()
    # Two in the first hour, the latter across the full hour, none for two quarters, one more.
    for at, asked in ((0, 1), (2, 7), (4, 0), (6, 3), (8, 0)):
        for worker in host.workers:
            monkeypatch.setattr(worker, "now_ns", lambda at=at: begin_ns + at * QUARTER_NS)
        host.look()
        for _ in range(asked):
            host.workers[0].decide(identities={"account": "acct-17"}, client="203.0.113.9")
    place = host.workers[0].store.place
    assert place is not None
    other = {"begin": begin_ns // NS, "requests": {"allowed": 40, "shed": 2}}
    quarters_of(place).append([Event("quarter", begin_ns + QUARTER_NS, "web-2", 7, other).json().encode()])
    with journal_of(host.workers[0].policy) as opened:
        first, second = opened.hours(begin_ns)
        assert (first.allowed, first.refused, first.shed) == (40 + 5, 3, 2)
        assert (second.allowed, second.refused, second.shed) == (0, 3, 0)
        assert (first.by_limit, len(first.hosts), len(second.hosts)) == ({"requests": 3}, 2, 1)
        assert [each.begin_ns for each in opened.hours(begin_ns + 5 * QUARTER_NS)] == [second.begin_ns]
    told = [each for each in journal(host.policy, "--hours", "--since", "7d") if each["kind"] == "hour"]
    assert [each["fields"]["requests"]["refused"] for each in told] == [3, 3]
    assert told[0]["text"] == "45 allowed, 3 refused, 2 shed (10 %); requests 3"


def test_the_hour_under_way_is_shown_from_its_first_minute(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: before the first quarter of an hour has ended the command said nothing of it."""
    now_ns = host.workers[0].now_ns()
    begin_ns = now_ns // HOUR_NS * HOUR_NS

    def at(minute: int, asked: int) -> None:
        for worker in host.workers:
            monkeypatch.setattr(worker, "now_ns", lambda: begin_ns + minute * MINUTE_NS)
        host.look()
        for _ in range(asked):
            host.workers[0].decide(identities={"account": "acct-17"}, client="203.0.113.9")

    def hours(minute: int) -> list[tuple[int, int, bool]]:
        with journal_of(host.workers[0].policy) as opened:
            found = opened.hours(begin_ns, now_ns=begin_ns + minute * MINUTE_NS)
        return [(each.allowed, each.refused, bool(each.until_ns)) for each in found]

    at(0, 7)
    at(1, 0)
    assert hours(1) == [(5, 2, True)]
    at(20, 3)  # the quarter has ended: its minutes count once
    at(21, 4)
    at(22, 0)
    assert hours(22) == [(5, 9, True)]
    with journal_of(host.workers[0].policy) as opened:
        (one,) = opened.hours(begin_ns, now_ns=begin_ns + 22 * MINUTE_NS)
    until = instant(begin_ns + 22 * MINUTE_NS)[11:16]
    assert one.as_entry().text == f"5 allowed, 9 refused (64.3 %); requests 9; so far, up to {until}"
    at(61, 0)
    at(75, 0)
    assert hours(75) == [(5, 9, False)]


def test_counts_of_several_minutes_are_not_called_those_of_one(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_ns = host.workers[0].now_ns() // HOUR_NS * HOUR_NS
    for minute, asked in ((0, 7), (9, 3), (10, 0)):
        for worker in host.workers:
            monkeypatch.setattr(worker, "now_ns", lambda minute=minute: begin_ns + minute * MINUTE_NS)
        host.look()
        for _ in range(asked):
            host.workers[0].decide(identities={"account": "acct-17"}, client="203.0.113.9")
    of_nine, of_one = [
        each for each in journal(host.policy, "--minutes", "--since", "2h") if each["kind"] == "minute"
    ]
    assert of_nine["fields"]["minutes"] == 9
    assert "of 9 minutes" in of_nine["text"]
    assert "minutes" not in of_one["fields"]


def test_the_week_outlives_a_reboot_where_events_have_a_file(tmp_path: Path) -> None:
    """Hazard: shared memory goes with a boot."""
    file = tmp_path / "disk" / "events.ndjson"
    file.parent.mkdir()
    text = POLICY.format(rate=5, table=tmp_path / "table", file=f'"file:{file}"')
    for number in (1, 2):
        host = Host(tmp_path, text)
        host.reporters[0].note_for_long(
            "quarter", START_NS, begin=START_NS // NS + number * 3600, requests={"allowed": number}
        )
        for worker in host.workers:
            worker.close()
        with journal_of(Policy.load(host.policy)) as opened:
            assert [each.allowed for each in opened.hours()] == [1, 2][:number]
        for each in tmp_path.glob("table*"):
            each.unlink()


def test_what_a_limit_learned_is_told_once_and_again_when_it_is_much_different(tmp_path: Path) -> None:
    text = POLICY.format(rate=5, table=tmp_path / "table", file="")
    host = Host(tmp_path, f'{text}\n[adaptive]\nmatch = ["POST /v1/chat"]\n')
    told = []
    for seconds in (0.0, 1.4, 1.4, 1.9, 2.2, 1.2):
        for worker in host.workers:
            (load,) = worker.loads.values()
            Steering(load.flight).publish(0, 9, 9, 9, 9, 0, 0, 0, 0.0, round(seconds * NS), [])
        for watch in host.watches:
            watch._refusals_ns = 0
        host.look()
        told.append([each["text"] for each in journal(host.policy)])
    for worker in host.workers:
        worker.close()
    assert told[:2] == [[], ["learned first byte 1.4 s on POST /v1/chat"]]
    assert told[1] == told[2] == told[3]
    assert told[4][1:] == ["learned first byte 2.2 s on POST /v1/chat, before 1.4 s"]
    assert told[5][2:] == ["learned first byte 1.2 s on POST /v1/chat, before 2.2 s"]


def test_callers_are_noted_by_the_hour_and_found_by_their_value(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_ns = host.workers[0].now_ns()
    for _ in range(9):
        host.workers[0].decide(identities={"account": "acct-17"}, client="203.0.113.9")
    for at in range(2):
        for worker in host.workers:
            monkeypatch.setattr(worker, "now_ns", lambda at=at: begin_ns + at * 3600 * NS)
        host.look()
    found = journal(host.policy, "--minutes", "--of", "acct-17")
    assert [(each["kind"], each["fields"]["callers"][0]["refused"]) for each in found] == [("top-callers", 4)]
    assert journal(host.policy, "--minutes", "--of", "acct-18") == []


def test_what_callers_took_is_noted_once_an_hour_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: two workers note the same, an hour is lost between them, a boot clears the memory."""
    hour = START_NS // (3600 * NS)
    clock = stop_host(monkeypatch, hour * 3600 * NS + 1800 * NS)
    file = tmp_path / "disk" / "events.ndjson"
    file.parent.mkdir()
    host = Host(tmp_path, POLICY.format(rate=5, table=tmp_path / "table", file=f'"file:{file}"'))
    for number, times in ((0, 3), (1, 2), (3, 1), (4, 0)):
        clock.set_ns((hour + number) * 3600 * NS + 1800 * NS)
        host.look()
        for worker in host.workers:
            for _ in range(times):
                worker.decide(identities={"account": "acct-17"}, client="203.0.113.9")
    for worker in host.workers:
        worker.close()
    for is_fresh in (False, True):
        with journal_of(Policy.load(host.policy)) as opened:
            found = hours_taken(opened, 0)
        units = [[*each.limits["requests"].values()] for each in found]
        assert [each.begin_ns // (3600 * NS) - hour for each in found] == [0, 1, 3]
        assert units == [[5], [4], [2]]  # 5 an hour are admitted
        if not is_fresh:
            for each in tmp_path.glob("table*"):
                each.unlink()
            for worker in Host(tmp_path, host.policy.read_text()).workers:
                worker.close()


def test_what_the_policys_file_has_is_there_after_a_reboot(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    text = POLICY.format(rate=5, table=tmp_path / "table", file=f'"file:{file}"')
    host = Host(tmp_path, text)
    host.workers[0].runtime.diagnose("undeclared-proxy")
    host.look()
    told = journal(host.policy)
    for worker in host.workers:
        worker.close()
    for each in tmp_path.glob("table*"):
        each.unlink()
    assert journal(host.policy) == told  # without a worker, too
    Reporter(tmp_path / "table", Policy.load(host.policy).file.events)
    assert [each.line for each in read_records(events_of(tmp_path / "table").read())]
    file.unlink()
    assert journal(host.policy) == told
    assert [each["kind"] for each in told] == ["self-check"]


def test_a_note_is_found_by_what_it_is_about(host: Host) -> None:
    result = run("act", "note", host.policy, "load test until 15:00", "--of", "acct-17", "--by", "Ann")
    assert result.exit_code == 0, result.output
    (one,) = journal(host.policy, "--of", "acct-17")
    assert one["text"].startswith("load test until 15:00 (Ann, as ")
    assert journal(host.policy, "--of", "acct-18") == []
    assert "load test" in run("journal", host.policy, "--of", "acct-17").stdout


def test_the_journal_of_a_policy_that_never_ran_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(rate=5, table=tmp_path / "table", file=""))
    assert journal(path) == []
    assert run("act", "note", path, "hello").exit_code == 4


def test_only_entries_since_then(host: Host) -> None:
    ring = events_of(host.workers[0].store.place or Path())
    now_ns = host.workers[0].now_ns()
    for hours in (1, 30):
        ring.append([Event("store-away", now_ns - hours * 3600 * NS, "web-1", 7, {}).json().encode()])
    assert [len(journal(host.policy, "--since", since)) for since in ("30m", "2h", "7d")] == [0, 1, 2]
    assert run("journal", host.policy, "--since", "often").exit_code == 2


def test_the_host_that_correlates_next_does_not_tell_of_an_actor_again(tmp_path: Path) -> None:
    """Its own record has no word of the actor: the journal of all hosts has."""
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', budget="50/day"))
    actor = Actor(path)
    reporter = Reporter(tmp_path / "one", actor.limiter.policy.file.events)
    actor.live(campaign())
    actor.rest_until(END_NS)
    EventWatch(reporter).look(actor.limiter)
    assert _told(actor.limiter) == {"actor-found": 1}
    for name, knows, times in (("two", True, 1), ("three", False, 2)):
        other = Reporter(tmp_path / name, actor.limiter.policy.file.events)
        assert other.journal is not None
        if knows:
            other.journal.add(events_of(tmp_path / "one").read())
        EventWatch(other).look(actor.limiter)
        assert _told(actor.limiter) == {"actor-found": times}, name
    actor.limiter.close()


def _told(limiter: Limiter) -> dict[str, int]:
    """Return what the metric says of events."""
    found = zip(EVENTS, totals(limiter.table, COUNTER_EVENTS, len(EVENTS)), strict=False)
    return {name: number for name, number in found if number}


# -- entries -----------------------------------------------------------------------------------------------


def entry(name: str, **fields: Any) -> Entry:
    (record,) = read_records([line(0, name, **fields)])
    return entry_of(record)


@pytest.mark.parametrize(
    ("asked", "is_found"),
    [
        ("5e6c3a3e", True),
        ("5e6c3a3e00112233", True),
        ("5e6c3a", False),
        ("5e6c3a3f", False),
        ("requests", True),
        ("request", False),
        ("web-1", True),
    ],
)
def test_an_entry_is_found_by_hashes_of_any_length_and_whole_names(asked: str, is_found: bool) -> None:
    one = entry("actor-contained", actor="5e6c3a3e00112233", limit="requests", refused=7, since=1)
    assert one.is_of([asked]) is is_found
    assert entry("group-refused", caller="5e6c3a3e", limit="requests").is_of([asked]) is is_found


@pytest.mark.parametrize("name", [*EVENTS, *NOTES])
def test_an_entry_of_another_release_has_words(name: str) -> None:
    assert entry(name).text
    assert entry(name, accounts="many", limits=3, callers=7, act=[], actor={}).text


def test_a_kind_that_is_not_known_here_has_its_own_words() -> None:
    text = (
        b'{"event":"other","time":"2026-01-01T00:00:00Z","host":"b","says":"It is spent.","fields":{"usd":3}}'
    )
    (record,) = read_records([text])
    assert isinstance(record, Record)
    assert entry_of(record).text == "It is spent. usd 3"


def test_entries_are_read_by_others_through_one_function(host: Host) -> None:
    host.workers[0].runtime.diagnose("undeclared-proxy")
    host.look()
    with journal_of(Limiter(host.policy).policy) as opened:
        (one,) = opened.entries()
        assert (one.kind, one.subject, one.is_warning) == ("self-check", "undeclared-proxy", True)
        assert not list(opened.entries(since_ns=one.time_ns + 1))
    assert not minutes_of(host.workers[0].store.place or Path()).read()


def test_a_refused_group_is_said_with_times_that_people_read() -> None:
    """Hazard: "since 1796281730", and the dollars that an address has paid."""
    fields = {"limit": "address", "per": "ip", "caller": "036c5a66", "accounts": 25, "refused": 61}
    fields |= {"since": START_NS // NS, "opens": "for good a plan"}
    (record,) = read_records([line(0, "group-refused", **fields)])
    said = entry_of(record).text
    assert said == (
        "address refused ip 036c5a66 61 times since 2023-11-14 22:13:20 UTC, which about 25 accounts use: "
        "perhaps an organisation. If you know it, for good a plan"
    )
    fields = {"limit": "spend", "share": 0.8, "until": START_NS // NS}
    (record,) = read_records([line(0, "budget-used", **fields)])
    assert "until 2023-11-14 22:13:20 UTC" in entry_of(record).text
