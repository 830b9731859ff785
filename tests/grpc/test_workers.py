"""Two workers on one port: together they admit exactly the limit."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grpc

from tests.asgi.driver import limit, rules
from tests.support.redis.port import free_port

QUOTA, CALLS = 40, 120


async def test_two_workers_admit_exactly_the_limit(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(rate=f"{QUOTA}/year", algorithm="fixed-window")))
    port = free_port()
    command = [sys.executable, "-m", "tests.grpc.worker", str(policy), str(port)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None
        with worker.stdout as said:
            assert said.readline() == "ready\n"
    pids: set[bytes] = set()

    async def ask(account: str = "a") -> grpc.StatusCode:
        # A connection of its own each: the kernel deals them out to the workers.
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", own) as channel:
            call = channel.unary_unary("/test.Worker/Pid")(b"", metadata=(("x-api-key", account),))
            code: grpc.StatusCode = await call.code()
            if code is grpc.StatusCode.OK:
                pids.add(await call)
            return code

    codes = Counter(await asyncio.gather(*(ask() for _ in range(CALLS))))
    # One worker may spend the whole budget while the machine holds up the other, which then refuses only.
    async with asyncio.timeout(60):
        for number in itertools.count():
            if len(pids) == 2:
                break
            await ask(f"probe {number}")
    for worker in workers:
        worker.terminate()
        assert worker.wait(60) == 0
    assert codes == {grpc.StatusCode.OK: QUOTA, grpc.StatusCode.RESOURCE_EXHAUSTED: CALLS - QUOTA}
    assert len(pids) == 2
