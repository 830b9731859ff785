"""The journal on hosts that share a server: whole on all, through an empty server, a partition, a restart."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ratelimit.events import Event
from ratelimit.inspection.journal.entries import journal_of
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.journal import JournalRing, events_of, minutes_of
from ratelimit.stores.redis.acts import ServerActs
from ratelimit.stores.redis.journal import LASTS_MS, MOST_LINES, STATE_LASTS_MS
from ratelimit.worker.journal import Exchange
from tests.cli.running import in_group, run
from tests.redis.test_acts import POLICY, hosts, the_lost_log, wait_for_hosts
from tests.support.redis.patience import until
from tests.support.redis.server import Server

__all__ = ["hosts"]
NS = 10**9
START_NS = 1_700_000_000 * NS


def line(host: str, number: int, name: str = "store-away") -> bytes:
    return Event(name, START_NS + number * NS, host, 7, {}).json().encode()


class World:
    """Two hosts' rings and their exchanges with one server; time is what a test says."""

    def __init__(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
        remote = Policy.load(path).compiled.remote
        assert remote is not None
        self.path = path
        self.acts = ServerActs(remote)
        self.rings = {name: JournalRing(tmp_path / name) for name in "ab"}
        self.exchanges = {name: Exchange(ring, reads=True) for name, ring in self.rings.items()}
        self._now_ns = START_NS

    def look(self, names: str = "abab") -> None:
        for name in names:
            self._now_ns += 3 * NS
            self.exchanges[name].look(self.acts.events, self._now_ns)

    def there(self) -> list[bytes]:
        return sorted(self.acts.events.read())


@pytest.fixture
def world(server: Server, tmp_path: Path) -> Iterator[World]:
    server.client.flushall()
    made = World(server, tmp_path)
    yield made
    made.acts.close()


def test_each_host_has_what_happened_on_all(world: World) -> None:
    for number in range(3):
        world.rings["a"].append([line("a", number)])
        world.rings["b"].append([line("b", number)])
        world.look("ab" if number else "ba")
    world.look()
    every = sorted(line(name, number) for name in "ab" for number in range(3))
    assert sorted(world.rings["a"].read()) == sorted(world.rings["b"].read()) == world.there() == every


@pytest.mark.parametrize("lost", ["all", "the last"])
def test_a_server_that_lost_its_journal_has_it_again(world: World, server: Server, lost: str) -> None:
    """As after a restart without a disk, and a failover to a replica that lagged."""
    world.rings["a"].append([line("a", number) for number in range(MOST_LINES + 40)])
    world.rings["b"].append([line("b", 0)])
    world.look()
    every = world.there()
    assert len(every) == MOST_LINES + 41
    if lost == "all":
        server.client.flushall()
    else:
        server.client.zremrangebyrank("{acts}:journal", -30, -1)
        server.client.hincrby("{acts}:journal:state", "number", -30)
    world.rings["b"].append([line("b", 1)])
    world.look("ba")
    world.look()
    assert world.there() == sorted([*every, line("b", 1)])
    assert sorted(world.rings["a"].read()) == world.there()


def test_a_journal_outlives_its_last_line_while_a_host_looks(world: World, server: Server) -> None:
    """Hazard: lines that went by their age were taken for a loss of all that the server counts."""
    world.rings["a"].append([line("a", 0)])
    world.look()
    lines, state = "{acts}:journal", "{acts}:journal:state"
    for each in (lines, state):
        server.client.pexpire(each, 50_000)
    world.look("a")
    assert server.client.pttl(lines) == pytest.approx(LASTS_MS, abs=60_000)
    assert server.client.pttl(state) == pytest.approx(STATE_LASTS_MS, abs=60_000)
    epoch = world.exchanges["a"].epoch
    world.look("a")
    assert world.exchanges["a"].epoch == epoch


def test_a_host_that_lost_its_ring_has_it_again_and_takes_nothing_away(world: World, tmp_path: Path) -> None:
    world.rings["a"].append([line("a", 0)])
    world.look()
    for each in tmp_path.glob("a.actors-*"):
        each.unlink()
    world.exchanges["a"] = Exchange(world.rings["a"], reads=True)
    world.look("a")
    assert world.rings["a"].read() == world.there() == [line("a", 0)]


def test_what_happened_while_a_host_was_cut_off_is_there_afterwards(world: World, server: Server) -> None:
    world.look()
    server.kill()
    try:
        world.rings["a"].append([line("a", 5)])
        with pytest.raises(Exception, match="reached"):
            world.look("a")
    finally:
        server.start()
    world.rings["b"].append([line("b", 9)])  # later, and known to the server first
    world.look("ba")
    world.look()
    assert sorted(world.rings["b"].read()) == [line("a", 5), line("b", 9)]


def test_minutes_go_to_the_server_and_to_no_other_host(world: World, tmp_path: Path) -> None:
    one, other = minutes_of(tmp_path / "a"), minutes_of(tmp_path / "b")
    one.append([line("a", 0, "minute")])
    other.append([line("b", 0, "minute")])
    for ring in (one, other):
        Exchange(ring, reads=False).look(world.acts.minutes, START_NS)
    assert sorted(world.acts.minutes.read()) == [line("a", 0, "minute"), line("b", 0, "minute")]
    assert one.read() == [line("a", 0, "minute")]


def journal(path: Path, *options: str, code: int = 0) -> list[dict[str, Any]]:
    result = run("journal", path, "--json", *options)
    assert result.exit_code == code, result.output
    return [json.loads(each) for each in result.stdout.splitlines()]


def kinds(path: Path, *options: str, code: int = 0) -> list[str]:
    return [f"{each['kind']} {each['fields'].get('act')}" for each in journal(path, *options, code=code)]


@pytest.mark.parametrize("how", ["flushed", "restarted"])
def test_acts_are_in_the_journal_of_every_host_through_an_empty_server(
    hosts: list[Limiter], tmp_path: Path, server: Server, how: str
) -> None:
    a, b = tmp_path / "a.toml", tmp_path / "b.toml"
    wait_for_hosts(a, 2)
    for command, *rest in (("stop", "acct-17"), ("exempt", "acct-18")):
        assert run(*in_group(command), a, *rest, "--by", "Ann", "--yes").exit_code == 0
    assert run("act", "undo", b, "1", "--by", "Bob").exit_code == 0
    every = ["act-made 1", "act-made 2", "act-undone 1"]

    def of_acts(lines: Sequence[bytes]) -> set[bytes]:
        return {each for each in lines if b'"act-' in each}

    def told(path: Path) -> set[bytes]:
        return of_acts(events_of(path.with_suffix("")).read())

    def is_whole(path: Path) -> bool:
        # Both hosts tell of each, and people read it once. Here both have one name and one process: what
        # they tell in the same millisecond is one line.
        return [each for each in kinds(path) if each.startswith("act-")] == every and told(a) == told(b)

    until(lambda: is_whole(a) and is_whole(b), "the journal of both hosts")
    assert kinds(a) == every, "the server was never empty"
    of_one, undone = journal(a, "--of", "acct-17")
    assert len(journal(a, "--of", "acct-18")) == 1
    assert [each["fields"]["by"].split(",")[0] for each in (of_one, undone)] == ["Ann", "Bob"]
    the_lost_log(server, how)
    until(lambda: is_whole(a) and is_whole(b), "the journal again")
    with journal_of(Policy.load(a)) as opened:
        assert opened.server is not None
        there = opened.server.events
        until(lambda: of_acts(there.read()) == told(a) == told(b), "the server's journal again")
        assert len(told(a)) >= len(every)


def test_a_host_that_does_not_answer_is_named_and_this_host_needs_no_server(
    hosts: list[Limiter], tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = tmp_path / "a.toml"
    wait_for_hosts(a, 2)
    assert run("act", "stop", a, "acct-17", "--yes").exit_code == 0
    until(lambda: events_of(tmp_path / "a").read(), "the journal")
    monkeypatch.setattr("ratelimit.stores.redis.acts.SILENT_MS", -1)
    result = run("journal", a)
    assert result.exit_code == 4
    assert re.search(r"no answer from \S+, silent since \d\d:\d\d UTC \(", result.stderr)
    server.kill()
    try:
        assert kinds(a, code=4) == ["act-made 1"]
        assert f"this host, {socket.gethostname()}," in " ".join(run("journal", a).stderr.split())
    finally:
        server.start()
