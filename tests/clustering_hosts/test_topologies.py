"""The same over a cluster and over Sentinels, and what a lost master costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ratelimit.stores.redis.hosts import stream_client as stream_clients
from ratelimit.stores.redis.transport.connect import connect
from tests.clustering_hosts.test_hosts import newcomer
from tests.support.acting import BOTS, END_NS, PEOPLE
from tests.support.campaign import campaign
from tests.support.hosting import PLACES, Host, rest_until, settle, share, wait_until
from tests.support.redis.cluster import Cluster
from tests.support.redis.policies import spec_of
from tests.support.redis.sentinel import Sentinels


def hosts_at(url: str) -> list[Host]:
    """Return two hosts over a server that have found a campaign."""
    spec = spec_of(url)

    def client() -> Any:
        return connect(spec, timeout_s=20)

    hosts = [Host(0, connect=client), Host(0, connect=client)]
    settle(hosts[0])
    settle(*hosts)
    share(hosts, campaign(), every=500)
    rest_until(hosts, END_NS)
    assert hosts[0].clusters(BOTS) == hosts[1].clusters(BOTS) != {-1}
    return hosts


@pytest.fixture
def closing() -> Iterator[list[Host]]:
    hosts: list[Host] = []
    yield hosts
    for host in hosts:
        host.close()


def is_well(host: Host) -> bool:
    """Step once; return whether the server did what it was asked."""
    try:
        host.step()
    except stream_clients.Failures:
        return False
    return True


def go_on(hosts: list[Host]) -> None:
    """Go on over whatever fails until a newcomer is known everywhere."""
    clusters = hosts[0].clusters(BOTS)
    newcomer(hosts[1], "bot999")

    def is_known() -> bool:
        all_well = [is_well(host) for host in hosts]
        for host in hosts:
            host.clock.advance(0.05)
        return all(all_well) and {host.cluster("bot999") for host in hosts} == clusters

    wait_until(is_known, 60)
    assert all(host.clusters(BOTS) == clusters for host in hosts)
    assert all(host.clusters(PEOPLE) == {-1} for host in hosts)


def test_cluster_whose_master_dies(cluster: Cluster, closing: list[Host]) -> None:
    closing += hosts_at("redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in cluster.nodes))
    names = (PLACES.lease, PLACES.term, PLACES.sightings, PLACES.assignments, PLACES.table, PLACES.snapshot)
    (owner,) = {cluster.owner(name).port for name in names}
    cluster.fail_over(next(node for node in cluster.masters() if node.port == owner))
    go_on(closing)


def test_master_of_sentinels_that_dies(sentinels: Sentinels, closing: list[Host]) -> None:
    addresses = ",".join(f"{host}:{port}" for host, port in sentinels.addresses)
    closing += hosts_at(f"redis+sentinel://{addresses}/{sentinels.name}/0")
    sentinels.fail_over()
    go_on(closing)
