"""The doctor's findings about real servers, well and unwell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from ratelimit.stores.redis.doctor import checkup, trial
from tests.cli.running import run
from tests.redis.examining import Examination
from tests.support.redis.binary import Binary
from tests.support.redis.certificate import Certificate
from tests.support.redis.cluster import Cluster
from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.live import LiveLimiter
from tests.support.redis.patience import until
from tests.support.redis.sentinel import Sentinels
from tests.support.redis.server import Server

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def few_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ROUND_TRIPS", 20)


def test_server_that_is_well(binary: Binary, server: Server, tmp_path: Path) -> None:
    before = server.client.config_get("*")
    found = Examination(tmp_path, server.url)
    assert found.code == 0
    assert found.statuses("ok") == {each["check"] for each in found.checks} - {"round trip"}
    assert found["version"]["facts"]["software"] == binary.name
    assert found["script"]["says"].startswith("EVALSHA with cmsgpack and struct")
    assert found["round trip"]["facts"]["round_trips"] == 20
    assert found["round trip"]["facts"]["median_us"] > 0
    assert "on this host" in found["reachable"]["says"]
    # Nothing was changed or left behind.
    assert server.client.dbsize() == 0
    assert server.client.config_get("*") == before


def test_socket_file(server: Server, tmp_path: Path) -> None:
    found = Examination(tmp_path, server.socket_url)
    assert found.code == 0
    assert "socket file" in found["reachable"]["says"]


def test_evicting_policy(server: Server, tmp_path: Path) -> None:
    server.client.config_set("maxmemory", "100mb")
    assert Examination(tmp_path, server.url)["memory"]["status"] == "ok"
    for policy in ("allkeys-lru", "volatile-ttl"):
        server.client.config_set("maxmemory-policy", policy)
        found = Examination(tmp_path, server.url)
        assert found.code == 0
        assert found["memory"]["status"] == "warn"
        assert "noeviction" in found["memory"]["advice"]
        assert found["memory"]["facts"]["policy"] == policy


def test_memory_that_is_used_up(server: Server, tmp_path: Path) -> None:
    server.client.config_set("maxmemory", "1")
    found = Examination(tmp_path, server.url)
    assert found.code == 1
    assert found["memory"]["status"] == "warn"
    (failed,) = [each for each in found.checks if each["status"] == "fail"]
    assert "memory is used up" in failed["says"]
    assert "maxmemory" in failed["advice"]


def test_what_a_restart_loses(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    assert Examination(tmp_path, server.url)["persistence"]["status"] == "ok"
    long = Examination(tmp_path, server.url, rate="1000/day")["persistence"]
    assert long["status"] == "warn"
    assert long["says"].startswith("none:")
    assert "appendonly yes" in long["advice"]
    server.client.config_set("save", "3600 1")
    assert "snapshots" in Examination(tmp_path, server.url, rate="1000/day")["persistence"]["says"]
    server.client.config_set("appendonly", "yes")
    assert Examination(tmp_path, server.url, rate="1000/day")["persistence"]["status"] == "ok"


def test_replica(start_server: StartServer, tmp_path: Path) -> None:
    master = start_server()
    replica = start_server({"replicaof": f"{master.host} {master.port}"})
    until(lambda: replica.client.info("replication")["master_link_status"] == "up", "the replica to follow")
    found = Examination(tmp_path, replica.url)
    assert found.code == 1
    assert found["role"]["status"] == "fail"
    assert f"{master.host}:{master.port}" in found["role"]["says"]
    assert "Sentinel" in found["role"]["advice"]
    assert "1 replica" in Examination(tmp_path, master.url)["replication"]["says"]
    master.client.config_set("min-replicas-to-write", 2)
    short = Examination(tmp_path, master.url)
    assert short["replication"]["status"] == "fail"
    assert "min-replicas-to-write" in short["replication"]["says"]
    assert "min-replicas-to-write" in short["commands"]["says"]


def test_password(start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start_server({"requirepass": SECRET})
    monkeypatch.setenv("RIGHT", SECRET)
    monkeypatch.setenv("WRONG", "x" + SECRET)
    assert Examination(tmp_path, server.url, 'password = "env:RIGHT"').code == 0
    none = Examination(tmp_path, server.url)
    assert (none.code, none["reachable"]["status"]) == (1, "fail")
    assert "requires a password" in none["reachable"]["says"]
    assert 'password = "env:' in none["reachable"]["advice"]
    wrong = Examination(tmp_path, server.url, 'password = "env:WRONG"')
    assert "refuses this user name or password" in wrong["reachable"]["says"]
    missing = Examination(tmp_path, server.url, 'password = "env:NO_SUCH_VARIABLE"')
    assert missing.code == 1
    assert "$NO_SUCH_VARIABLE is not set" in missing["url"]["says"]
    assert SECRET not in str([none.checks, wrong.checks, missing.checks])


def test_password_that_nobody_asked_for(server: Server, tmp_path: Path) -> None:
    found = Examination(tmp_path, server.url, f'password = "{SECRET}"')
    assert "the server has none" in found["reachable"]["says"]
    assert SECRET not in str(found.checks)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://127.0.0.1:1", "nobody listens there"),
        ("unix:///no/such/socket", "the socket file is not there"),
        ("redis://no-such-host.invalid", "the host's name is not known"),
        ("redis+cluster://127.0.0.1:1", "nobody listens there"),
        ("redis+sentinel://127.0.0.1:1/primary", "nobody listens there"),
    ],
)
def test_server_that_is_not_there(url: str, says: str, tmp_path: Path) -> None:
    found = Examination(tmp_path, url)
    assert found.code == 1
    assert any(says in each["says"] for each in found.checks)


def test_server_that_hangs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "PATIENCE_S", 0.1)
    server.pause()
    try:
        found = Examination(tmp_path, server.url)
    finally:
        server.resume()
    assert found.code == 1
    assert "no answer in time" in found["reachable"]["says"]


def test_server_that_takes_its_time(server: Server, start_proxy: StartProxy, tmp_path: Path) -> None:
    proxy = start_proxy(server.port)
    proxy.replies.delay(0.012)
    near = Examination(tmp_path, proxy.url, 'timeout = "25ms"')
    assert near["round trip"]["status"] == "warn"
    assert near["round trip"]["facts"]["median_us"] > 12_000
    far = Examination(tmp_path, proxy.url, 'timeout = "5ms"')
    assert far.code == 1
    assert far["round trip"]["status"] == "fail"
    assert "timeout" in far["round trip"]["advice"]


def test_server_that_goes_in_the_middle(
    server: Server, start_proxy: StartProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start_proxy(server.port)

    async def cut_off(*_: object) -> None:
        proxy.refuse()
        proxy.cut()

    monkeypatch.setattr(checkup, "_info", cut_off)
    found = Examination(tmp_path, proxy.url)
    assert found.code == 1
    assert any("in the middle of it" in each["says"] for each in found.checks)


def test_tls(binary: Binary, start_server: StartServer, certificate: Certificate, tmp_path: Path) -> None:
    if not binary.has_tls:
        pytest.skip("this server was built without TLS")
    server = start_server(certificate=certificate)
    ca = f'ca = "{certificate.path}"'
    assert "over TLS" in Examination(tmp_path, server.tls_url, ca)["reachable"]["says"]
    lax = f'ca = "{certificate.path}"\ncheck_hostname = false'
    assert Examination(tmp_path, server.tls_url, lax)["reachable"]["status"] == "warn"
    stranger = Examination(tmp_path, server.tls_url)
    assert "not believed" in stranger["reachable"]["says"]
    assert "ca = " in stranger["reachable"]["advice"]
    plain_port = server.tls_url.replace(str(server.tls_port), str(server.port))
    assert "does not speak TLS" in Examination(tmp_path, plain_port, ca)["reachable"]["advice"]
    tls_port = server.url.replace(str(server.port), str(server.tls_port))
    assert "rediss" in Examination(tmp_path, tls_port)["reachable"]["advice"]


def test_certificate_for_another_host(
    server: Server, start_proxy: StartProxy, certificate: Certificate, tmp_path: Path
) -> None:
    proxy = start_proxy(server.port, certificate=certificate)
    ca = f'ca = "{certificate.path}"'
    assert Examination(tmp_path, proxy.url, ca)["reachable"]["status"] == "ok"
    # Another name of the same host, which the certificate does not have.
    found = Examination(tmp_path, proxy.url.replace("localhost", "127.1"), ca)["reachable"]
    assert found["status"] == "fail"
    assert "for another host" in found["says"]
    assert "check_hostname" in found["advice"]


def test_cluster(cluster: Cluster, tmp_path: Path) -> None:
    found = Examination(tmp_path, cluster.cluster_url)
    assert found.code == 0
    assert found["cluster"]["facts"] == {"state": "ok", "masters": 3, "slots": 16_384, "alone": 0}
    for check in ("script", "commands", "version", "memory", "clock"):
        masters = [each["where"] for each in found.checks if each["check"] == check]
        assert sorted(masters) == sorted(f"{node.host}:{node.port}" for node in cluster.masters())
    assert all(node.client.dbsize() == 0 for node in cluster.masters())


HASH_KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
"""Of `Examination`'s policy."""


async def with_workers(
    url: str, open_limiter: LiveLimiter, folder: Path, keys: Sequence[bytes]
) -> Examination:
    """Return what is said while workers with such hash keys run."""
    for key in keys:
        limiter = open_limiter(url, 'per = "account"\nrate = "100/day"', key=key)
        await limiter.look()
        await limiter.connected()
    return await asyncio.to_thread(Examination, folder, url)


@pytest.mark.parametrize(
    ("keys", "status", "others"),
    [([], "ok", 0), ([HASH_KEY] * 2, "ok", 0), ([HASH_KEY, bytes(16)], "fail", 1)],
)
async def test_workers_with_another_hash_key(
    server: Server, open_limiter: LiveLimiter, tmp_path: Path, keys: list[bytes], status: str, others: int
) -> None:
    found = await with_workers(server.url, open_limiter, tmp_path, keys)
    assert found["workers"]["status"] == status
    assert found["workers"]["facts"] == {"workers": len(keys), "hosts": len(keys), "other_keys": others}
    assert found.code == (status == "fail")


async def test_workers_of_a_cluster_with_another_hash_key(
    cluster: Cluster, open_limiter: LiveLimiter, tmp_path: Path
) -> None:
    found = await with_workers(cluster.cluster_url, open_limiter, tmp_path, [HASH_KEY, bytes(16)])
    assert found["workers"]["facts"] == {"workers": 2, "hosts": 2, "other_keys": 1}
    assert found.code == 1


def test_people_are_told_in_a_line_for_each_check(cluster: Cluster, tmp_path: Path) -> None:
    found = Examination(tmp_path, cluster.cluster_url)
    result = run("doctor", tmp_path / "policy.toml")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "server" in lines
    for check in {each["check"] for each in found.checks}:
        assert any(line[2:].startswith(check) for line in lines), check
    # Masters of which the same is to be said share a line.
    (commands,) = [line for line in lines if "commands" in line]
    assert commands.startswith("✔ commands      3 masters: ")
    assert "is ready to run" in result.stderr


def test_topology_other_than_the_url_says(cluster: Cluster, server: Server, tmp_path: Path) -> None:
    one = Examination(tmp_path, cluster.url)
    assert one.code == 1
    assert "redis+cluster://" in one["cluster"]["advice"]
    lone = Examination(tmp_path, server.url.removesuffix("/0").replace("redis://", "redis+cluster://"))
    assert lone.code == 1
    assert "`redis://`" in lone["cluster"]["advice"]


def test_cluster_whose_user_may_not_learn_its_commands(cluster: Cluster, tmp_path: Path) -> None:
    for node in cluster.nodes:
        node.client.execute_command("ACL", "SETUSER", "me", "on", f">{SECRET}", "~*", "+@all", "-command")
        node.client.execute_command("ACL", "SETUSER", "me", "-cluster|info")
    try:
        found = Examination(
            tmp_path, cluster.cluster_url.replace("://", "://me@", 1), f'password = "{SECRET}"'
        )
    finally:
        for node in cluster.nodes:
            node.client.acl_deluser("me")
    assert found.code == 1
    assert found["routing"]["status"] == "fail"
    assert "command" in found["routing"]["says"]
    # Not being told the state is no fault: all slots are served.
    assert found["cluster"]["status"] == "ok"


def test_cluster_with_a_master_and_its_replica_gone(cluster: Cluster, tmp_path: Path) -> None:
    lost, kept = cluster.masters()[0], cluster.masters()[1]
    cluster.replica(lost).kill()
    lost.kill()
    with cluster.impatient():
        until(lambda: b"cluster_state:fail" in raw(kept), "the cluster to notice")
    url = cluster.cluster_url.replace(f":{lost.port}", f":{kept.port}")
    found = Examination(tmp_path, url)
    assert found.code == 1
    assert found["cluster"]["status"] == "fail"
    assert found["cluster"]["facts"]["state"] == "fail"


def raw(node: Server) -> bytes:
    return str(node.client.execute_command("CLUSTER", "INFO")).encode()


def test_sentinels(sentinels: Sentinels, tmp_path: Path) -> None:
    well = Examination(tmp_path, sentinel_url(sentinels))
    assert well.code == 0
    master = sentinels.master()
    facts = well["sentinels"]["facts"]
    assert facts == {"master": f"127.0.0.1:{master.port}", "quorum": 2, "sentinels": 3, "asked": 3}
    assert well["replication"]["status"] == "warn"
    unknown = Examination(tmp_path, sentinel_url(sentinels).replace("/primary/", "/secondary/"))
    assert unknown.code == 1
    assert "names a master `secondary`" in unknown["sentinels"]["says"]
    for one in sentinels.watchers[:2]:
        one.kill()
    left = Examination(tmp_path, sentinel_url(sentinels))
    assert left.code == 0
    assert len([each for each in left.checks if each["check"] == "sentinel"]) == 2
    with sentinels.impatient():
        until(
            lambda: Examination(tmp_path, sentinel_url(sentinels))["sentinels"]["status"] == "warn",
            "the last one to notice that it is alone",
        )


def sentinel_url(running: Sentinels) -> str:
    hosts = ",".join(f"{host}:{port}" for host, port in running.addresses)
    return f"redis+sentinel://{hosts}/{running.name}/0"
