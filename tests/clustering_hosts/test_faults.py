"""Faults between hosts and their server: nothing is forgotten, no host writes out of turn."""

from __future__ import annotations

import pytest
from msgspec import structs

from ratelimit.clustering.hosts import agent as agents
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts import queues as queues
from ratelimit.stores.redis.hosts import stream_client as stream_clients
from ratelimit.stores.redis.hosts.entries import AssignmentEntry, mark_of
from tests.clustering_hosts.conftest import StartHost
from tests.clustering_hosts.test_hosts import newcomer, stream
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS
from tests.support.campaign import Request, campaign
from tests.support.hosting import (
    HAND_LEASE_MS,
    HAND_PATIENCE_S,
    KEY,
    PLACES,
    Host,
    rest_until,
    settle,
    share,
    wait_until,
)
from tests.support.redis.fixtures import StartServer
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

MARK = mark_of(fingerprint_of(bytes.fromhex(KEY)))


def lapse(server: Server) -> None:
    """Let the lease end as its time would."""
    assert server.client.delete(PLACES.lease) == 1


def terms(server: Server) -> list[int]:
    return [AssignmentEntry.from_entry(entry, MARK).term for entry in stream(server, PLACES.assignments)]


def is_unwell(host: Host) -> bool:
    """Step once; return whether the server failed."""
    try:
        host.step()
    except stream_clients.Failures:
        return True
    return False


# -- which host correlates -----------------------------------------------------------------------


def test_lease_that_lapses_is_somebody_elses_and_nothing_is_forgotten(
    server: Server, caught_hosts: list[Host]
) -> None:
    first, second = caught_hosts
    clusters, numbers = first.clusters(BOTS), first.numbers
    lapse(server)
    second.stream_clients[-1].stream_client._lease_due_s = 0
    settle(second, until=lambda: second.is_leading)
    settle(first, second)
    assert not first.is_leading
    assert first.clusters(BOTS) == second.clusters(BOTS) == clusters
    for host in caught_hosts:
        host.clock.advance(2)
    settle(first, second)
    assert second.numbers["principals"] == first.numbers["principals"] == numbers["principals"]
    assert first.numbers["takeovers"] == 1
    # It goes on where the other was: a new account is recognised by what the other had learnt.
    newcomer(first, "bot999")
    settle(first, second)
    assert first.cluster("bot999") == second.cluster("bot999") in clusters
    assert first.clusters(PEOPLE) == {-1}


def test_successor_hears_what_was_seen_since_the_snapshot_before_it_judges(
    server: Server, start_host: StartHost
) -> None:
    hosts = [start_host(), start_host()]
    settle(hosts[0])
    settle(*hosts)
    requests = list(campaign())
    share(hosts, requests[: len(requests) * 3 // 4])
    first, second = hosts
    global_leader = first.agent._global_leader
    assert global_leader is not None
    global_leader._leader.adapt(first.limiter.policy.compiled.correlation, None)  # type: ignore[arg-type]
    share(hosts, requests[len(requests) * 3 // 4 :])
    settle(*hosts)
    lapse(server)
    # A rebuild is due for the successor at once, by the time of the snapshot.
    second.clock.set_ns(END_NS)
    second.stream_clients[-1].stream_client._lease_due_s = 0
    settle(second, until=lambda: second.is_leading)
    rest_until(hosts, END_NS)
    correlator = second.agent.correlator
    assert correlator is not None
    assert sum(map(len, correlator.members().values())) == 60
    assert second.numbers["principals"] == 360
    assert len(first.clusters(BOTS)) == 1
    assert first.clusters(BOTS) == second.clusters(BOTS) != {-1}


def test_correlator_that_slept_through_its_term_publishes_nothing(
    server: Server, caught_hosts: list[Host]
) -> None:
    first, second = caught_hosts
    global_leader = first.agent._global_leader
    assert global_leader is not None
    term = global_leader.term
    newcomer(first, "bot999", 5)
    first.clustering.tick(first.clock.now_ns())  # asleep from here on, with things to say
    global_leader._report(first.clock.now_ns())
    lapse(server)
    second.stream_clients[-1].stream_client._lease_due_s = 0
    settle(second, until=lambda: second.is_leading)
    before = terms(server)
    assert before[-1] > term
    # It wakes, and does not know yet that the lease is not its own.
    first.stream_clients[-1].stream_client._lease_due_s = float("inf")
    assert first.agent.box.next_publication() is not None
    first.stream_clients[-1].turn()
    assert first.agent.box.term == 0
    first.stream_clients[-1].stream_client._lease_due_s = 0
    settle(first, second)
    assert not first.is_leading
    assert terms(server)[: len(before)] == before
    assert set(terms(server)[len(before) :]) <= {before[-1]}


def test_correlator_that_rests_hands_over_at_once_and_saves(caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    clusters, saved_ns = first.clusters(BOTS), first.numbers["saved_ns"]
    newcomer(first, "bot999")
    first.resign()
    second.stream_clients[-1].stream_client._lease_due_s = 0
    with Stopwatch() as watch:
        settle(second, until=lambda: second.is_leading)
    assert watch.s < HAND_LEASE_MS / 1000 / 4  # not when the lease would have ended
    second.clock.set_ns(first.clock.now_ns() + NS)
    settle(second)
    assert second.cluster("bot999") in clusters
    second.clock.advance(1)
    settle(second)
    assert second.numbers["saved_ns"] > saved_ns


def test_reload_keeps_evidence_clusters_and_the_lease(caught_hosts: list[Host]) -> None:
    from dataclasses import replace

    first, second = caught_hosts
    clusters = first.clusters(BOTS)
    spec = first.limiter.policy.compiled.correlation
    assert spec is not None
    first.clustering.adapt(
        replace(spec, settings=structs.replace(spec.settings, homed=0.04, identifiers=20_000))
    )
    settle(first, second)
    assert first.is_leading
    correlator = first.agent.correlator
    assert correlator is not None
    assert correlator.settings.homed == 0.04
    rest_until(caught_hosts, END_NS + 2 * 3600 * NS)
    assert first.clusters(BOTS) == second.clusters(BOTS) == clusters


def test_damaged_snapshot_is_refused_and_evidence_is_gathered_anew(
    server: Server, caught_hosts: list[Host], start_host: StartHost
) -> None:
    for host in caught_hosts:
        host.resign()
    head = list(server.client.scan_iter(f"{PLACES.snapshot}:*"))
    assert head
    for key in head:
        server.client.hset(key, "0", "nonsense")
    third = start_host(now_ns=END_NS)
    settle(third, until=lambda: third.is_leading)
    assert third.agent.correlator is not None
    assert third.agent.correlator.evidence.principal_count <= 360


# -- a host that lags -------------------------------------------------------------------------------


def test_host_that_missed_entries_fetches_the_table(server: Server, caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    settle(first, second)
    before = second.numbers["catch_ups"]
    newcomer(first, "bot999")
    settle(first)
    assert second.cluster("bot999") == -1
    assert server.client.xtrim(PLACES.assignments, maxlen=0, approximate=False) > 0
    first.clock.advance(2)
    settle(first)
    settle(second, level=False)
    # What it has stays in force until there is a table that goes further.
    assert second.clusters(BOTS) == first.clusters(BOTS)
    first.clock.advance(601)
    settle(first)
    settle(second, until=lambda: second.cluster("bot999") != -1)
    assert second.cluster("bot999") == first.cluster("bot999") != -1
    second.clock.advance(2)
    settle(second)
    assert second.numbers["catch_ups"] == before + 1


def test_more_changes_than_are_remembered_go_by_way_of_the_table(caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    global_leader = first.agent._global_leader
    assert global_leader is not None
    global_leader._leader.assignments.record(3)
    for name in ("bot991", "bot992", "bot993", "bot994", "bot995"):
        newcomer(second, name)
    settle(first, second)
    names = ["bot991", "bot992", "bot993", "bot994", "bot995"]
    assert second.clusters(names) == first.clusters(BOTS) != {-1}


# -- the server ------------------------------------------------------------------------------------


def test_server_gone_and_back_with_nothing_left(start_server: StartServer, start_host: StartHost) -> None:
    server = start_server()
    hosts = [start_host(server.port), start_host(server.port)]
    settle(hosts[0])
    settle(*hosts)
    share(hosts, campaign())
    rest_until(hosts, END_NS)
    first, second = hosts
    clusters, term = first.clusters(BOTS), first.numbers["lease_term"]
    server.kill()
    assert is_unwell(first)
    assert is_unwell(second)
    newcomer(second, "bot999")
    assert is_unwell(second)
    assert first.clusters(BOTS) == second.clusters(BOTS) == clusters
    assert second.agent.box.outgoing > 0
    server.start()
    for host in hosts:
        wait_until(lambda host=host: not is_unwell(host))  # type: ignore[misc]
        host.stream_clients[-1].stream_client._lease_due_s = 0
    settle(first, until=lambda: first.is_leading)
    settle(*hosts, until=lambda: second.cluster("bot999") != -1)
    assert first.clusters(BOTS) == second.clusters(BOTS) == clusters
    assert second.cluster("bot999") == first.cluster("bot999") in clusters
    for host in hosts:
        host.clock.advance(2)
    settle(*hosts)
    assert second.numbers["lease_term"] > term
    assert second.numbers["unsent"] == 0


def test_what_is_seen_while_the_server_is_gone_is_bounded_and_counted(
    start_server: StartServer, start_host: StartHost
) -> None:
    server = start_server()
    host = start_host(server.port)
    settle(host)
    server.kill()
    for number in range(queues.MOST_OUTGOING + 50):
        host.decide(Request(number, f"a{number}", "card", "browser", "81.1.1.1"))
        host.clustering.tick(host.clock.now_ns())
    assert host.agent.box.outgoing == queues.MOST_OUTGOING
    host.clock.advance(2)
    host.clustering.tick(host.clock.now_ns())
    assert host.numbers["unsent"] == 50
    assert host.numbers["dropped"] == 0


def test_hung_server_holds_nobody_up(start_server: StartServer, start_host: StartHost) -> None:
    server = start_server()
    host = start_host(server.port)
    settle(host)
    by_hand = host.stream_clients[-1].stream_client
    server.pause()
    try:
        by_hand._lease_due_s, by_hand._patience_s = 0, stream_clients.PATIENCE_S
        with Stopwatch() as watch, pytest.raises(stream_clients.Failures):
            host.stream_clients[-1].turn()
        assert watch.s < HAND_PATIENCE_S / 2
        with Stopwatch() as watch:
            for number in range(200):
                host.decide(Request(number, "a", "card", "browser", "81.1.1.1"))
                host.clustering.tick(host.clock.now_ns())
        assert watch.s < 20  # not one wait each
    finally:
        server.resume()
        by_hand._patience_s = HAND_PATIENCE_S
    wait_until(lambda: not is_unwell(host))
    settle(host)
    host.clock.advance(2)
    settle(host)
    assert host.numbers["sent"] == 200


def test_script_cache_lost_between_calls(server: Server, caught_hosts: list[Host]) -> None:
    server.client.script_flush()
    newcomer(caught_hosts[1], "bot999")
    settle(*caught_hosts)
    assert caught_hosts[1].cluster("bot999") != -1


def test_stream_of_sightings_is_capped(
    server: Server, start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_clients, "MOST_SIGHTING_ENTRIES", 200)
    monkeypatch.setattr(agents, "GATHERED_NS", 0)
    host = start_host(is_candidate=False)
    for number in range(1000):
        host.decide(Request(number, f"a{number}", "card", "browser", "81.1.1.1"))
        host.step()
    assert server.client.xlen(PLACES.sightings) <= 400
    assert (
        0 < server.client.pttl(PLACES.sightings) <= stream_clients.STREAM_LASTS_MS or host.step() is not None
    )
    assert START_NS


def test_host_that_ends_leaves_another_s_lease_alone(server: Server, caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    held = server.client.get(PLACES.lease)
    second._while_turning(second.limiter.close)
    assert server.client.get(PLACES.lease) == held
    first._while_turning(first.limiter.close)
    assert server.client.get(PLACES.lease) is None


def test_stream_of_assignments_is_capped(
    server: Server, caught_hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_clients, "MOST_ASSIGNMENT_ENTRIES", 100)
    first = caught_hosts[0]
    for _ in range(400):  # the correlator says how it is each second
        first.clock.advance(1)
        for _ in range(3):
            first.step()
    assert first.is_leading
    assert 100 <= server.client.xlen(PLACES.assignments) <= 250


def test_every_key_has_an_end_and_one_slot(server: Server, caught_hosts: list[Host]) -> None:
    for host in caught_hosts:
        host.stream_clients[-1].stream_client._lasting_due_s = 0
    newcomer(caught_hosts[1], "bot999")
    settle(*caught_hosts)
    for host in caught_hosts:
        host.stream_clients[-1].stream_client._lasting_due_s = 0
    settle(*caught_hosts)
    keys = list(server.client.scan_iter())
    assert len(keys) >= 6
    for key in keys:
        assert key.startswith("{test}:"), key
        assert server.client.pttl(key) > 0, key


def test_nothing_in_the_server_tells_a_raw_value(server: Server, start_host: StartHost) -> None:
    from redis import Redis

    hosts = [start_host(), start_host()]
    settle(*hosts)
    at = 0
    for number in range(60):
        hosts[number % 2].decide(
            Request(
                at, f"account-{number % 30}", f"payment-{number % 5}", "agent-of-somebody", "198.51.100.77"
            )
        )
    rest_until(hosts, END_NS)
    rest_until(hosts, END_NS + 7200 * NS)
    client = Redis(host=server.host, port=server.port)
    dumped = b""
    for key in client.scan_iter():
        dumped += key
        kind = client.type(key)
        if kind == b"string":
            dumped += client.get(key) or b""
        elif kind == b"hash":
            dumped += b"".join(word for pair in client.hgetall(key).items() for word in pair)
        elif kind == b"stream":
            for _, fields in client.xrange(key):
                dumped += b"".join(word for pair in fields.items() for word in pair)
        else:
            raise AssertionError(f"{key!r} is a {kind!r}")
    assert len(dumped) > 10_000
    for raw in (
        b"account-",
        b"payment-",
        b"agent-of",
        b"198.51",
        bytes([198, 51, 100, 77]),
        bytes([77, 100, 51, 198]),
    ):
        assert raw not in dumped, raw
