"""A search for a way to lose an act: hosts act and undo, are killed, cut off, restarted and rebooted.

The laws: an act that a person was told of is in every log in the end; it ends by undo or by time alone;
and no two acts have one number. Time is virtual. What a host knows, and what the server has, are
the real ones.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ratelimit.errors import StoreError
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.acts.acting import act_named, do, known_acts
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act, in_force
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.redis.acts import ServerActs
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.worker.acts import ActFollower
from tests.support.redis.server import Server
from tests.support.time import HostClock, stop_host

MINUTE = 60 * 10**9
NAMES = ("a", "b", "c")
STEPS = 70
POLICY = """\
version = 1
events = ["file:{folder}/{name}.events"]
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[store]
keys = 1000
url = "{url}"
prefix = "search"
memory = "{folder}/{name}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


class Network:
    """The way to the server: of some hosts it is cut, and of some calls the answer is lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: dict[int, str] = {}
        self.cut: set[str] = set()
        self.losing: set[str] = set()
        whole = ServerCaller.call

        def call(caller: ServerCaller, work: Callable[[Any], Any]) -> Any:
            # A limiter begins to look for other hosts before it is one of the network.
            name = self.hosts.get(id(caller._remote), "")
            if name in self.cut:
                raise StoreError("cut off", code="redis-unreachable", transient=True)
            found = whole(caller, work)
            if name in self.losing:
                self.losing.discard(name)
                raise StoreError("the answer was lost", code="redis-unreachable", transient=True)
            return found

        monkeypatch.setattr(ServerCaller, "call", call)


class Host:
    """One host: memory of its own, and two workers."""

    def __init__(self, folder: Path, name: str, url: str, network: Network) -> None:
        path = folder / f"{name}.toml"
        path.write_text(POLICY.format(folder=folder, name=name, url=url))
        self.name, self.limiter = name, Limiter(path)
        remote = self.limiter.policy.compiled.remote
        assert remote is not None
        assert self.limiter.store.place is not None
        self.remote, self.place = remote, self.limiter.store.place
        network.hosts[id(remote)] = name
        self.workers = [self._started(), self._started()]
        self.held: dict[int, Act] = {}
        """The acts that it went by at the last look, by the account."""

    def _started(self) -> ActFollower:
        worker = ActFollower(self.place)
        worker.begin(self.limiter)
        return worker

    def look(self) -> None:
        for worker in self.workers:
            worker.look(self.limiter)

    def kill(self, number: int) -> None:
        """End a worker as `kill -9` does: the kernel lets go of its lock and its connection."""
        worker = self.workers[number]
        worker._election.resign()
        if worker._server is not None:
            worker._server.close()
        self.workers[number] = self._started()

    def reboot(self) -> None:
        """Lose what is in shared memory; the copy on a disk is there."""
        for worker in self.workers:
            worker._election.resign()
            if worker._server is not None:
                worker._server.close()
        for file in self.place.parent.glob(f"{self.place.name}.actors-acts*"):
            file.unlink()
        self.workers = [self._started(), self._started()]

    def deployment(self, *, desk: bool = False) -> Deployment:
        """Return what a command on this host acts on; at a desk no worker has run."""
        file = None if desk else ActFile(self.place)
        return Deployment(self.limiter.policy, self.limiter.current, file, ServerActs(self.remote))

    def close(self) -> None:
        for worker in self.workers:
            worker.resign()
        self.limiter.close()


class World:
    """Hosts of one deployment, and what a person was told of their acts."""

    kind = Host
    MORE: Sequence[tuple[str, int]] = ()
    """Other steps, and how often they come."""

    def __init__(self, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        server.client.flushall()
        self.server, self.source = server, random.Random(seed)
        self.clock: HostClock = stop_host(monkeypatch)
        self.network = Network(monkeypatch)
        self.hosts = {name: self.kind(folder, name, server.url, self.network) for name in NAMES}
        self.told: dict[tuple[int, int], Act] = {}
        self.undone: set[str] = set()
        """The labels of acts of which a person was told that they are undone,"""
        self.perhaps: set[str] = set()
        """and of those where the command failed: they may be."""
        self.said: list[str] = []

    def step(self) -> None:
        name = self.source.choice(NAMES)
        (what,) = self.source.choices(
            [
                "act",
                "desk",
                "undo",
                "look",
                "kill",
                "restart",
                "reboot",
                "empty",
                "cut",
                "heal",
                "lose",
                "wait",
                *(step for step, _ in self.MORE),
            ],
            [12, 1, 6, 14, 3, 1, 1, 2, 3, 3, 3, 3, *(often for _, often in self.MORE)],
        )
        self.said.append(f"{what} {name}")
        self.clock.advance(self.source.random())
        getattr(self, f"_{what}")(self.hosts[name])
        if what != "wait":
            self.check()

    def _act(self, host: Host, *, desk: bool = False) -> None:
        there = host.deployment(desk=desk)
        account, for_ns = self.source.getrandbits(63), self.source.choice((10, 60, 600)) * MINUTE
        try:
            act = do(there, "stop", accounts=[account], identity="account", for_ns=for_ns)
        except InspectionFailure:
            return  # a person is told that it failed
        finally:
            assert there.server is not None
            there.server.close()
        self.told[act.identity_in_log] = act
        self.said[-1] += f": {act.label}"

    def _desk(self, host: Host) -> None:
        self._act(host, desk=True)
        for each in self.hosts.values():  # the command waits for hosts
            each.look()

    def _undo(self, host: Host) -> None:
        there = host.deployment()
        held = in_force(known_acts(there), there.key, self.clock.now_ns())
        if held:
            label = self.source.choice(held).label
            self.said[-1] += f": {label}"
            try:
                act = act_named(there, label)
                do(there, "undo", undoes=act, says=act.label)
            except (StoreError, InspectionFailure):
                self.perhaps.add(label)
            else:
                self.undone.add(label)
        assert there.server is not None
        there.server.close()

    def _look(self, host: Host) -> None:
        host.look()

    def _kill(self, host: Host) -> None:
        host.kill(self.source.randrange(2))

    def _restart(self, host: Host) -> None:
        for each in self.hosts.values():
            for number in range(2):
                each.kill(number)

    def _reboot(self, host: Host) -> None:
        host.look()  # what no worker has read yet goes with the machine
        host.reboot()

    def _empty(self, host: Host) -> None:
        self.server.client.flushall()

    def _cut(self, host: Host) -> None:
        self.network.cut.add(host.name)

    def _heal(self, host: Host) -> None:
        self.network.cut.discard(host.name)

    def _lose(self, host: Host) -> None:
        self.network.losing.add(host.name)

    def _wait(self, host: Host) -> None:
        self.clock.advance(self.source.choice((60, 600, 3600)))

    def is_over(self, act: Act) -> bool:
        """Return whether an act has ended by undo or by time."""
        lapsed = act.until_ns is not None and act.until_ns <= self.clock.now_ns()
        return lapsed or act.label in self.undone | self.perhaps

    def check(self) -> None:
        """Each host still goes by what it went by, unless that was undone or has lapsed."""
        for host in self.hosts.values():
            current = {act.accounts[0]: act for act in host.limiter.runtime.acts}
            ended = [
                act.label for one, act in host.held.items() if one not in current and not self.is_over(act)
            ]
            assert not ended, (host.name, ended, self.story)
            host.held = current

    def settle(self) -> None:
        """Mend all, and let every host look until nothing changes any more."""
        self.network.cut.clear()
        self.network.losing.clear()
        for _ in range(4):
            self.clock.advance(1)
            for host in self.hosts.values():
                host.look()

    def judge(self) -> None:
        """See that the laws hold."""
        self.settle()
        self.check()
        logs = [ActFile(host.place).read() for host in self.hosts.values()]
        there = self.hosts["a"].deployment()
        logs.append(there.acts())
        assert there.server is not None
        there.server.close()
        for log in logs:
            labels = [act.label for act in log]
            assert len(labels) == len(set(labels)), (sorted(labels), self.story)
            lost = [
                act.label
                for one, act in self.told.items()
                if one not in {each.identity_in_log for each in log}
            ]
            assert not lost, (lost, [[a.label for a in one] for one in logs], self.story)
        for host in self.hosts.values():
            holding = {tuple(act.accounts) for act in host.limiter.runtime.acts}
            for act in self.told.values():
                lapsed = act.until_ns is not None and act.until_ns <= self.clock.now_ns()
                if lapsed or act.label in self.undone:
                    assert tuple(act.accounts) not in holding, (host.name, act.label, self.story)
                elif act.label not in self.perhaps:
                    assert tuple(act.accounts) in holding, (host.name, act.label, self.story)

    @property
    def story(self) -> str:
        """What happened, a line each."""
        return "\n".join(self.said)

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()


@pytest.fixture
def world_of(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], World]]:
    """Return a function that makes a world from a seed."""
    made: list[World] = []

    def new(seed: int) -> World:
        folder = tmp_path / str(seed)
        folder.mkdir()
        made.append(World(folder, server, monkeypatch, seed))
        return made[-1]

    yield new
    for world in made:
        world.close()


SEEDS = range(int(os.environ.get("RATELIMIT_SEARCH", "8")))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_act_is_lost_ends_by_itself_or_shares_a_number(
    world_of: Callable[[int], World], seed: int
) -> None:
    world = world_of(seed)
    world.settle()  # each host has met the log: one that has not cannot know that another was lost
    for _ in range(STEPS):
        world.step()
    world.judge()
    assert world.told
