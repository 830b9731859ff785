"""Earlier use of clusters and members: charged by the correlator alone, and only in its term."""

from __future__ import annotations

from tests.clustering_hosts.test_faults import lapse
from tests.clustering_hosts.test_hosts import newcomer
from tests.support.acting import BOTS, END_NS, NS, START_NS
from tests.support.campaign import Request
from tests.support.charging import Noted
from tests.support.hosting import PLACES, Host, rest_until, settle
from tests.support.redis.server import Server


def noted_at(host: Host) -> Noted:
    """Return what a host charges from now on."""
    noted = Noted()
    host.agent._budgets = lambda: noted  # type: ignore[assignment,return-value]
    if host.agent._global_leader is not None:
        host.agent._global_leader._leader._budgets = host.agent._budgets
    return noted


def test_old_correlator_can_neither_save_nor_carry(server: Server, caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    noted = [noted_at(host) for host in caught_hosts]
    global_leader = first.agent._global_leader
    assert global_leader is not None
    correlator = global_leader.correlator
    assert correlator is not None
    correlator.carries.append((1, 2))
    label = next(iter(correlator.kept))
    head = server.client.execute_command("GET", PLACES.snapshot, NEVER_DECODE=True)
    lapse(server)
    second.stream_clients[-1].stream_client._lease_due_s = 0
    settle(second, until=lambda: second.is_leading)
    saved = server.client.execute_command("GET", PLACES.snapshot, NEVER_DECODE=True)
    # A rebuild falls due at the old one, which does not know: it asks before it carries.
    first.stream_clients[-1].stream_client._lease_due_s = float("inf")
    first.clock.set_ns(END_NS + 7200 * NS)
    newcomer(first, "someone", 1)
    late = first.limiter.current.extractor.extract(
        [(b"x-api-key", b"late"), (b"x-payment", b"another")], "192.0.2.1"
    )
    correlator.core.observe(late, first.clock.now_ns())
    correlator.core.admit(late)
    key = correlator.core.columns.key_of(late)
    assert key is not None
    assert correlator.core.assign(key, label)
    correlator.core.observe(late, first.clock.now_ns())
    assert correlator.core.owing
    for _ in range(300):
        first.clustering.tick(first.clock.now_ns())
    first.stream_clients[-1].turn()
    settle(first)
    assert [(budgets.carried, budgets.charged) for budgets in noted] == [([], []), ([], [])]
    assert not first.is_leading
    assert server.client.execute_command("GET", PLACES.snapshot, NEVER_DECODE=True) == saved
    assert head is not None


def test_what_clusters_used_is_carried_by_the_correlator_alone(caught_hosts: list[Host]) -> None:
    first, second = caught_hosts
    noted = [noted_at(host) for host in caught_hosts]
    global_leader = first.agent._global_leader
    assert global_leader is not None
    assert global_leader.correlator is not None
    global_leader.correlator.carries += [(1, 2), (2, 3)]
    rest_until(caught_hosts, END_NS + 7200 * NS)
    newcomer(second, "someone", 1)
    rest_until(caught_hosts, END_NS + 9000 * NS)
    assert [budgets.carried for budgets in noted] == [[(1, 2), (2, 3)], []]


def test_what_members_were_given_is_charged_by_the_correlator_alone_and_once(
    caught_hosts: list[Host],
) -> None:
    first, second = caught_hosts
    # The payment method of a stranger, too, is no actor's own.
    stranger = Request((END_NS - START_NS) / NS, "stranger", "stolen1", "", "198.51.100.7")
    second.decide(stranger)
    rest_until(caught_hosts, END_NS + 10 * NS)
    noted = [noted_at(host) for host in caught_hosts]
    cluster = first.clusters(BOTS).pop()
    # Known by its payment method and exit at once; but the host had decided by then.
    newcomer(second, "bot999", 1)
    rest_until(caught_hosts, END_NS + 20 * NS)
    assert first.clusters(["bot999"]) == second.clusters(["bot999"]) == {cluster}
    newcomer(second, "bot999", 3)
    rest_until(caught_hosts, END_NS + 30 * NS)
    assert [budgets.charged for budgets in noted] == [[(cluster, 1)], []]
