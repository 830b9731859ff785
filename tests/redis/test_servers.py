"""The servers under test: started, hurt, restarted and gone at the end."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.redis.binary import Binary, binaries
from tests.support.redis.certificate import Certificate
from tests.support.redis.fixtures import StartServer
from tests.support.redis.patience import until
from tests.support.redis.port import is_free
from tests.support.redis.server import ONCE, Server

ROOT = Path(__file__).absolute().parents[2]


def test_valkey_is_always_there() -> None:
    assert binaries()[0].name == "valkey"
    assert binaries()[0].path.is_file()


def test_server_is_the_program_it_is_named_after(binary: Binary, server: Server) -> None:
    name = server.client.info("server").get("server_name", "redis")
    assert name == binary.name


async def test_asyncio_client(server: Server) -> None:
    async with AsyncRedis.from_url(server.url) as client:
        assert await client.set("key", "value")
        assert await client.get("key") == b"value"


async def test_socket_serves_the_same_keys(server: Server) -> None:
    server.client.set("key", "by port")
    async with AsyncRedis.from_url(server.socket_url) as client:
        assert await client.get("key") == b"by port"


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_shared_server_comes_back_as_new(server: Server, turn: int) -> None:
    client = server.client
    assert client.dbsize() == 0
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    script = "return 'left behind'"
    with pytest.raises(NoScriptError):
        client.evalsha(hashlib.sha1(script.encode()).hexdigest(), 0)
    digest = client.script_load(script)
    assert client.evalsha(digest, 0) == "left behind"
    client.set("key", turn)
    client.config_set("maxmemory-policy", "allkeys-lru")


def test_killed_server_refuses_and_comes_back_empty_on_its_port(start_server: StartServer) -> None:
    server = start_server()
    server.client.set("key", 1)
    port, pid = server.port, server.pid
    server.kill()
    assert not server.is_running
    assert not server.answers()
    with Redis(port=port, retry=ONCE) as client, pytest.raises(RedisConnectionError):
        client.ping()
    server.start()
    assert (server.port, server.client.dbsize()) == (port, 0)
    assert server.pid != pid


def test_what_was_asked_to_persist_outlives_a_kill(start_server: StartServer) -> None:
    server = start_server({"appendonly": "yes", "appendfsync": "always"})
    server.client.set("key", 1)
    server.restart()
    assert server.client.get("key") == "1"


def test_paused_server_hangs_then_does_what_it_was_sent(start_server: StartServer) -> None:
    server = start_server()
    server.client.set("key", 0)
    server.pause()
    with (
        pytest.raises(RedisTimeoutError),
        Redis(port=server.port, socket_timeout=0.05, retry=ONCE) as client,
    ):
        client.incr("key")
    server.resume()
    # The connection was accepted by the kernel, so the command may yet arrive: it is not undone.
    assert int(server.client.get("key") or 0) in (0, 1)


def test_password(start_server: StartServer) -> None:
    server = start_server({"requirepass": "secret"})
    assert server.client.ping()
    with (
        Redis(port=server.port, retry=ONCE) as client,
        pytest.raises(RedisConnectionError, match=r"(?i)auth"),
    ):
        client.ping()


async def test_tls_where_the_program_has_it(
    binary: Binary, start_server: StartServer, certificate: Certificate
) -> None:
    if not binary.has_tls:
        with pytest.raises(RuntimeError, match="TLS"):
            start_server(certificate=certificate)
        return
    server = start_server(certificate=certificate)
    async with AsyncRedis.from_url(server.tls_url, ssl_ca_certs=str(certificate.path)) as client:
        assert await client.ping()
    async with AsyncRedis.from_url(server.tls_url, retry=AsyncRetry(NoBackoff(), 0)) as stranger:
        with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
            await stranger.ping()


def test_impossible_option_is_told_with_the_log(start_server: StartServer) -> None:
    with pytest.raises(RuntimeError, match="no-such-option"):
        start_server({"no-such-option": "1"})


def test_stopped_server_leaves_nothing(binary: Binary) -> None:
    server = Server(binary)
    server.start()
    pid, folder = server.pid, server.folder
    server.stop()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_servers_end_with_a_test_run_that_is_killed(binary: Binary) -> None:
    script = (
        "import os, signal\n"
        "from tests.support.redis.binary import binaries\n"
        "from tests.support.redis.server import Server\n"
        f"binary = next(one for one in binaries() if one.name == {binary.name!r})\n"
        "gone, left = Server(binary), Server(binary)\n"
        "gone.start(); left.start(); gone.stop()\n"
        "print(left.port, left.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == -9, run.stderr
    port, folder = run.stdout.split()
    until(lambda: is_free(int(port)), "the server to end with its maker")
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        path.unlink()
    Path(folder).rmdir()


def test_loading_server_can_be_asked(start_server: StartServer) -> None:
    server = start_server()
    with server.client.pipeline(transaction=False) as pipe:
        for number in range(1_000):
            pipe.set(f"key{number}", "x" * 100)
        pipe.execute()
    server.client.save()
    server.kill()
    # The server looks at clients every few keys, and loads slowly until the test takes the delay away.
    server.options |= {"key-load-delay": 15_000, "loading-process-events-interval-bytes": 1_024}
    server.start(loaded=False)
    with pytest.raises(BusyLoadingError):
        server.client.get("key0")
    server.client.config_set("key-load-delay", 0)
    until(lambda: server.answers(loaded=True), "the data to be loaded")
    assert server.client.dbsize() == 1_000
