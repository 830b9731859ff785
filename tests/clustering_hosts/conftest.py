"""Hosts over the run's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.acting import END_NS
from tests.support.campaign import campaign
from tests.support.hosting import Host, rest_until, settle, share
from tests.support.redis.server import Server

StartHost = Callable[..., Host]


@pytest.fixture
def start_host(server: Server) -> Iterator[StartHost]:
    """Return a function that starts hosts: `start_host(port=None, **of Host)`."""
    started: list[Host] = []

    def new(port: int | None = None, **more: Any) -> Host:
        started.append(Host(server.port if port is None else port, **more))
        return started[-1]

    yield new
    for host in started:
        host.close()


@pytest.fixture
def caught_hosts(start_host: StartHost) -> list[Host]:
    """Return two hosts that saw a campaign through; the first correlates."""
    hosts = [start_host(), start_host()]
    settle(hosts[0])
    settle(*hosts)
    share(hosts, campaign())
    rest_until(hosts, END_NS)
    assert [host.is_leading for host in hosts] == [True, False]
    return hosts
