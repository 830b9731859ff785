"""`ratelimit serve` as a process: two on one port admit exactly the limit, and end when told to."""

from __future__ import annotations

import asyncio
import os
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
from tests.support.redis.port import free_port

QUOTA = 50


def asked(method: str, target: str) -> dict[str, str]:
    """Return the fields in which Caddy names the request that it asks about."""
    return {"x-forwarded-method": method, "x-forwarded-uri": target}


def start(policy: Path, *options: str) -> subprocess.Popen[str]:
    """Start a process and return once it serves."""
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for _ in {"--envoy", "--http"}.intersection(options):
        while " WARNING " in (line := process.stderr.readline()):
            pass
        assert " is at " in line, line
    return process


def end(process: subprocess.Popen[str]) -> str:
    """End a process; return what it said since it served."""
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    assert said.endswith("INFO ended\n")
    assert process.wait(60) == 0
    return said


async def test_two_processes_admit_exactly_the_limit_by_both_doors(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(rate=f"{QUOTA}/year", algorithm="fixed-window")))
    envoy, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    processes = [start(policy, "--envoy", envoy, "--http", http, "--for", "caddy") for _ in range(2)]

    async def over_grpc() -> int:
        # A channel of its own each: the kernel deals connections out to the processes.
        async with grpc.aio.insecure_channel(envoy, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = rls_pb2_grpc.RateLimitServiceStub(channel)
            request: rls_pb2.RateLimitRequest = call(("x-api-key", "a"))
            return (await stub.ShouldRateLimit(request)).overall_code

    async def over_http() -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(f"http://{http}/", headers={"x-api-key": "a", **asked("GET", "/")})
            return {204: OK, 429: OVER}[answer.status_code]

    codes = Counter(
        await asyncio.gather(*(over_grpc() for _ in range(60)), *(over_http() for _ in range(60)))
    )
    assert codes == {OK: QUOTA, OVER: 120 - QUOTA}
    for process in processes:
        end(process)


async def test_what_waits_is_refused_when_it_is_told_to_end(tmp_path: Path) -> None:
    """Hazard: each call that waits is answered with 500, after all the time that the process is given."""
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(rate="1/minute", wait="10m")))
    http = f"127.0.0.1:{free_port()}"
    process = start(policy, "--http", http, "--for", "caddy")
    async with httpx.AsyncClient(base_url=f"http://{http}", timeout=60) as client:

        async def ask(account: str) -> int:
            return (
                await client.get("/", headers={"x-api-key": account, **asked("GET", "/v1/x")})
            ).status_code

        assert await ask("a") == 204
        waiting = [asyncio.create_task(ask("a")) for _ in range(2)]
        for other in "bcde":  # by then they are there
            assert await ask(other) == 204
        await asyncio.to_thread(end, process)
        assert [await each for each in waiting] == [503, 503]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in task.read_text().split()]


async def test_workers_of_one_command_share_port_and_limits(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(rate=f"{QUOTA}/year", algorithm="fixed-window")))
    address = f"127.0.0.1:{free_port()}"
    options = ["--envoy", address, "--http", f"127.0.0.1:{free_port()}", "--for", "caddy", "--workers", "2"]
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for _ in range(4):
        assert " is at " in process.stderr.readline()
    asked: Counter[int] = Counter()
    for _ in range(QUOTA + 20):
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            request: rls_pb2.RateLimitRequest = call(("x-api-key", "a"))
            answer = await rls_pb2_grpc.RateLimitServiceStub(channel).ShouldRateLimit(request)
            asked[answer.overall_code] += 1
    assert asked == {OK: QUOTA, OVER: 20}
    assert len(workers_of(process)) == 2
    process.send_signal(signal.SIGTERM)
    with process.stderr:
        assert process.stderr.read().count("INFO ended") == 2
    assert process.wait(60) == 0


def test_worker_that_is_killed_ends_all(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit()))
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), "--workers", "2"]
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [*command, "--http", address, "--for", "caddy"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for _ in range(2):
        assert " is at " in process.stderr.readline()
    workers = workers_of(process)
    os.kill(workers[0], signal.SIGKILL)
    with process.stderr:
        said = process.stderr.read()
    assert process.wait(60) == 128 + signal.SIGKILL
    assert "a worker ended with exit code 137" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to serve"),
        (["--envoy", "127.0.0.1:0", "--workers", "2"], "several workers need a port"),
        (["--envoy", "8081"], "is no HOST:PORT"),
        (["--http", "192.0.2.1:1", "--for", "nginx"], "error:"),
        (["--http", "127.0.0.1:0"], "--for nginx|caddy|traefik|envoy"),
        (["--envoy", "127.0.0.1:0", "--for", "envoy"], "--for without --http"),
        (["--http", "127.0.0.1:0", "--for", "apache"], "'apache' is not one of"),
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


@pytest.mark.parametrize("listed", [["challenge"], ["refuse", "observe", "challenge"]], ids=" ".join)
def test_says_that_a_challenge_cannot_be_asked_here(tmp_path: Path, listed: list[str]) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(name="step-up", adaptive=True, on_refusal=listed)))
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), "--for", "nginx", "--http"]
    process = subprocess.Popen([*command, f"127.0.0.1:{free_port()}"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "step-up: a proxy's call cannot do a step-up" in process.stderr.readline()
    assert " is at " in process.stderr.readline()
    end(process)
