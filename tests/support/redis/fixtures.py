"""Fixtures of real servers, for any folder of tests: `tests/conftest.py` names this module.

Shared ones live as long as the run and are set back before each test that asks
for them. What a test breaks beyond that (kills, options, users) it breaks on
servers of its own, from `start_server`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # imported where used: most folders of tests have no use for a client library
    from tests.support.redis.binary import Binary
    from tests.support.redis.certificate import Certificate
    from tests.support.redis.cluster import Cluster
    from tests.support.redis.live import LiveLimiter
    from tests.support.redis.proxy import Proxy
    from tests.support.redis.sentinel import Sentinels
    from tests.support.redis.server import Options, Server

StartServer = Callable[..., "Server"]
StartProxy = Callable[..., "Proxy"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Here, not in the decorator: looking for programs takes a process.
    if "binary" in metafunc.fixturenames:
        from tests.support.redis.binary import binaries

        present = binaries()
        metafunc.parametrize(
            "binary", present, ids=[binary.name for binary in present], indirect=True, scope="session"
        )


@pytest.fixture(scope="session")
def binary(request: pytest.FixtureRequest) -> Binary:
    """Return a server program; the test runs once with each that is present."""
    chosen: Binary = request.param
    return chosen


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for localhost, its own authority."""
    from tests.support.redis.certificate import make_certificate

    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[dict[str, Server]]:
    """Keep the shared servers by their binary's name until the run ends."""
    servers: dict[str, Server] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def patient_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process wait for servers and hosts for long: a busy machine's pause is no outage.

    A test in which the server does not answer asks for `brief_commands`.
    """
    for module in ("stores.redis.caller", "stores.redis.doctor.checkup", "inspection.access.server"):
        monkeypatch.setattr(f"ratelimit.{module}.PATIENCE_S", 10.0)
    # A question stays at the server for ten seconds.
    monkeypatch.setattr("ratelimit.inspection.hosts.moment.PATIENCE_S", 8.0)
    monkeypatch.setattr("ratelimit.inspection.acts.acting.PATIENCE_S", 30.0)


@pytest.fixture
def brief_commands(patient_commands: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process give servers and hosts up soon: some do not answer in this test."""
    for module in ("stores.redis.caller", "stores.redis.doctor.checkup", "inspection.access.server"):
        monkeypatch.setattr(f"ratelimit.{module}.PATIENCE_S", 3.0)
    monkeypatch.setattr("ratelimit.inspection.hosts.moment.PATIENCE_S", 3.0)
    monkeypatch.setattr("ratelimit.inspection.acts.acting.PATIENCE_S", 5.0)


@pytest.fixture
def unattended(patient_commands: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process wait for no host: those of this test run no upkeep, and none answers."""
    for module in ("hosts.moment", "acts.acting"):
        monkeypatch.setattr(f"ratelimit.inspection.{module}.PATIENCE_S", 0.0)


@pytest.fixture
def server(binary: Binary, shared_servers: dict[str, Server], patient_commands: None) -> Server:
    """Return the run's server: empty, without scripts, with the settings it was started with."""
    from tests.support.redis.server import Server

    shared = shared_servers.get(binary.name)
    if shared is None:
        shared = shared_servers[binary.name] = Server(binary)
        shared.start()
    shared.reset()
    return shared


@pytest.fixture
def start_server(binary: Binary, patient_commands: None) -> Iterator[StartServer]:
    """Return a function that starts servers of the test's own: `start_server(options, certificate=…)`."""
    from tests.support.redis.server import Server

    servers: list[Server] = []

    def start(options: Options | None = None, *, certificate: Certificate | None = None) -> Server:
        started = Server(binary, options, certificate=certificate)
        servers.append(started)
        started.start()
        return started

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def shared_clusters() -> Iterator[dict[str, Cluster]]:
    """Keep the shared clusters by their binary's name until the run ends."""
    clusters: dict[str, Cluster] = {}
    yield clusters
    for cluster in clusters.values():
        cluster.stop()


@pytest.fixture
def cluster(binary: Binary, shared_clusters: dict[str, Cluster], patient_commands: None) -> Cluster:
    """Return the run's cluster: empty and well.

    Tests may kill and pause its nodes, move slots and fail over: the next one finds
    all nodes back, if in other roles. So ask it which node owns what.
    """
    from redis.exceptions import RedisError

    from tests.support.redis.cluster import Cluster

    shared = shared_clusters.get(binary.name)
    if shared is not None:
        try:
            shared.reset()
        except (RedisError, TimeoutError):
            # What one test broke for good is not the next one's fault.
            shared.stop()
            shared = None
    if shared is None:
        shared = shared_clusters[binary.name] = Cluster(binary)
        shared.start()
        shared.reset()
    return shared


@pytest.fixture
def sentinels(binary: Binary, patient_commands: None) -> Iterator[Sentinels]:
    """Return a master, its replica and three sentinels of the test's own."""
    from tests.support.redis.sentinel import Sentinels

    trio = Sentinels(binary)
    try:
        trio.start()
        yield trio
    finally:
        trio.stop()


@pytest.fixture
def start_proxy() -> Iterator[StartProxy]:
    """Return a function that puts a proxy before a port: `start_proxy(server.port)`."""
    from tests.support.redis.proxy import Proxy

    proxies: list[Proxy] = []

    def start(port: int, *, certificate: Certificate | None = None) -> Proxy:
        proxy = Proxy(port, certificate=certificate)
        proxies.append(proxy)
        return proxy

    yield start
    for proxy in proxies:
        proxy.stop()


@pytest.fixture
def proxy(server: Server, start_proxy: StartProxy) -> Proxy:
    """Return a proxy without faults before the run's server."""
    return start_proxy(server.port)


@pytest.fixture
async def open_limiter() -> AsyncIterator[LiveLimiter]:
    """Return a function that opens limiters over servers: `open_limiter(url, *limits, now_us=…)`."""
    from tests.support.redis.live import KEY, Live, rules

    opened: list[Live] = []

    def start(
        url: str,
        *limits: str,
        now_us: Callable[[], int] | None = None,
        key: bytes = KEY,
        top: str = "",
        **store: object,
    ) -> Live:
        limiter = Live(rules(url, *limits, top=top, **store), now_us=now_us, key=key)
        opened.append(limiter)
        return limiter

    yield start
    for limiter in opened:
        await limiter.aclose()
