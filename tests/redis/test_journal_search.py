"""A search for a way to lose a line of the journal, to have one twice, or to have two of one number.

Hosts make and undo acts, change their policies and lose the server; they are killed, cut off, restarted and
rebooted, and the server comes back empty. The laws, once all is mended: what every host and the server have
is the same; each act that a person was told of is there once, and so are its undo and its end by time; each
policy that a host went by, and each absence of the server that it saw, is there once. Time is virtual. Rings,
logs and the server are the real ones.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ratelimit.inspection.journal.entries import Journal
from ratelimit.inspection.journal.outages import AWAY, BACK
from ratelimit.limiter import Limiter
from ratelimit.stores.journal import events_of
from ratelimit.stores.redis.acts import ServerActs
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.events.host import HostRecord
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.redis.test_acts_search import NAMES, Host, World
from tests.support.redis.server import Server

STEPS = 80
NOBODY = str(2**22 + 1)
"""A process that no kernel has."""
CONNECTING_S = 3
"""A worker that begins while the server is away believes it after two seconds."""


class Teller(Host):
    """One host whose workers tell what they notice, under a name of its own."""

    world: TellingWorld

    def __init__(self, folder: Path, name: str, url: str, network: Any) -> None:
        self.watches: dict[int, EventWatch] = {}
        self.rates = 2
        self.policies: list[str] = []
        """The digests of the policies that it went by when it looked, each change of them."""
        self.has_missed_it = False
        """Whether a worker saw that the server was away."""
        super().__init__(folder, name, url, network)
        self.path = folder / f"{name}.toml"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Have this process be on this host."""
        whole = socket.gethostname
        socket.gethostname = lambda: self.name
        try:
            yield
        finally:
            socket.gethostname = whole

    def _started(self) -> ActFollower:
        with self.named():
            worker = super()._started()
            reporter = Reporter(self.limiter.store.place, self.limiter.policy.file.events)
            self.watches[id(worker)] = watch = EventWatch(reporter)
            watch._last = self.limiter.last_reload  # a new process has read the file once
        return worker

    def look(self) -> None:
        with self.named():
            for worker in self.workers:
                worker.look(self.limiter)
                self.watches[id(worker)].look(self.limiter, worker.log, worker.epoch)
            self.has_missed_it |= any(self.watches[id(worker)]._is_away for worker in self.workers)
        digest = f"{self.limiter.policy.digest:012x}"
        if not self.policies or self.policies[-1] != digest:
            self.policies.append(digest)

    def kill(self, number: int) -> None:
        super().kill(number)
        with HostRecord(self.place).change() as told:
            if told.away and not any(self.watches[id(each)]._is_away for each in self.workers):
                # All workers are of this process, which lives on: one that is gone noted it.
                told.away = {NOBODY: 1}

    def reboot(self) -> None:
        for file in self.place.parent.glob(f"{self.place.name}.actors-*"):
            if any(word in file.name for word in ("journal", "minutes", "events", "quarters", "takings")):
                file.unlink()
        super().reboot()

    def reload(self) -> None:
        """Put another policy in force."""
        self.rates += 1
        text = self.path.read_text()
        self.path.write_text(text.replace(f'"{self.rates - 1}/hour"', f'"{self.rates}/hour"'))
        assert self.limiter.reload().result == "applied"


class TellingWorld(World):
    """The world of the search for lost acts, whose hosts tell."""

    kind = Teller
    hosts: dict[str, Teller]  # type: ignore[assignment]
    MORE = (("reload", 4), ("kill_all", 2))

    def __init__(self, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        super().__init__(folder, server, monkeypatch, seed)
        of = {id(host.limiter): host for host in self.hosts.values()}
        whole = Limiter.remote.fget  # type: ignore[attr-defined]

        def remote(limiter: Limiter) -> Any:
            host = of.get(id(limiter))
            return whole(limiter) | (
                {} if host is None else {"is_away": float(host.name in self.network.cut)}
            )

        monkeypatch.setattr(Limiter, "remote", property(remote))

    def _reload(self, host: Teller) -> None:
        host.reload()
        if self.source.random() < 0.5:
            host.look()

    def _kill_all(self, host: Teller) -> None:
        """Kill all workers of one host, in the middle of whatever they know."""
        for number in range(2):
            host.kill(number)

    def _reboot(self, host: Teller) -> None:
        host.look()
        host.reboot()

    def judge(self) -> None:
        self.settle()
        for _ in range(3):  # a worker that began while the server was away has believed it, and says so
            self.clock.advance(CONNECTING_S)
            for host in self.hosts.values():
                host.look()
        super().judge()
        lists = {}
        for name, host in self.hosts.items():
            server = ServerActs(host.remote)
            journal = Journal(host.place, str(host.place.parent / f"{name}.events"), server)
            lists[name] = list(journal.entries())
            server.close()
            assert not journal.is_away
        rings = {name: Counter(events_of(host.place).read()) for name, host in self.hosts.items()}
        for name, ring in rings.items():
            assert max(ring.values(), default=1) == 1, (name, ring.most_common(1), self.story)
            assert ring.keys() == rings["a"].keys(), (name, ring.keys() ^ rings["a"].keys(), self.story)
        for name, entries in lists.items():
            told = Counter((each.kind, str(each.fields.get("act"))) for each in entries)
            self._judge_acts(name, told)
            self._judge_policies(name, entries)
            self._judge_outages(name, entries)

    def _judge_outages(self, name: str, entries: list[Any]) -> None:
        """Each absence has its beginning and its end, in turn, through kills in the middle of it."""
        for host in self.hosts.values():
            told = [each.kind for each in entries if each.kind in (AWAY, BACK) and each.host == host.name]
            assert told == [AWAY, BACK] * (len(told) // 2), (name, host.name, told, self.story)
            assert bool(told) is host.has_missed_it, (name, host.name, self.story)

    def _judge_acts(self, name: str, told: Counter[tuple[str, str]]) -> None:
        twice = [each for each, number in told.items() if each[0].startswith("act-") and number > 1]
        assert not twice, (name, twice, self.story)
        for act in self.told.values():
            assert told["act-made", act.label], (name, "made", act.label, self.story)
            is_over = act.until_ns is not None and act.until_ns <= self.clock.now_ns()
            ends = told["act-undone", act.label] + told["act-lapsed", act.label]
            if act.label in self.undone or is_over:
                assert ends, (name, "ended", act.label, self.story)
            elif act.label not in self.perhaps:
                assert not ends, (name, "not ended", act.label, self.story)
            if act.label in self.undone and not is_over:
                assert told["act-undone", act.label], (name, "undone", act.label, self.story)

    def _judge_policies(self, name: str, entries: list[Any]) -> None:
        for host in self.hosts.values():
            told = [
                each.fields["digest"]
                for each in entries
                if each.kind == "policy-reloaded" and host.name in (each.hosts or (each.host,))
            ]
            # Each digest is new, so it is told once, whichever worker was there.
            assert sorted(told) == sorted(host.policies[1:]), (name, host.name, self.story)


SEEDS = range(int(os.environ.get("RATELIMIT_SEARCH", "8")))


@pytest.fixture
def world_of(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], TellingWorld]]:
    """Return a function that makes a world from a seed."""
    made: list[TellingWorld] = []

    def new(seed: int) -> TellingWorld:
        folder = tmp_path / str(seed)
        folder.mkdir()
        made.append(TellingWorld(folder, server, monkeypatch, seed))
        return made[-1]

    yield new
    for world in made:
        world.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_line_is_lost_or_told_twice(world_of: Callable[[int], TellingWorld], seed: int) -> None:
    world = world_of(seed)
    world.settle()
    for _ in range(STEPS):
        world.step()
    world.judge()
    assert world.told
    assert any(len(host.policies) > 1 for host in world.hosts.values())
    assert set(world.hosts) == set(NAMES)
