"""Clients made from policies, against real servers: they reach them, and send nothing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import AuthenticationError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ratelimit.errors import StoreError
from ratelimit.stores.redis.transport.connect import connect, resolve, sentinels
from tests.support.redis.binary import Binary
from tests.support.redis.certificate import Certificate
from tests.support.redis.cluster import Cluster
from tests.support.redis.fixtures import StartServer
from tests.support.redis.policies import spec_of
from tests.support.redis.sentinel import Sentinels
from tests.support.redis.server import Server

SECRET = "hunter2"


async def test_server_by_port_by_socket_and_by_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url.removesuffix("0") + "3")
    for url, database in ((server.url, 0), (f"unix://{server.socket}?db=2", 2), ("env:REDIS_URL", 3)):
        async with connect(spec_of(url)) as client:
            assert isinstance(client, Redis)
            assert await client.set("key", database)
            assert await client.get("key") == str(database).encode()
            info = await client.client_info()
            assert (info["name"], info["db"]) == ("ratelimit", database)


async def test_nothing_is_sent_twice(server: Server) -> None:
    spec = spec_of(server.url, timeout="300ms")
    server.client.set("key", 0)
    async with connect(spec) as client:
        assert await client.incr("key") == 1
        server.pause()
        with pytest.raises(RedisTimeoutError):
            await client.incr("key")
        server.resume()
    # What was sent is executed late; a retry would have sent it again.
    assert server.client.get("key") == "2"


async def test_nothing_is_sent_twice_to_a_cluster(cluster: Cluster) -> None:
    owner = cluster.owner("key")
    async with connect(spec_of(cluster.cluster_url, timeout="300ms")) as client:
        assert await client.incr("key") == 1
        owner.pause()
        with pytest.raises(RedisTimeoutError):
            await client.incr("key")
        owner.resume()
        assert owner.client.get("key") == "2"


async def test_cluster_is_known_by_any_node(cluster: Cluster) -> None:
    async with connect(spec_of(cluster.cluster_url)) as client:
        assert isinstance(client, RedisCluster)
        for number in range(30):
            assert await client.set(f"key{number}", number)
    owners = {cluster.owner(f"key{number}").port for number in range(30)}
    assert len(owners) == 3


async def test_one_dead_node_does_not_hide_a_cluster(cluster: Cluster) -> None:
    # No server listens on the first port.
    url = cluster.cluster_url.replace("://", "://127.0.0.1:1,")
    async with connect(spec_of(url)) as client:
        assert await client.set("key", 1)


async def test_master_that_sentinels_name_is_followed(sentinels: Sentinels) -> None:
    old, replica = sentinels.servers
    assert sentinels.master() is old
    async with connect(spec_of(sentinel_url(sentinels))) as client:
        await client.set("key", "kept")
        await asyncio.to_thread(replica.catch_up, old)
        heir = await asyncio.to_thread(sentinels.fail_over)
        # The connection that died with the old master is found dead, and replaced unused.
        assert await client.get("key") == b"kept"
        assert (await client.client_info())["laddr"] == f"{heir.host}:{heir.port}"
    assert old is not heir


async def test_master_made_a_replica_is_left(sentinels: Sentinels) -> None:
    old = sentinels.master()
    async with connect(spec_of(sentinel_url(sentinels))) as client:
        await client.set("key", 1)
        old.client.replicaof("127.0.0.1", 1)
        with pytest.raises((RedisConnectionError, ReadOnlyError)):
            await client.set("key", 2)
        assert client.connection_pool is not None


@pytest.mark.parametrize("asks_sentinels", [False, True])
async def test_sentinels_with_and_without_the_password(sentinels: Sentinels, asks_sentinels: bool) -> None:
    for server in sentinels.servers:
        server.client.config_set("requirepass", SECRET)
    if asks_sentinels:
        for one in sentinels.watchers:
            one.client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{SECRET}")
    spec = spec_of(sentinel_url(sentinels), password=SECRET)
    async with connect(spec) as client:
        assert await client.ping()
    with_none = spec_of(sentinel_url(sentinels))
    async with connect(with_none) as client:
        with pytest.raises(RedisConnectionError):
            await client.ping()


async def test_each_sentinel_has_a_client(sentinels: Sentinels) -> None:
    clients = sentinels_of(sentinels)
    assert len(clients) == 3
    for client in clients:
        assert await client.ping()
        await client.aclose()


def sentinels_of(running: Sentinels) -> list[Redis]:
    return sentinels(spec_of(sentinel_url(running)))


async def test_rotated_password_is_taken_up_by_the_next_connection(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "password"
    spec = spec_of(server.url.replace("://", "://me@"), password=f"file:{path}")
    try:
        for password in ("first", "second"):
            server.client.acl_setuser("me", enabled=True, reset=True, commands=["+@all"], keys=["*"])
            server.client.execute_command("ACL", "SETUSER", "me", f">{password}")
            path.write_text(f"{password}\n")
            if password == "first":
                client = connect(spec)
            else:
                await client.connection_pool.disconnect()
            assert await client.acl_whoami() == "me"
        path.write_text("")
        await client.connection_pool.disconnect()
        with pytest.raises(AuthenticationError, match="password is empty"):
            await client.ping()
        await client.aclose()
    finally:
        server.client.acl_deluser("me")


async def test_password_in_a_variable_and_in_the_url(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server({"requirepass": SECRET})
    monkeypatch.setenv("REDIS_PASSWORD", SECRET)
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRET}@127.0.0.1:{server.port}")
    for spec in (spec_of(server.url, password="env:REDIS_PASSWORD"), spec_of("env:REDIS_URL")):
        async with connect(spec) as client:
            assert await client.ping()
    async with connect(spec_of(server.url)) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.ping()


async def test_tls(
    binary: Binary, start_server: StartServer, certificate: Certificate, tmp_path: Path
) -> None:
    if not binary.has_tls:
        pytest.skip("this server was built without TLS")
    server = start_server(certificate=certificate)
    ca = str(certificate.path)
    async with connect(spec_of(server.tls_url, ca=ca)) as client:
        assert await client.ping()
    async with connect(spec_of(server.tls_url)) as stranger:
        with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
            await stranger.ping()
    for url, wrong in (("rediss://h", str(tmp_path / "absent")), ("rediss://h", __file__)):
        with pytest.raises(StoreError, match="TLS cannot use") as caught:
            connect(spec_of(url, ca=wrong))
        assert caught.value.code == "redis-certificate"


async def test_unreachable_server_is_told_in_time(server: Server) -> None:
    async with connect(spec_of("redis://127.0.0.1:1")) as client:
        with pytest.raises(RedisConnectionError):
            await asyncio.wait_for(client.ping(), 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not set"),
        (" ", "is not set"),
        ("localhost:6379", "is not a URL"),
        (f"valkey://me:{SECRET}@h", "Valkey is spoken to as Redis"),
        (f"redis://me:{SECRET}@h/x", "database"),
        (f"redis://me:{SECRET}", "not a port"),
    ],
)
def test_url_of_a_variable_is_told_without_its_secret(
    text: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    if text is not None:
        monkeypatch.setenv("REDIS_URL", text)
    with pytest.raises(StoreError, match=message) as caught:
        connect(spec_of("env:REDIS_URL"))
    assert caught.value.code == "redis-url"
    assert "REDIS_URL" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("store", "url", "message"),
    [
        ({"ca": "x"}, "redis://h", "settings for TLS"),
        ({"ca": "x"}, "unix:///s", "settings for TLS"),
        ({"password": "x"}, f"redis://:{SECRET}@h", "password, too"),
        ({}, "redis://b@h", "cannot log in"),
    ],
)
def test_url_of_a_variable_may_not_contradict_the_policy(
    store: dict[str, object], url: str, message: str
) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        resolve(spec_of("env:REDIS_URL", **store), {"REDIS_URL": url})
    assert caught.value.code == "redis-url"
    assert SECRET not in str(caught.value)


def test_url_of_a_variable_means_what_it_would_mean_in_the_file() -> None:
    for url in ("redis://h:1/2", "rediss+sentinel://a,b/m/3", "unix:///s?db=4", "redis+cluster://a,b"):
        assert resolve(spec_of("env:U"), {"U": f" {url}\n"}) == spec_of(url)


@pytest.mark.parametrize("password", ["env:NO_SUCH_VARIABLE", "file:/no/such/file"])
def test_missing_password_is_told_before_any_connection(password: str) -> None:
    with pytest.raises(StoreError, match=r"NO_SUCH_VARIABLE|no/such/file") as caught:
        connect(spec_of("redis://h", password=password))
    assert caught.value.code == "redis-password"


def sentinel_url(running: Sentinels) -> str:
    hosts = ",".join(f"{host}:{port}" for host, port in running.addresses)
    return f"redis+sentinel://{hosts}/{running.name}/0"
