"""`ratelimit serve` as a process: two on one port admit exactly the limit, and end when told to."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from tests.asgi.driver import limit, rules
from tests.serving.test_envoy import OK, OVER, call
from tests.wsgi.test_servers import free_port

QUOTA = 50


def start(policy: Path, *options: str) -> subprocess.Popen[str]:
    """Start a process and return once it serves."""
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for _ in options[::2]:
        line = process.stderr.readline()
        assert " is at " in line, line
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read().endswith("INFO ended\n")
    assert process.wait(20) == 0


@pytest.mark.timeout(120)
async def test_two_processes_admit_exactly_the_limit_by_both_doors(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(rate=f"{QUOTA}/day", algorithm="fixed-window")))
    envoy, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    processes = [start(policy, "--envoy", envoy, "--http", http) for _ in range(2)]

    async def over_grpc() -> int:
        # A channel of its own each: the kernel deals connections out to the processes.
        async with grpc.aio.insecure_channel(envoy, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = rls_pb2_grpc.RateLimitServiceStub(channel)
            request: rls_pb2.RateLimitRequest = call(("x-api-key", "a"))
            return (await stub.ShouldRateLimit(request)).overall_code

    async def over_http() -> int:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{http}/", headers={"x-api-key": "a"})
            return {204: OK, 429: OVER}[answer.status_code]

    codes = Counter(
        await asyncio.gather(*(over_grpc() for _ in range(60)), *(over_http() for _ in range(60)))
    )
    assert codes == {OK: QUOTA, OVER: 120 - QUOTA}
    for process in processes:
        end(process)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to serve"),
        (["--envoy", "8081"], "is no HOST:PORT"),
        (["--http", "192.0.2.1:1"], "error:"),
    ],
)
def test_wrong_address_ends_it_with_a_sentence(tmp_path: Path, options: list[str], says: str) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit()))
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {2, 4}
    assert says in done.stderr
    assert "Traceback" not in done.stderr
