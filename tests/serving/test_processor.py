"""Envoy's external processor, in a real Envoy: requests begin, answer and end as behind a middleware."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.serving.processor import fields_in, head_in, serve_processor
from tests.serving.protected import EXAMPLES, PAGE
from tests.support.debian import program
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

FILE = EXAMPLES / "envoy-ext-proc.yaml"
POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key" }
[adaptive]
first_byte = "1s"
in_flight = [1, 1, 1]
mode = "shed"
match = "POST /v1/*"
[[limit]]
name = "calls"
match = "GET /*"
per = "account"
rate = "2/day"
[[limit]]
name = "at once"
match = "PUT /*"
per = "account"
algorithm = "concurrency"
concurrent = 1
"""


class BackEnd:
    """Answers with a head, two parts and an end, each when it is told to."""

    def __init__(self) -> None:
        self.steps = asyncio.Semaphore(0)
        self.under_way = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readuntil(b"\r\n\r\n")
        self.under_way += 1
        try:
            if b"/v1/refused" in line:
                writer.write(b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            elif not line.startswith(b"GET"):
                await self.steps.acquire()
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
                for part in (b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"):
                    await self.steps.acquire()
                    writer.write(part)
                    await writer.drain()
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na")
            await writer.drain()
        except ConnectionError:
            pass  # its client hung up
        finally:
            writer.close()
            self.under_way -= 1

    def go_on(self, steps: int) -> None:
        """Take so many steps."""
        for _ in range(steps):
            self.steps.release()


class Served:
    """A client before Envoy, and what the limiter behind it counts."""

    def __init__(self, client: httpx.AsyncClient, limiter: Limiter, back_end: BackEnd) -> None:
        self.client, self.limiter, self.back_end = client, limiter, back_end
        self.load: Any = limiter.load

    @property
    def counts(self) -> tuple[int, int]:
        found: tuple[int, int] = self.load.flight.counts(self.limiter.now_ns())
        return found

    @property
    def samples(self) -> list[Any]:
        steering = self.load._admission.steering
        steering.answered()  # as the next step does
        return list(steering.answered(True))

    async def back_end_left(self) -> None:
        """Let the back end come to the end of an answer that no client waits for."""
        async with asyncio.timeout(30):
            while self.back_end.under_way:
                if self.back_end.steps.locked():
                    self.back_end.steps.release()
                await asyncio.sleep(0)
            while not self.back_end.steps.locked():
                await self.back_end.steps.acquire()

    async def until(self, counts: tuple[int, int]) -> None:
        async with asyncio.timeout(30):
            while self.counts != counts:
                await asyncio.sleep(0)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    limiter = Limiter(Policy.from_toml(POLICY), clock=ManualClock(1_700_000_000 * 10**9))
    back_end = BackEnd()
    listening = await asyncio.start_server(back_end.answer, "127.0.0.1", 0)
    ports = {8000: free_port(), 8080: listening.sockets[0].getsockname()[1], 8083: free_port()}
    text = FILE.read_text()
    for ours, free in ports.items():
        assert text.count(f"port_value: {ours} ") == 1
        text = text.replace(f"port_value: {ours} ", f"port_value: {free} ")
    (folder / "envoy.yaml").write_text(text)
    processor = await serve_processor(limiter, f"127.0.0.1:{ports[8083]}")
    log = ["--log-path", str(folder / "envoy.log"), "--log-level", "warning"]
    command = [
        program("envoy"),
        "-c",
        str(folder / "envoy.yaml"),
        "--concurrency",
        "1",
        "--disable-hot-restart",
    ]
    server = subprocess.Popen([*command, *log])
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[8000]}", timeout=60) as client:
            await asyncio.to_thread(wait_until_connected, ports[8000], server)
            yield Served(client, limiter, back_end)
    finally:
        server.terminate()
        await asyncio.to_thread(server.wait, 60)
        await processor.stop(0)
        listening.close()
        limiter.close()


async def test_requests_behind_envoy_begin_answer_and_end(tmp_path: Path) -> None:
    program("envoy")
    async with served(tmp_path) as server:
        steps = server.back_end.steps

        # A stream: the head is no first byte, and the body's end is the request's.
        request = server.client.build_request("POST", "/v1/chat?a=1")
        asked = asyncio.ensure_future(server.client.send(request, stream=True))
        await server.until((1, 1))
        shed = await server.client.post("/v1/chat")
        assert shed.status_code == 503
        assert int(shed.headers["retry-after-ms"]) > 0
        steps.release()
        answer = await asked
        assert answer.status_code == 200
        assert server.counts == (1, 1)
        steps.release()
        await server.until((1, 0))
        assert len(server.samples) == 1
        steps.release()
        assert await answer.aread() == b"ab"
        await server.until((0, 0))

        # A client that hangs up leaves no place, and shows nothing of the back end.
        given_up = asyncio.ensure_future(server.client.post("/v1/chat"))
        await server.until((1, 1))
        given_up.cancel()
        await server.until((0, 0))
        assert len(server.samples) == 1
        await server.back_end_left()

        # One that the back end refuses is no fast answer.
        assert (await server.client.post("/v1/refused")).status_code == 429
        await server.until((0, 0))
        assert [seen[4] for seen in server.samples] == [False, True]

        # Slots are held until the end, as in a middleware.
        held = asyncio.ensure_future(server.client.put("/", headers={"x-api-key": "a"}))
        async with asyncio.timeout(30):
            while not server.back_end.under_way:
                await asyncio.sleep(0)
        assert (await server.client.put("/", headers={"x-api-key": "a"})).status_code == 429
        server.back_end.go_on(3)
        assert (await held).status_code == 200

        # What the limits of requests say is in the head.
        allowed = await server.client.get("/", headers={"x-api-key": "a"})
        assert allowed.headers["ratelimit"].startswith('"calls";r=1')
        await server.client.get("/", headers={"x-api-key": "a"})
        refused = await server.client.get("/", headers={"x-api-key": "a"})
        assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["calls"])
        assert int(refused.headers["retry-after"]) > 0


def test_bytes_of_any_kind_are_read_or_refused() -> None:
    assert dict(fields_in(b"\x08\x96\x01\x12\x01a")) == {1: 150, 2: b"a"}
    for damaged in (b"\x12\x05a", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b", b"\x12"):
        with pytest.raises(ValueError, match=r"field|number"):
            list(fields_in(damaged))
    with pytest.raises(ValueError, match="in place of bytes"):
        head_in(b"\x08\x01")


def test_page_names_the_file() -> None:
    assert FILE.name in PAGE
