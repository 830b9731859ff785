"""The time of a call of Envoy's rate-limit service: `python -m benchmarks.rls [RATE…]`.

One `ratelimit serve` and one client share this machine, so the client's own time is in every number.
The client sends at a fixed rate whatever is answered (open loop): a call's time begins when it was due,
not when it was sent. Also told: what the server's process used of a processor for a call.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
from envoy.service.ratelimit.v3 import rls_pb2

from benchmarks.machine import describe

RATES = (500, 1_000, 2_000, 4_000, 10_000)
SECONDS = 4
ACCOUNTS = 1_000
POLICY = """\
version = 1
[store]
memory = "{store}"
[identities]
account = {{ from = "header:x-api-key" }}
ip = {{ from = "client" }}
[[limit]]
name = "per account"
per = "account"
rate = "100000/minute"
[[limit]]
name = "per ip"
per = "ip"
rate = "1000000/minute"
"""


def call(number: int) -> bytes:
    """Return a call's bytes, of one account and address of many."""
    request = rls_pb2.RateLimitRequest(domain="edge")
    descriptor = request.descriptors.add()
    descriptor.entries.add(key="remote_address", value=f"192.0.2.{number % 200}")
    descriptor.entries.add(key="x-api-key", value=f"key {number % ACCOUNTS}")
    bytes_of: bytes = request.SerializeToString()
    return bytes_of


def processor_s(pid: int) -> float:
    """Return what a process has used of a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(port: int, rate: int, calls: list[bytes]) -> tuple[list[float], int]:
    """Send at a rate for some seconds; return what each call took in ms, in order, and how many failed."""
    took: list[float] = []
    failed = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit")
        await ask(calls[0])

        async def one(due: float, request: bytes) -> None:
            nonlocal failed
            try:
                await ask(request)
            except grpc.aio.AioRpcError:
                failed += 1
            took.append((time.perf_counter() - due) * 1e3)

        begin, sent, tasks = time.perf_counter(), 0, set()
        while (now := time.perf_counter()) - begin < SECONDS:
            due = int((now - begin) * rate)
            for number in range(sent, due):
                task = asyncio.ensure_future(one(begin + number / rate, calls[number % len(calls)]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            sent = due
            await asyncio.sleep(0.0002)
        if tasks:
            await asyncio.wait(tasks, timeout=30)
    return sorted(took), failed


def main(rates: list[int]) -> None:
    """Measure each rate and print a line of it."""
    calls = [call(number) for number in range(2 * ACCOUNTS)]
    print(*(f"{name}: {value}" for name, value in describe().items()), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.toml"
        policy.write_text(POLICY.format(store=Path(folder) / "store"))
        command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), "--envoy", "127.0.0.1:0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            port = int(server.stderr.readline().rpartition(":")[2])
            asyncio.run(measure(port, 200, calls))  # warm
            print("  asked/s   done/s   p50 ms   p99 ms  failed  server us/call")
            for rate in rates:
                used_s = processor_s(server.pid)
                took, failed = asyncio.run(measure(port, rate, calls))
                used_us = (processor_s(server.pid) - used_s) * 1e6 / len(took)
                p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
                done = len(took) / max(SECONDS, SECONDS + (took[-1] / 1e3) - 0.001)
                print(f"{rate:>8} {done:>8.0f} {p50:>8.2f} {p99:>8.2f} {failed:>7} {used_us:>15.0f}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main([int(rate) for rate in sys.argv[1:]] or list(RATES))
