"""The slowest calls at a rate, grpcio's alone and ours: `python -m benchmarks.rls_rates [RATE…]`.

The servers of `rls_floor` take turns at each rate. h2load asks them over two connections: it sends when a
call is due, whatever is unanswered. It takes little itself, so no handler betters the row of a floor.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.rls import call, processor_s
from benchmarks.rls_floor import CONNECTIONS, KINDS, METHOD, SERVICE, ask, served

RATES = (500, 1_000, 2_000, 4_000, 10_000)
SECONDS = 4
MOST_UNANSWERED = 500
"""Of a connection: less than the server turns away at."""


def latencies_us(port: int, body: Path, rate: int, log: Path) -> list[int]:
    """Ask at a rate for some seconds; return what each call took that was answered, in order."""
    log.unlink(missing_ok=True)
    command = ["h2load", f"-c{CONNECTIONS}", f"-D{SECONDS}", f"-m{MOST_UNANSWERED}", f"-d{body}"]
    command += [f"--rps={rate // CONNECTIONS}", f"--log-file={log}"]
    fields = [part for name in ("content-type: application/grpc", "te: trailers") for part in ("-H", name)]
    url = f"http://127.0.0.1:{port}/{SERVICE}/{METHOD}"
    subprocess.run([*command, *fields, url], capture_output=True, text=True, check=True)
    lines = [line.split() for line in log.read_text().splitlines()]
    return sorted(int(took) for _, status, took in lines if status == "200")


def main(rates: list[int]) -> None:
    """Let the servers take turns at each rate, and print a line of each."""
    print(*(f"{name}: {value}" for name, value in describe().items()), sep="\n")
    print(f"{'':20}{'asked/s':>10}{'done/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'us/call':>10}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body, request = folder / "call", call(1)
        body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
        for rate in rates:
            for kind in KINDS:
                with served(kind, folder) as (pid, port):
                    ask(port, body, 1_000)  # warm
                    before_s = processor_s(pid)
                    took = latencies_us(port, body, rate, folder / "log")
                    used_us = (processor_s(pid) - before_s) * 1e6 / len(took)
                p50, p99 = took[len(took) // 2] / 1e3, took[len(took) * 99 // 100] / 1e3
                done = len(took) / SECONDS
                print(f"{kind:20}{rate:>10}{done:>10.0f}{p50:>10.2f}{p99:>10.2f}{used_us:>10.0f}", flush=True)


if __name__ == "__main__":
    main([int(rate) for rate in sys.argv[1:]] or list(RATES))
