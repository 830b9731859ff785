"""A server that says yes to everything, and answers the script with whatever a test puts there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec


class Forger:
    """Listens on a port of 127.0.0.1; an async context manager.

    Attributes:
        answer: bytes on the connection for a call of the script; None for what an idle server would say.
        calls: how often the script was called.
        sign: bytes on the connection for a sign of life.
        other: what else is answered, by the words asked; None for what an idle server would say.
    """

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.calls = 0
        self.sign = b"*3\r\n:1\r\n:1\r\n:0\r\n"
        self.other: Callable[[list[bytes]], bytes | None] = lambda words: None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                words = []
                for _ in range(int((await reader.readline())[1:] or 0)):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if not words:
                    break
                writer.write(self._say(words))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _say(self, words: list[bytes]) -> bytes:
        other = self.other(words)
        if other is not None:
            return other
        if words[0] == b"EVAL":
            return self.sign
        if words[0] != b"EVALSHA":
            return b"+OK\r\n"
        self.calls += 1
        if words[2] == b"0":  # no keys: nothing is asked
            return bulk([1_700_000_000_000_000])
        return bulk([1_700_000_000_000_000, 1, 0, 0]) if self.answer is None else self.answer


def bulk(numbers: list[object]) -> bytes:
    """Return an answer as it is on the connection."""
    text = msgspec.msgpack.encode(numbers)
    return b"$%d\r\n%b\r\n" % (len(text), text)
