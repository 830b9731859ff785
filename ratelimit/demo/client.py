"""One keep-alive HTTP/1.1 connection to the demo's own server: as much as it needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from ratelimit.demo.people import Person
from ratelimit.parsing.json import read_json

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call."""

    status: int
    limit: str | None
    """The limit a refusal names."""


class Connection:
    """Calls one after another over one socket; reconnects after the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._headers: dict[str, str] = {}

    async def chat(self, person: Person, address: str, *, output_tokens: int, stream: bool) -> Answer:
        """POST one chat; return once its status is known, and the whole answer unless it streams.

        Of an admitted stream `finish` reads the rest.

        Raises:
            ConnectionError: the server went away.
        """
        turns = [{"role": "user", "content": "hello"}]
        body = json.dumps({"messages": turns, "max_tokens": output_tokens, "stream": stream}).encode()
        request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {person.account}\r\n"
            f"x-forwarded-for: {address}\r\nuser-agent: {person.program}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        status, answer = await self._call(request.encode("ascii") + body, reads_body=not stream)
        return Answer(status, _refusing(answer) if status == 429 else None)

    async def finish(self) -> None:
        """Read what is left of a stream.

        Raises:
            ConnectionError: the server went away.
        """
        await self._guarded(self._body())

    async def metrics(self) -> str:
        """Return the text of /metrics."""
        return await self._get("/metrics")

    async def actors(self) -> str:
        """Return the text of /actors."""
        return await self._get("/actors")

    async def _get(self, path: str) -> str:
        status, body = await self._call(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode("ascii"))
        if status != 200:
            raise ConnectionError(f"{path} answered {status}")
        return body.decode()

    def drop(self) -> None:
        """Drop the socket."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _call(self, request: bytes, *, reads_body: bool = True) -> tuple[int, bytes]:
        return await self._guarded(self._exchange(request, reads_body))

    async def _guarded(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        try:
            return await work
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.drop()
            raise ConnectionError(str(error)) from error
        except asyncio.CancelledError:
            self.drop()
            raise

    async def _exchange(self, request: bytes, reads_body: bool) -> tuple[int, bytes]:
        if self._reader is not None and self._reader.at_eof():
            self.drop()  # by the server, in a pause that was too long for it
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.split("\r\n")
        self._headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        status = int(start.split(" ")[1])
        return status, b"" if status == 200 and not reads_body else await self._body()

    async def _body(self) -> bytes:
        reader = self._reader
        if reader is None:
            raise ConnectionError("not connected")
        if self._headers.get("transfer-encoding") == "chunked":
            body = bytearray()
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = bytearray(await reader.readexactly(int(self._headers.get("content-length", "0"))))
        if self._headers.get("connection") == "close":
            self.drop()
        return bytes(body)


def _refusing(body: bytes) -> str | None:
    """Return the first limit that a problem document says was violated."""
    try:
        problem = read_json(body)
    except ValueError:
        return None
    violated = problem.get("violated-policies") or []
    return str(violated[0]) if violated else None
