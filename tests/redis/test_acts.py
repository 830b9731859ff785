"""The operator's acts on hosts that share a server: in force on all within two seconds, and confirmed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from ratelimit.inspection.access.deployment import deployment_of
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.policy.schema.events import Events
from ratelimit.stores.acts.act import MOST_ACTS, Act
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.redis.acts import ServerActs
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from ratelimit.worker.upkeep import Upkeep
from tests.cli.running import in_group, run
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[store]
keys = 1000
url = "{url}"
prefix = "acts"
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up."""
    limiters, upkeeps = [], []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.toml"
        path.write_text(POLICY.format(url=server.url, table=tmp_path / name))
        limiters.append(Limiter(path))
        upkeeps.append(Upkeep(limiters[-1], 0))
        upkeeps[-1].start()
    yield limiters
    for upkeep, limiter in zip(upkeeps, limiters, strict=True):
        upkeep.stop()
        limiter.close()


def told(path: Path, command: str, *more: str) -> dict[str, Any]:
    sure = () if command in ("acts", "undo", "top") else ("--yes",)
    result = run(*in_group(command), path, *more, *sure, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def wait_for_hosts(path: Path, number: int) -> None:
    until(lambda: len(told(path, "acts")["hosts"]) == number, "hosts that say what they apply")


def test_an_exemption_is_in_force_on_every_host(hosts: list[Limiter], tmp_path: Path) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    with Stopwatch() as watch:
        act = told(tmp_path / "a.toml", "exempt", "acct-17", "--for", "2h")
    assert watch.s < 4  # not as long as it would wait for a host
    assert [each["applied"] for each in act["hosts"]] == [True, True]
    for host in hosts:
        assert [each.number for each in host.runtime.acts] == [1]
        assert host.current.has_lists
    undone = told(tmp_path / "b.toml", "undo", "1")
    assert [each["applied"] for each in undone["hosts"]] == [True, True]
    assert [host.runtime.acts for host in hosts] == [(), ()]


def test_acts_stay_in_force_while_the_server_is_away(
    hosts: list[Limiter], tmp_path: Path, server: Server
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    server.kill()
    try:
        for host in hosts:
            ActFollower(host.store.place).look(host)
        assert [len(host.runtime.acts) for host in hosts] == [1, 1]
    finally:
        server.start()


def the_lost_log(server: Server, how: str) -> None:
    """Have the server come back without anything: QUICK servers keep nothing."""
    if how == "flushed":
        server.client.flushall()
        return
    server.kill()
    server.start()


@pytest.mark.parametrize("how", ["flushed", "restarted"])
def test_a_server_that_comes_back_empty_ends_no_act(
    hosts: list[Limiter], tmp_path: Path, server: Server, how: str
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17", "--for", "2h")
    told(tmp_path / "b.toml", "exempt", "acct-18", "--for", "2h")
    told(tmp_path / "b.toml", "undo", "2")
    the_lost_log(server, how)
    until(lambda: server.client.llen("{acts}:acts") == 4, "the log that hosts bring back")
    assert [[act.number for act in host.runtime.acts] for host in hosts] == [[1], [1]]
    listed = told(tmp_path / "a.toml", "acts")["acts"]
    assert [(each["act"], each["in_force"]) for each in listed] == [("1", True), ("2", False), ("3", False)]
    wait_for_hosts(tmp_path / "a.toml", 2)
    act = told(tmp_path / "b.toml", "exempt", "acct-19")
    assert act["act"].startswith("4-")  # no number is used again, and other hosts might know a fourth act
    assert [each["applied"] for each in act["hosts"]] == [True, True]


def test_an_act_made_in_the_moment_of_loss_has_a_number_of_its_own(
    hosts: list[Limiter], tmp_path: Path, server: Server
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    server.client.flushall()
    made = run(
        "act", "exempt", tmp_path / "b.toml", "acct-18", "--yes", "--json"
    )  # the file here knows the first
    assert json.loads(made.stdout)["act"].startswith("2-")
    elsewhere = tmp_path / "desk.toml"  # no worker has run here
    elsewhere.write_text(POLICY.format(url=server.url, table=tmp_path / "desk"))
    server.client.flushall()
    act = Policy.load(elsewhere)
    with deployment_of(act) as there:
        assert there.file is None
        made_here = there.append(lambda number, tag: Act(number, "exempt", 7, "me", there.key, tag=tag), 7)
    assert made_here.tag
    until(lambda: len(told(tmp_path / "a.toml", "acts")["acts"]) == 3, "all acts in one log")
    labels = [each["act"] for each in told(tmp_path / "a.toml", "acts")["acts"]]
    assert len(set(labels)) == 3


def test_a_host_that_is_cut_off_through_a_loss_shares_no_number(server: Server, tmp_path: Path) -> None:
    """Hazard: the last act before a loss is known to one host alone, and that host is cut off for hours."""
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    remote = Policy.load(path).compiled.remote
    assert remote is not None
    log = ServerActs(remote)

    def make(number: int, tag: str) -> Act:
        return Act(number, "exempt", 10 + number, "me", "k", [number], tag=tag)

    first, second = log.append(make, 1), log.append(make, 1)
    assert (first.label, second.label) == ("1", "2")
    server.client.flushall()
    log.merge([first], 2)  # of the second nobody knows who reaches the server
    for key in server.client.keys("{acts}:acts*"):  # an hour later
        left_ms = server.client.pttl(key)
        assert left_ms > 3_600_000, key
        server.client.pexpire(key, left_ms - 3_600_000)
    later = log.append(lambda number, tag: Act(number, "stop", 99, "me", "k", [7], tag=tag), 3)
    every = log.merge([first, second], 4)  # it is back
    log.close()
    assert later in every
    assert second in every
    assert len({act.label for act in every}) == len(every) == 3


def test_acts_of_both_sides_of_a_partition_are_joined(hosts: list[Limiter], tmp_path: Path) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    own = ActFile(tmp_path / "b")  # made on b while it was cut off
    first = own.read()[0]
    own.append(lambda number: Act(number, "exempt", 8, "b", first.key, tag="cafe"), 8)
    own.append(
        lambda number: Act(number, "undo", 9, "b", first.key, undoes=1, undoes_ns=first.at_ns, tag="cafe"), 9
    )
    until(lambda: [act.label for act in hosts[0].runtime.acts] == ["2-cafe"], "the other side's acts")
    until(lambda: len(told(tmp_path / "a.toml", "acts")["acts"]) == 3, "one log")


def test_a_host_that_lost_its_file_and_its_memory_has_the_acts_again(
    hosts: list[Limiter], tmp_path: Path
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    ActFile(tmp_path / "a").path.unlink()
    until(lambda: len(ActFile(tmp_path / "a").read()) == 1, "the file again")
    assert [act.number for act in hosts[0].runtime.acts] == [1]
    fresh = tmp_path / "c.toml"
    fresh.write_text((tmp_path / "a.toml").read_text().replace(str(tmp_path / "a"), str(tmp_path / "c")))
    third = Limiter(fresh)
    follower = ActFollower(third.store.place)
    follower.look(third)
    assert [act.number for act in third.runtime.acts] == [1]
    follower.resign()
    third.close()


def test_no_event_says_that_an_act_was_taken_back_by_a_loss(
    hosts: list[Limiter], tmp_path: Path, server: Server
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    watch = EventWatch(Reporter(hosts[0].store.place, Events(log=False, file=str(tmp_path / "events"))))
    follower = ActFollower(hosts[0].store.place)
    for _ in range(3):
        follower.look(hosts[0])
        watch.look(hosts[0], follower.log)
        server.client.flushall()
    follower.resign()
    assert not (tmp_path / "events").exists()


@pytest.mark.usefixtures("brief_commands")
def test_an_act_while_the_server_is_away_is_in_force_here_and_sent_later(
    hosts: list[Limiter], tmp_path: Path, server: Server
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    server.kill()
    try:
        result = run("act", "exempt", tmp_path / "a.toml", "acct-18", "--yes", "--json")
        assert result.exit_code == 4, result.output
        act = json.loads(result.stdout)
        assert act["server_away"]
        assert act["act"].startswith("2-")
        assert [each["applied"] for each in act["hosts"]] == [True]
        assert [each.number for each in hosts[0].runtime.acts] == [1, 2]
        assert [each.number for each in hosts[1].runtime.acts] == [1]
    finally:
        server.start()
    until(lambda: [each.number for each in hosts[1].runtime.acts] == [1, 2], "the act on the other host")


def test_a_host_that_is_cut_off_is_named(hosts: list[Limiter], tmp_path: Path, server: Server) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    at_ms = time.time_ns() // 1_000_000 - 300_000
    server.client.hset(
        "{acts}:acts:applied", "gone 1", f'{at_ms} {{"host": "gone", "digest": "", "workers": 3}}'
    )
    with Stopwatch() as watch:
        result = run("act", "exempt", tmp_path / "a.toml", "acct-17", "--yes", "--json")
    assert result.exit_code == 4
    assert watch.s < 4  # nobody waits for it
    hosts_told = json.loads(result.stdout)["hosts"]
    assert [each["host"] for each in hosts_told if not each["applied"]] == ["gone"]
    assert "not confirmed by gone" in result.stderr


def test_the_servers_log_is_bounded(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    line = b'{"number":%d,"kind":"undo","at_ns":1,"by":"me","key":"k","undoes":1}'
    server.client.rpush("{acts}:acts", *(line % number for number in range(1, MOST_ACTS + 1)))
    told(path, "exempt", "acct-17")
    assert server.client.llen("{acts}:acts") == MOST_ACTS + 1  # the first says which acts the others are
    (last,) = server.client.lrange("{acts}:acts", -1, -1)
    assert json.loads(last)["number"] == MOST_ACTS + 1
    assert server.client.pttl("{acts}:acts") > 0


def test_two_acts_of_one_instant_have_two_numbers(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    remote = Policy.load(path).compiled.remote
    assert remote is not None
    logs = [ServerActs(remote) for _ in range(4)]
    together = Barrier(len(logs))

    def make(log: ServerActs) -> list[int]:
        together.wait()
        return [
            log.append(lambda number, _: Act(number, "exempt", 1, "me", "k", [number]), 1).number
            for _ in range(20)
        ]

    with ThreadPoolExecutor(len(logs)) as threads:
        numbers = [number for found in threads.map(make, logs) for number in found]
    for log in logs:
        log.close()
    assert sorted(numbers) == list(range(1, 81))
    lines = server.client.lrange("{acts}:acts", 1, -1)
    assert [json.loads(line)["number"] for line in lines] == list(range(1, 81))


def test_acts_of_one_instant_are_kept_where_the_log_is_full(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    line = b'{"number":%d,"kind":"undo","at_ns":1,"by":"me","key":"k","undoes":1}'
    server.client.rpush("{acts}:acts", *(line % number for number in range(1, MOST_ACTS + 1)))
    remote = Policy.load(path).compiled.remote
    assert remote is not None
    log, tried = ServerActs(remote), []

    def make(number: int, _: str) -> Act:
        if not tried:
            server.client.lpush("{acts}:acts", Act(number, "exempt", 1, "other", "k", [2]).line())
        tried.append(number)
        return Act(number, "exempt", 1, "me", "k", [1])

    assert log.append(make, 1).number == MOST_ACTS + 2
    assert tried == [MOST_ACTS + 1, MOST_ACTS + 2]
    log.close()
    lines = server.client.lrange("{acts}:acts", 0, -1)
    assert [(each["number"], each["by"]) for each in map(json.loads, lines[-2:])] == [
        (MOST_ACTS + 1, "other"),
        (MOST_ACTS + 2, "me"),
    ]
    assert len(lines) == MOST_ACTS + 1  # the first says which acts the others are
