"""The examples of Flask, Django and gRPC under load: two workers together admit the limit exactly."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from tests.servers.serving import UVICORN_WAITS
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

EXAMPLES = Path(__file__).absolute().parents[2] / "examples"
QUOTA, CALLS = 60, 400
GUNICORN = "gunicorn -w 2 --threads 4 --log-level error -b 127.0.0.1:PORT"
UVICORN = f"uvicorn {' '.join(UVICORN_WAITS)}"
SERVERS = {
    "with_flask:app": GUNICORN,
    "with_django:application": GUNICORN,
    "with_django:asgi_application": f"{UVICORN} --workers 2 --log-level error --port PORT",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the examples: workers share memory, and the limit does not refill meanwhile."""
    for path in EXAMPLES.glob("*.*"):
        text = re.sub(r"#[^\n]*\n\[store\]\nmemory = .*\n", "", path.read_text())
        text = re.sub(
            r'^rate( *)= "5/minute"', f'algorithm = "fixed-window"\nrate = "{QUOTA}/year"', text, flags=re.M
        )
        (tmp_path / path.name).write_text(text)
    return tmp_path


@contextmanager
def running(*commands: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    servers = [subprocess.Popen([sys.executable, *command], cwd=folder) for command in commands]
    try:
        yield servers[0]
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(60)


@pytest.mark.parametrize("application", SERVERS)
def test_two_workers_of_a_web_framework(application: str, folder: Path) -> None:
    port = free_port()
    command = ["-m", *SERVERS[application].replace("PORT", str(port)).split(), application]
    with running(command, folder=folder) as server:
        wait_until_connected(port, server)

        def ask(_: int) -> int:
            # A connection each: the kernel deals them out to the workers.
            url = f"http://127.0.0.1:{port}/v1/chat"
            return httpx.post(url, headers={"x-api-key": "a"}, timeout=60).status_code

        with ThreadPoolExecutor(16) as pool:
            answers = Counter(pool.map(ask, range(CALLS)))
    assert answers == {200: QUOTA, 429: CALLS - QUOTA}


async def test_two_processes_of_a_grpc_server(folder: Path) -> None:
    address = f"127.0.0.1:{free_port()}"

    async def ask(_: int) -> grpc.StatusCode:
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, own) as channel:
            place = channel.unary_unary("/shop.Orders/Place")
            call = place(b"tea", metadata=(("x-api-key", "a"),), wait_for_ready=True, timeout=60)
            code: grpc.StatusCode = await call.code()
            return code

    with running(*[["with_grpc.py", address]] * 2, folder=folder):
        codes = Counter(await asyncio.gather(*map(ask, range(CALLS // 2))))
    assert codes == {
        grpc.StatusCode.OK: QUOTA,
        grpc.StatusCode.RESOURCE_EXHAUSTED: CALLS // 2 - QUOTA,
    }


def test_copies_are_of_shared_memory_and_the_larger_limit(folder: Path) -> None:
    assert "private" not in (folder / "policy.toml").read_text()
    assert f"{QUOTA}/year" in (folder / "grpc.toml").read_text()
