"""The shares of grpcio and of ours in a call: `python -m benchmarks.rls_floor [ROUNDS]`.

The floor is a server that is set up as `ratelimit serve` sets its own up, in a thread or an event loop.
Its handler reads nothing and answers every call with the same bytes, those that ours answers with.
Floor and ours take turns in one run, asked by h2load (Debian's nghttp2-client), which itself takes little.
So their difference is ours, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import grpc

from benchmarks.machine import describe
from benchmarks.rls import POLICY, call, processor_s
from ratelimit import Limiter, Policy
from ratelimit.serving.envoy import DirectService

SERVICE, METHOD = "envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit"
CALLS = 12_000
CONNECTIONS, STREAMS = 2, 16
KINDS = ("floor, event loop", "floor, thread", "ratelimit serve")


class _Waiting:
    """A call's context: the proxy waits."""

    def is_active(self) -> bool:
        return True


def answer() -> bytes:
    """Return the bytes that ours answers one call with."""
    limiter = Limiter(Policy.from_toml(POLICY.replace('[store]\nmemory = "{store}"\n', "").format()))
    try:
        return DirectService(limiter).ShouldRateLimit(call(1), _Waiting())
    finally:
        limiter.close()


def serve_floor(kind: str) -> None:
    """Serve until killed; print the port."""
    said = answer()
    pool = futures.ThreadPoolExecutor(1)

    async def in_a_loop() -> None:
        async def handle(_request: bytes, _context: object) -> bytes:
            return said

        server = grpc.aio.server()
        server.add_generic_rpc_handlers([_handlers(handle)])
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        await server.start()
        await server.wait_for_termination()

    if kind == "floor, event loop":
        asyncio.run(in_a_loop())
    server = grpc.server(pool, maximum_concurrent_rpcs=1_000)
    server.add_generic_rpc_handlers([_handlers(lambda _request, _context: said)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def _handlers(handle: object) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        SERVICE, {METHOD: grpc.unary_unary_rpc_method_handler(handle)}
    )


@contextmanager
def served(kind: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Run a server; yield its process' number and its port."""
    command = [sys.executable, "-m", "benchmarks.rls_floor", kind]
    if kind == "ratelimit serve":
        policy = folder / "policy.toml"
        policy.write_text(POLICY.format(store=folder / "store"))
        command = [sys.executable, "-m", "ratelimit.cli.main", "serve", str(policy), "--envoy", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield server.pid, int(line.rpartition(":")[2])
    finally:
        server.terminate()
        server.communicate()


def ask(port: int, body: Path, calls: int) -> tuple[float, int]:
    """Ask so often; return answers a second, and how many calls were answered."""
    command = ["h2load", f"-n{calls}", f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-d{body}"]
    fields = [part for name in ("content-type: application/grpc", "te: trailers") for part in ("-H", name)]
    url = f"http://127.0.0.1:{port}/{SERVICE}/{METHOD}"
    said = subprocess.run([*command, *fields, url], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"finished in .*, ([\d.]+) req/s", said)
    done = re.search(r"(\d+) succeeded", said)
    assert rate is not None, said
    assert done is not None, said
    return float(rate[1]), int(done[1])


def main(rounds: int) -> None:
    """Let the servers take turns, and print a line of each."""
    if shutil.which("h2load") is None:
        sys.exit("h2load is not here; on Debian: apt-get install nghttp2-client")
    print(*(f"{name}: {value}" for name, value in describe().items()), sep="\n")
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    used: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body, request = folder / "call", call(1)
        body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
        for _ in range(rounds):
            for kind in KINDS:
                with served(kind, folder) as (pid, port):
                    ask(port, body, 1_000)  # warm
                    before_s = processor_s(pid)
                    rate, done = ask(port, body, CALLS)
                    rates[kind].append(rate)
                    used[kind].append((processor_s(pid) - before_s) * 1e6 / done)
    floor = median(used["floor, thread"])
    print(f"{'':20}{'answers/s':>12}{'us/call':>10}")
    for kind in KINDS:
        own = f"  = floor + {median(used[kind]) - floor:.0f} us" if kind == "ratelimit serve" else ""
        print(f"{kind:20}{median(rates[kind]):>12,.0f}{median(used[kind]):>10.0f}{own}")


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in KINDS:
        serve_floor(sys.argv[1])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
