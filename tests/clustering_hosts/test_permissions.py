"""The user of docs/redis.md is enough for hosts to correlate, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ratelimit.stores.redis.transport.connect import connect
from tests.clustering_hosts.test_hosts import newcomer
from tests.support.acting import BOTS, END_NS, PEOPLE
from tests.support.campaign import campaign
from tests.support.hosting import PLACES, Host, rest_until, settle, share
from tests.support.redis.permission import SECRET, USER, documented
from tests.support.redis.policies import spec_of
from tests.support.redis.server import Server


@pytest.fixture
def user(server: Server) -> Iterator[str]:
    """Make the user; whatever it is refused stands in the server's log."""
    server.client.execute_command("ACL", "SETUSER", USER, *documented(PLACES.prefix))
    server.client.acl_log_reset()
    yield USER
    server.client.acl_deluser(USER)


@pytest.fixture
def hosts(server: Server, user: str) -> Iterator[list[Host]]:
    """Return two hosts that come as that user; the first correlates."""
    url = server.url.replace("://", f"://{user}:{SECRET}@")

    def client() -> Any:
        return connect(spec_of(url), timeout_s=20)

    started = [Host(0, connect=client), Host(0, connect=client)]
    settle(started[0])
    settle(*started)
    yield started
    for host in started:
        host.close()
    assert server.client.acl_log() == []


def test_documented_user_is_enough_to_correlate_and_to_take_over(server: Server, hosts: list[Host]) -> None:
    first, second = hosts
    share(hosts, campaign())
    rest_until(hosts, END_NS)
    clusters = first.clusters(BOTS)
    assert len(clusters) == 1
    assert second.clusters(BOTS) == clusters != {-1}
    assert server.client.delete(PLACES.lease) == 1
    second.stream_clients[-1].stream_client._lease_due_s = 0
    settle(second, until=lambda: second.is_leading)
    settle(first, second)
    for host in hosts:
        host.clock.advance(2)
    settle(first, second)
    assert second.numbers["principals"] == first.numbers["principals"]  # it read what the other had kept
    newcomer(first, "bot999")
    settle(first, second)
    assert first.cluster("bot999") == second.cluster("bot999") in clusters
    assert first.clusters(PEOPLE) == {-1}
