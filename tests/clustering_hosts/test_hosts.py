"""Several hosts over one server: one actor to all of them, and no other account notices."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ratelimit.core.sharing.bundle import sightings_in
from ratelimit.correlation.classification import Verdict
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts.entries import AssignmentEntry, Kind, SightingEntry, mark_of
from tests.clustering_hosts.conftest import StartHost
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS
from tests.support.campaign import Request, campaign
from tests.support.hosting import KEY, PLACES, Host, rest_until, settle, share, shared_policy_text
from tests.support.redis.server import Server
from tests.support.verdicts import CERTAIN, LIKELY, set_verdicts

MARK = mark_of(fingerprint_of(bytes.fromhex(KEY)))


def newcomer(host: Host, name: str, count: int = 6) -> None:
    """Let a new account of the campaign be seen at one host."""
    at_s = (host.clock.now_ns() - START_NS) / NS
    for number, exit_ in enumerate((3, 9, 17, 22, 30, 35)[:count]):
        address = f"45.{exit_ // 4}.{exit_ % 4 * 16}.{7 + exit_}"
        host.decide(Request(at_s + number, name, "stolen1", "farm/1.0", address))


def test_campaign_spread_over_hosts_is_one_actor_to_all_of_them(caught_hosts: list[Host]) -> None:
    seen = [host.clusters(BOTS) for host in caught_hosts]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1
    assert -1 not in seen[0]
    assert all(host.clusters(PEOPLE) == {-1} for host in caught_hosts)


def test_every_host_tells_of_the_correlator_and_of_itself(caught_hosts: list[Host]) -> None:
    first, second = (host.numbers for host in caught_hosts)
    for name in ("clusters", "members", "principals", "identifiers", "rebuilds", "saved_ns", "lease_term"):
        assert first[name] == second[name] > 0, name
    assert (first["members"], first["principals"]) == (60, 360)
    assert [each["is_correlator"] for each in (first, second)] == [1, 0]
    assert first["sent"] + second["sent"] == len(list(campaign()))
    assert [each["dropped"] + each["unsent"] + each["stream_lost"] for each in (first, second)] == [0, 0]
    assert [each["assigned"] for each in (first, second)] == [66, 66]  # and six cards of its own
    assert END_NS <= second["heard_ns"] <= END_NS + 2 * NS


def test_hosts_judge_as_one_host_would(caught_hosts: list[Host], start_host: StartHost) -> None:
    alone = start_host(is_candidate=True)
    correlator = caught_hosts[0].agent.correlator
    assert correlator is not None
    told = {label: len(keys) for label, keys in correlator.members().items()}
    assert list(told.values()) == [60]
    ((_, classification),) = correlator.kept.values()
    assert classification.verdict is Verdict.CERTAIN
    assert alone.cluster("bot1") == -1  # it has not heard yet
    settle(alone)
    assert alone.clusters(BOTS) == caught_hosts[0].clusters(BOTS)


def test_newcomer_seen_at_one_host_is_known_at_the_other_between_rebuilds(caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    rebuilds = first.numbers["rebuilds"]
    newcomer(second, "bot999")
    settle(first, second)
    assert first.numbers["rebuilds"] == rebuilds
    assert first.cluster("bot999") == second.cluster("bot999") == first.cluster("bot1") != -1


def test_one_table_serves_a_host_that_starts_late(caught_hosts: list[Host], start_host: StartHost) -> None:
    late = start_host(now_ns=END_NS)
    settle(late)
    assert late.clusters(BOTS) == caught_hosts[0].clusters(BOTS) != {-1}
    late.clock.advance(2)
    settle(late)
    assert late.numbers["catch_ups"] == 1
    assert late.numbers["sent"] == 0


def test_sightings_are_counted_together(server: Server, start_host: StartHost) -> None:
    host = start_host(is_candidate=False)
    settle(host)
    for _ in range(500):
        host.decide(Request(0, "loud", "card", "browser", "81.1.1.1"))
    host.decide(Request(0, "quiet", "card2", "browser", "81.1.1.2"))
    settle(host)
    (entry,) = stream(server, PLACES.sightings)
    seen = SightingEntry.from_entry(entry, MARK)
    assert sightings_in(seen.records) == 501
    assert len(seen.records) < 200


def test_sighting_that_comes_twice_counts_once(server: Server, caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    before = first.numbers["principals"]
    newcomer(second, "someone", 1)
    settle(first, second)
    correlator = first.agent.correlator
    assert correlator is not None
    volume = correlator.evidence.new_edges
    entry = stream(server, PLACES.sightings)[-1]
    binary(server).xadd(PLACES.sightings, {"e": entry})
    settle(first, second)
    assert correlator.evidence.new_edges == volume
    assert first.numbers["principals"] in (before, before + 1)
    global_leader = first.agent._global_leader
    assert global_leader is not None
    assert global_leader._intake.repeated == 1


def test_clock_of_a_host_that_is_ahead_does_not_move_the_others(caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    correlator = first.agent.correlator
    assert correlator is not None
    second.clock.advance(400 * 86400)
    newcomer(second, "traveller", 2)
    settle(first, second)
    assert correlator.core.knows
    assert correlator.now_ns <= first.clock.now_ns()
    assert first.clusters(BOTS) == second.clusters(BOTS) != {-1}


def test_entries_of_an_old_term_and_strange_ones_change_nothing(
    server: Server, caught_hosts: list[Host]
) -> None:
    first, second = caught_hosts
    cluster, term = second.cluster("bot1"), second.numbers["lease_term"]
    generation = second.limiter.current
    key = generation.extractor.extract([(b"x-api-key", b"bot1")], "192.0.2.1")
    assert key
    for entry in (
        AssignmentEntry(MARK, term - 1, 10**6, 7, Kind.CHANGES, (), bytes(32)).packed(),
        AssignmentEntry(MARK, term - 1, 10**6 + 1, 7, Kind.RELOAD).packed(),
        b"",
        b"nonsense" * 50,
        AssignmentEntry(MARK, term, 1, 7, Kind.CHANGES, (), bytes(32)).packed()[:-3],
    ):
        binary(server).xadd(PLACES.assignments, {"e": entry})
    binary(server).xadd(PLACES.assignments, {"other": b"1"})
    settle(first, second)
    assert second.cluster("bot1") == cluster
    assert second.numbers["catch_ups"] == 1
    assert second.noted.codes == ["hosts-format"] or second.noted.codes == []
    newcomer(second, "bot998")
    settle(first, second)
    assert second.cluster("bot998") == cluster


def test_host_with_another_hash_key_is_told_so_and_changes_nothing(
    caught_hosts: list[Host], start_host: StartHost
) -> None:
    stranger = start_host(now_ns=END_NS, is_candidate=False, key="f" * 32)
    settle(stranger)
    newcomer(stranger, "bot999")
    settle(*caught_hosts, stranger, level=False)
    for host in (*caught_hosts, stranger):
        host.clock.advance(2)
    settle(*caught_hosts, stranger, level=False)
    assert stranger.noted.codes == ["hosts-key"]
    assert caught_hosts[0].noted.codes == ["hosts-key"]
    assert stranger.clusters(BOTS) == {-1}
    assert caught_hosts[0].cluster("bot999") == -1


def test_hosts_that_leave_it_to_a_process_of_its_own_do_not_compete(start_host: StartHost) -> None:
    hosts = [start_host(is_candidate=False), start_host(is_candidate=False)]
    for host in hosts:
        host.live(campaign(honest=5, accounts=5, hours=1))
    settle(*hosts)
    assert not any(host.is_leading for host in hosts)
    correlator = start_host()
    settle(correlator)
    rest_until([*hosts, correlator], END_NS)
    assert correlator.is_leading
    assert correlator.numbers["principals"] == 10
    assert [host.numbers["principals"] for host in hosts] == [10, 10]


def test_operators_knowledge_reaches_all_hosts(caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    from ratelimit.clustering.declarations import Declarations, principal_key
    from ratelimit.core.clusters.overrides import Overrides

    spec = first.limiter.policy.compiled.correlation
    assert spec is not None
    key = principal_key(
        spec, first.limiter.policy.compiled.identities, first.limiter.current.extractor, ["bot7"]
    )
    assert key is not None
    first.clustering.know(Declarations(Overrides([key], [], []), None, -1))
    rest_until(caught_hosts, END_NS + 60 * NS)
    assert second.cluster("bot7") == -1
    assert second.cluster("bot8") != -1


def test_workers_of_a_host_have_one_bridge_and_the_next_takes_it_over(
    tmp_path: Path, start_host: StartHost
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(shared_policy_text(store=f'memory = "{tmp_path / "store"}"'))
    workers = [start_host(path=path), start_host(path=path)]
    for worker in workers:
        worker.clustering.tick(worker.clock.now_ns())
    assert [worker.clustering.is_elected for worker in workers] == [True, False]
    assert [len(worker.stream_clients) for worker in workers] == [1, 0]
    for number, request in enumerate(campaign()):
        workers[number % 2].decide(request)
        if number % 200 == 199:
            workers[0].clock.set_ns(workers[number % 2].clock.now_ns())
            settle(workers[0])
    rest_until(workers[:1], END_NS)
    seen = [worker.clusters(BOTS) for worker in workers]
    assert seen[0] == seen[1] != {-1}
    workers[0].resign()
    workers[1].clock.set_ns(END_NS + 10 * NS)
    settle(workers[1], until=lambda: workers[1].is_leading)
    assert workers[1].clusters(BOTS) == workers[0].clusters(BOTS) == seen[0]
    numbers = workers[1].numbers
    assert (numbers["principals"], numbers["dropped"]) == (360, 0)
    assert numbers["sent"] == len(list(campaign()))


@pytest.mark.parametrize("count", [1, 3])
def test_members_that_leave_make_room_again(caught_hosts: list[Host], count: int) -> None:
    first, second = caught_hosts
    for _ in range(count):
        second.agent._gone = 10**6
        settle(first, second)
        assert second.numbers["assigned"] == 66
        assert second.clusters(BOTS) == first.clusters(BOTS) != {-1}


def stream(server: Server, name: str) -> list[bytes]:
    """Return the entries of a stream."""
    return [fields[b"e"] for _, fields in binary(server).xrange(name) if b"e" in fields]


def binary(server: Server):  # type: ignore[no-untyped-def]  # a redis.Redis whose answers are bytes
    """Return a client with bytes as answers."""
    from redis import Redis

    return Redis(host=server.host, port=server.port, single_connection_client=False)


def test_every_host_knows_who_is_likely(start_host: StartHost, monkeypatch: pytest.MonkeyPatch) -> None:
    set_verdicts(monkeypatch, lambda number: LIKELY if number % 2 else CERTAIN)
    hosts = [start_host(), start_host()]
    settle(hosts[0])
    settle(*hosts)
    share(hosts, campaign())
    rest_until(hosts, END_NS)
    found = []
    for host in hosts:
        verdicts = [host.limiter.peek(path="/v1/x", headers={"x-api-key": name}).verdict for name in BOTS]
        found.append(verdicts)
        assert Counter(verdicts) == {"certain": 30, "likely": 30}
        assert (host.numbers["members"], host.numbers["certain_members"]) == (60, 30)
        assert (host.numbers["clusters"], host.numbers["certain_clusters"]) == (1, 1)
    assert found[0] == found[1]
    late = start_host()
    late.clock.set_ns(hosts[0].clock.now_ns())
    settle(late, *hosts)
    assert [late.limiter.peek(path="/v1/x", headers={"x-api-key": name}).verdict for name in BOTS] == found[0]
