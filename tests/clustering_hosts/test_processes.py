"""Hosts as processes in real time: how fast news is, and what a kill costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis.asyncio

from ratelimit import Limiter
from ratelimit.clustering.hosts.agent import HostAgent
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.cli.running import run
from tests.clustering_hosts.conftest import StartHost
from tests.clustering_hosts.test_hosts import binary
from tests.processes.test_forks import in_child
from tests.support.acting import BOTS, END_NS, PEOPLE
from tests.support.campaign import Request, campaign
from tests.support.hosting import KEY, PLACES, Ticking, shared_policy_text, wait_until
from tests.support.hosting_worker import HostProcess
from tests.support.redis.fixtures import StartServer
from tests.support.redis.port import free_port
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

StartProcess = Callable[[], HostProcess]


@pytest.fixture
def start_process(server: Server) -> Iterator[StartProcess]:
    started: list[HostProcess] = []

    def new() -> HostProcess:
        started.append(HostProcess(server.port))
        return started[-1]

    yield new
    for process in started:
        process.close()


def share_with(server: Server, processes: list[HostProcess]) -> None:
    """Let two processes see a campaign through, a chunk at a time, and find it."""
    requests = list(campaign())
    for start in range(0, len(requests), 500):
        for number, process in enumerate(processes):
            process.live(requests[start + number : start + 500 : len(processes)])
    # A rebuild is due with the hour: all that was seen is to have arrived before.
    wait_until(lambda: sum(process.ask("numbers")["sent"] for process in processes) == len(requests))
    (last,) = binary(server).xrevrange(PLACES.sightings, count=1)
    wait_until(lambda: processes[0].ask("position") == last[0].decode())
    for process in processes:
        process.ask("rest_until", END_NS)
    wait_until(lambda: processes[0].ask("numbers")["rebuilt_ns"] >= END_NS)
    wait_until(lambda: all(is_known(process) for process in processes))


def is_known(process: HostProcess) -> bool:
    found = process.ask("clusters", BOTS)
    return len(found) == 1 and found != [-1]


def test_correlator_killed_is_followed_within_five_seconds_that_forget_nothing(
    server: Server, start_process: StartProcess
) -> None:
    first = start_process()
    wait_until(lambda: first.ask("is_leading"))
    second = start_process()
    share_with(server, [first, second])
    assert not second.ask("is_leading")
    clusters, numbers = second.ask("clusters", BOTS), second.ask("numbers")
    first.kill()
    # While no host correlates, everything stays in force.
    assert second.ask("clusters", BOTS) == clusters
    took_s = wait_until(lambda: second.ask("is_leading"), every_s=0.02)
    assert took_s <= 5
    assert second.ask("clusters", BOTS) == clusters
    second.ask("arrive", "bot999")
    wait_until(lambda: second.ask("clusters", ["bot999"]) == clusters)
    after = second.ask("numbers")
    assert after["principals"] >= numbers["principals"]
    assert second.ask("clusters", PEOPLE) == [-1]
    assert second.ask("codes") == []


def test_news_reaches_the_other_host_within_a_second(server: Server, start_process: StartProcess) -> None:
    first = start_process()
    wait_until(lambda: first.ask("is_leading"))
    second = start_process()
    share_with(server, [first, second])
    clusters = first.ask("clusters", BOTS)
    took = []
    for number in range(20):
        seen_by, other = (first, second) if number % 2 else (second, first)
        name = f"bot{1000 + number}"
        seen_by.ask("arrive", name)
        with Stopwatch() as watch:
            other.ask("wait_for", name)
        took.append(watch.s)
        assert other.ask("clusters", [name]) == clusters
    # A busy machine may delay one; benchmarks/hosts.py measures the p99.
    assert sorted(took)[-2] <= 1


def test_correlator_paused_past_its_lease_writes_nothing_when_it_wakes(
    server: Server, start_process: StartProcess
) -> None:
    first = start_process()
    wait_until(lambda: first.ask("is_leading"))
    second = start_process()
    share_with(server, [first, second])
    clusters = second.ask("clusters", BOTS)
    first.ask("arrive", "bot998")
    os.kill(first.pid, signal.SIGSTOP)
    wait_until(lambda: second.ask("is_leading"))
    term = int(server.client.get(PLACES.term))
    os.kill(first.pid, signal.SIGCONT)
    wait_until(lambda: not first.ask("is_leading"))
    wait_until(lambda: first.ask("numbers")["lease_term"] == term)
    assert int(server.client.get(PLACES.term)) == term
    assert first.ask("clusters", BOTS) == second.ask("clusters", BOTS) == clusters
    # Who comes while a rebuild is under way belongs to the actor with the next one, at the latest.
    for process in (first, second):
        process.ask("rest_until", END_NS + 3_700 * 10**9)
    wait_until(lambda: second.ask("clusters", ["bot998"]) == clusters)


def test_fork_leaves_the_parent_its_lease(start_host: StartHost) -> None:
    host = start_host(is_live=True)
    with Ticking(host):
        wait_until(lambda: host.is_leading)
    assert in_child(lambda: not host.clustering.is_elected and host.clustering._leader is None)
    with Ticking(host):
        sent = host.agent.box.server_ms
        wait_until(lambda: host.agent.box.server_ms > sent)
        assert host.is_leading
    assert host.clustering.take_fault() is None


def test_server_that_stays_away_is_worth_a_word(start_host: StartHost, start_server: StartServer) -> None:
    server = start_server()
    host = start_host(server.port, is_live=True)
    with Ticking(host):
        wait_until(lambda: host.is_leading)
        assert host.clustering.trouble == ""
        server.kill()
        wait_until(lambda: host.noted.codes == ["hosts-unreachable"])
        assert "Error" in host.clustering.trouble
        assert host.numbers["server_faults"] >= 5
        server.start()
        wait_until(lambda: host.clustering.trouble == "")
        wait_until(lambda: host.is_leading)


def test_user_who_may_not_is_told_so(start_host: StartHost, start_server: StartServer) -> None:
    server = start_server()
    server.client.execute_command("ACL", "SETUSER", "narrow", "on", ">word", "+@all", "~test:*")

    def client() -> Any:
        return redis.asyncio.Redis(host=server.host, port=server.port, username="narrow", password="word")

    host = start_host(server.port, is_live=True, connect=client)
    with Ticking(host):
        wait_until(lambda: host.noted.codes == ["hosts-unreachable"])
        assert host.clustering.trouble.startswith("NoPermissionError")
        server.client.execute_command("ACL", "SETUSER", "narrow", "~{test}:*")
        wait_until(lambda: host.is_leading)


def test_shutdown_is_quick_when_the_server_is_gone(start_host: StartHost, server: Server) -> None:
    host = start_host(is_live=True)
    with Ticking(host):
        wait_until(lambda: host.is_leading)
    server.pause()
    try:
        assert wait_until(lambda: host.limiter.close() is None) < 15
    finally:
        server.resume()


def policy_at(path: Path, server: Server, *, correlator: str = "workers") -> Path:
    store = f'url = "{server.url}"\nprefix = "{PLACES.prefix}"\nmemory = "private"'
    path.write_text(shared_policy_text(store=store, tuning=f'correlator_runs_in = "{correlator}"'))
    return path


def test_policy_that_names_a_server_takes_part(server: Server, tmp_path: Path) -> None:
    path = policy_at(tmp_path / "policy.toml", server)
    limiters = [
        Limiter(path, store=EmbeddedStore.private(keys=1000, key=bytes.fromhex(KEY))) for _ in range(2)
    ]
    try:
        for limiter in limiters:
            assert limiter.clustering is not None
            wait_until(lambda limiter=limiter: ticked(limiter)["lease_term"] > 0)  # type: ignore[misc]
        wait_until(lambda: [numbers["is_correlator"] for numbers in map(ticked, limiters)].count(1) == 1)
        agent = limiters[0].clustering._leader if limiters[0].clustering is not None else None
        assert isinstance(agent, HostAgent)
    finally:
        for limiter in limiters:
            limiter.close()


def ticked(limiter: Limiter) -> dict[str, int]:
    assert limiter.clustering is not None
    limiter.clustering.tick(limiter.now_ns())
    return dict(limiter.correlation)


def correlator_of(path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ratelimit.cli.main", "correlator", str(path), *options],
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(60)
    if process.stderr is not None:
        process.stderr.close()


def test_correlator_as_a_process_of_its_own(server: Server, tmp_path: Path, start_host: StartHost) -> None:
    path = policy_at(tmp_path / "policy.toml", server, correlator="process")
    host = start_host(is_live=True, is_candidate=False)
    port = free_port()
    process = correlator_of(path, "--metrics-port", str(port))
    try:
        with Ticking(host):
            wait_until(lambda: host.numbers.get("lease_term", 0) > 0)
            assert not host.is_leading
            host.live([Request(0, "someone", "card", "browser", "81.1.1.1")])
            wait_until(lambda: host.numbers["principals"] == 1)
            wait_until(lambda: "ratelimit_hosts_correlating 1.0" in scraped(port))
            wait_until(lambda: 'ratelimit_correlated{kind="principal"} 1.0' in scraped(port))
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0
            assert "correlates for all hosts" in said
            assert "ended" in said
            assert server.client.get(PLACES.lease) is None
            assert server.client.exists(PLACES.snapshot)
    finally:
        end(process)
    # And any process with the policy and its key can ask what it knew.
    told = run("who", str(path), "someone", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["evidence"]["asked"] == 1
    assert run("who", str(path), "nobody").exit_code == 3
    told = run("show", "actors", str(path))
    assert told.exit_code == 0, told.output
    assert "No actor is known" in told.stderr


def scraped(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def test_second_correlator_stands_by_and_follows(server: Server, tmp_path: Path) -> None:
    path = policy_at(tmp_path / "policy.toml", server, correlator="process")
    first = correlator_of(path)
    try:
        wait_until(lambda: server.client.get(PLACES.lease))
        holder = server.client.get(PLACES.lease)
        second = correlator_of(path)
        try:
            wait_until(lambda: server.client.exists(PLACES.table))
            assert second.stderr is not None
            while "stands by" not in (line := second.stderr.readline()):
                assert line, "it ended"
            first.kill()
            took_s = wait_until(lambda: server.client.get(PLACES.lease) not in (None, holder))
            assert took_s <= 5
            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=60)
            assert second.returncode == 0
        finally:
            end(second)
    finally:
        end(first)


def test_explaining_from_a_server_that_has_nothing_or_is_gone(server: Server, tmp_path: Path) -> None:
    path = policy_at(tmp_path / "policy.toml", server)
    told = run("who", str(path), "someone")
    assert told.exit_code == 3
    assert "no correlator has saved" in told.stderr
    assert run("show", "actors", str(path)).exit_code == 4
    path.write_text(path.read_text().replace(server.url, f"redis://127.0.0.1:{free_port()}/0"))
    told = run("who", str(path), "someone")
    assert told.exit_code == 4
    assert "the server does not answer" in told.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("correlates nothing", "has no correlation"), ("names no server", "names no server")],
)
def test_correlator_says_what_it_lacks(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "policy.toml"
    whole = shared_policy_text()
    if text == "correlates nothing":
        whole = whole.partition("[correlation]")[0]
    path.write_text(whole)
    done = subprocess.run(
        [sys.executable, "-m", "ratelimit.cli.main", "correlator", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert says in done.stderr
