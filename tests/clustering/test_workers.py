"""Several worker processes: one correlates, all know, and the death of any of them is nothing much."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ratelimit.core.sharing.ring import RING_PATIENCE_NS
from tests.processes.test_forks import in_child
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, Actor, caught
from tests.support.acting_worker import Process
from tests.support.campaign import Request, campaign, policy_text

Start = Callable[[], Process]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(
        policy_text(
            store=f'memory = "{tmp_path / "store"}"', budget="10/hour", snapshot=str(tmp_path / "snapshot")
        )
    )
    return path


@pytest.fixture
def start(policy: Path) -> Iterator[Start]:
    started: list[Process] = []

    def new() -> Process:
        started.append(Process(policy))
        return started[-1]

    yield new
    for process in started:
        process.close()


def share(workers: list[Process], seed: int = 1) -> None:
    """Send the small world's requests through all workers, each hour's at random, all ticking meanwhile."""
    source = random.Random(seed)
    requests = list(campaign(seed))
    for start in range(0, len(requests), 200):
        some = requests[start : start + 200]
        parts: list[list[Request]] = [[] for _ in workers]
        for request in some:
            source.choice(parts).append(request)
        for worker, part in zip(workers, parts, strict=True):
            worker.live(part)
        tick(workers, START_NS + int(some[-1].at_s * NS))


def tick(workers: list[Process], now_ns: int) -> None:
    """Let all workers do what is due; the disk keeps up with virtual time."""
    for worker in workers:
        worker.ask("settle")
        worker.ask("tick", now_ns)
        worker.ask("settle")


def clusters_in(worker: Process, accounts: list[str]) -> set[int]:
    return set(worker.ask("clusters", accounts))


@pytest.mark.parametrize("count", [2, 4])
def test_campaign_spread_over_workers_is_one_actor_to_all_of_them(start: Start, count: int) -> None:
    workers = [start() for _ in range(count)]
    share(workers)
    tick(workers, END_NS)
    assert [worker.ask("elected") for worker in workers].count(True) == 1
    seen = [clusters_in(worker, BOTS) for worker in workers]
    assert all(each == seen[0] for each in seen)
    assert len(seen[0]) == 1
    assert -1 not in seen[0]
    assert all(clusters_in(worker, PEOPLE) == {-1} for worker in workers)
    numbers = [worker.ask("numbers") for worker in workers]
    assert numbers[0] == numbers[-1]
    assert (numbers[0]["members"], numbers[0]["dropped"], numbers[0]["torn"]) == (60, 0, 0)
    assert numbers[0]["taken"] == len(list(campaign()))
    # One budget between all of them, exactly.
    at_s = (END_NS - START_NS) / NS + 3600
    asked = [Request(at_s, bot, "", "", "192.0.2.1") for bot in BOTS[:40]]
    refused = sum(workers[at % count].live([request]) for at, request in enumerate(asked))
    assert refused == 30


def test_killed_correlator_is_followed_by_another_that_knows_what_it_knew(start: Start) -> None:
    workers = [start() for _ in range(3)]
    share(workers)
    now_ns = END_NS
    tick(workers, now_ns)
    before = clusters_in(workers[0], BOTS)
    elected = next(worker for worker in workers if worker.ask("elected"))
    others = [worker for worker in workers if worker is not elected]
    numbers = elected.ask("numbers")
    elected.kill()
    # While no worker correlates, everything stays in force.
    assert clusters_in(others[0], BOTS) == before != {-1}
    now_ns += NS // 10
    assert others[0].ask("tick", now_ns) > 1
    assert [worker.ask("elected") for worker in others] == [True, False]
    now_ns += NS
    assert others[0].ask("tick", now_ns) >= 1
    after = others[1].ask("numbers")
    assert after["term"] == numbers["term"] + 1
    assert after["principals"] == numbers["principals"]
    assert others[0].ask("codes") == []
    now_ns += 3600 * NS
    others[0].live([Request((now_ns - START_NS) / NS, "stranger", "card", "browser/1", "81.1.1.1")])
    others[0].ask("tick", now_ns)
    assert others[1].ask("numbers")["rebuilt_ns"] == now_ns
    for worker in others:
        assert clusters_in(worker, BOTS) == before


def test_correlator_killed_in_the_midst_of_a_rebuild_leaves_the_last_result(start: Start) -> None:
    workers = [start() for _ in range(2)]
    share(workers)
    tick(workers, END_NS)
    before = clusters_in(workers[0], BOTS)
    elected = next(worker for worker in workers if worker.ask("elected"))
    other = next(worker for worker in workers if worker is not elected)
    now_ns = END_NS + 3 * 3600 * NS
    elected.live([Request((now_ns - START_NS) / NS, "someone", "a", "b", "81.1.1.1")])
    for _ in range(5):
        assert elected.ask("step", now_ns)
    elected.kill()
    assert clusters_in(other, BOTS) == before
    other.ask("tick", now_ns + NS)
    assert other.ask("elected")
    assert clusters_in(other, BOTS) == before


def test_correlator_that_hangs_is_replaced_and_steps_down_when_it_wakes(start: Start) -> None:
    workers = [start() for _ in range(3)]
    for worker in workers:
        worker.ask("tick", START_NS)
    elected = next(worker for worker in workers if worker.ask("elected"))
    others = [worker for worker in workers if worker is not elected]
    for seconds in (2, 14):
        for worker in others:
            worker.ask("tick", START_NS + seconds * NS)
    assert not any(worker.ask("elected") for worker in others)
    for worker in others:
        worker.ask("tick", START_NS + 16 * NS)
    assert [worker.ask("elected") for worker in others] == [True, False]
    elected.ask("tick", START_NS + 17 * NS)
    assert not elected.ask("elected")
    for seconds in (17, 18):
        for worker in (*others, elected):
            worker.ask("tick", START_NS + seconds * NS)
    assert [worker.ask("elected") for worker in (*others, elected)] == [True, False, False]
    # And its death is noticed as any other's.
    others[0].kill()
    others[1].ask("tick", START_NS + 18 * NS)
    assert others[1].ask("elected")


def test_worker_that_rests_is_followed_at_once(policy: Path) -> None:
    first, second = caught(policy), Actor(policy, now_ns=END_NS)
    second.tick()
    assert first.limiter.clustering is not None
    assert second.limiter.clustering is not None
    assert first.limiter.clustering.is_elected
    assert not second.limiter.clustering.is_elected
    first.limiter.clustering.resign(END_NS)
    second.tick()
    assert second.limiter.clustering.is_elected
    assert second.clusters(BOTS) == first.clusters(BOTS) != {-1}


def test_fork_leaves_the_parent_its_term_and_the_child_its_view(policy: Path) -> None:
    actor = caught(policy)
    clustering = actor.limiter.clustering
    assert clustering is not None
    cluster = actor.cluster("bot1")

    def child() -> bool:
        saw = actor.cluster("bot1") == cluster != -1
        actor.tick()
        taken = actor.numbers["taken"]
        headers = [(b"x-api-key", b"child"), (b"x-payment", b"p")]
        actor.limiter.decide(path="/v1/x", headers=headers, client="192.0.2.1")
        return saw and not clustering.is_elected and actor.numbers["waiting"] == 1 and taken > 0

    assert in_child(child)
    assert clustering.is_elected
    actor.clock.advance(1)
    actor.tick()
    assert actor.numbers["waiting"] == 0
    assert actor.numbers["term"] == 1


def test_fork_while_another_thread_correlates(policy: Path) -> None:
    actor = caught(policy)
    clustering = actor.limiter.clustering
    assert clustering is not None
    ended = threading.Event()

    def work() -> None:
        now_ns = END_NS
        while not ended.is_set():
            now_ns += NS
            clustering.tick(now_ns)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            # The lock that the thread may hold is not the child's to wait for.
            assert in_child(lambda: not clustering.tick(END_NS) and not clustering.is_elected)
    finally:
        ended.set()
        thread.join(30)


def test_forked_children_of_private_memory_correlate_by_themselves() -> None:
    actor = caught()

    def child() -> bool:
        actor.tick()
        assert actor.limiter.clustering is not None
        return actor.limiter.clustering.is_elected and actor.numbers["term"] == 2

    assert in_child(child)
    assert actor.numbers["term"] == 1


def test_producers_killed_at_any_instruction_hold_nobody_up(policy: Path) -> None:
    actor = Actor(policy)
    watch = actor.limiter.current.watch
    assert watch is not None
    row = actor.limiter.current.extractor.extract([(b"x-api-key", b"a"), (b"x-payment", b"p")], "192.0.2.1")
    source = random.Random(3)
    actor.tick()
    read, write = os.pipe()
    for number in range(60):
        child = os.fork()
        if child == 0:
            os.write(write, b".")
            while True:
                watch.observe(row, False, START_NS + number)
        os.read(read, 1)
        for _ in range(source.randrange(200)):
            actor.tick(100_000) if source.random() < 0.1 else None
        os.kill(child, 9)
        os.waitpid(child, 0)
    os.close(read)
    os.close(write)
    actor.clock.advance(1)
    actor.tick(100_000)
    actor.clock.advance(RING_PATIENCE_NS / NS)
    actor.tick(100_000)
    numbers = actor.numbers
    assert (numbers["waiting"], numbers["torn"]) == (0, 0)
    assert numbers["taken"] > 100
    assert numbers["abandoned"] <= 60
    assert watch.observe(row, False, START_NS)
