"""The journal of all hosts that share a server: sets of lines, in which each line has a number of its own.

A host adds its lines and reads those of others into its own ring (`stores.journal`). So a server that comes
back empty has all lines again after one host has added its ring. Calls wait, for a second at most.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import JOURNAL
from ratelimit.stores.redis.hosts.keys import Places

MOST_EVENTS = 8192
MOST_MINUTES = 20_160
"""A week of two hosts; of quarters of an hour, a week of thirty; of takings, of sixty or more."""
LASTS_MS = 31 * 86_400_000
"""The time for which a journal outlives the last look of its last host."""
STATE_LASTS_MS = 400 * 86_400_000
"""The time for which its epoch does: no limit counts for longer."""
MOST_LINES = 256
"""In one call, each way."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a host knows the lines: up to which number, of which epoch."""

    number: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class JournalReply:
    """The reply of one call."""

    is_whole: bool
    """Whether the server has lost nothing that the caller knew to be there."""
    position: Position
    """That of the last line that came."""
    lines: Sequence[bytes]


class ServerJournal:
    """One set of lines on a server, over a connection that is another's.

    Args:
        caller: calls the server.
        prefix: of the deployment's keys.
        name: which: `journal`, `minutes`, `quarters` or `takings`.
    """

    def __init__(self, caller: ServerCaller, prefix: str, name: str = "journal") -> None:
        self._call = caller.call
        places = Places(prefix)
        self._keys = (places.lines(name), places.lines_state(name))
        self._most = MOST_EVENTS if name == "journal" else MOST_MINUTES

    def exchange(
        self, known: Position, there: bytes = b"", lines: Sequence[bytes] = (), *, reads: bool = True
    ) -> JournalReply:
        """Add lines, and return those that came after the last one known; `MOST_LINES` at most, each way.

        Args:
            known: how far the lines are known.
            there: a line that this host knows to be there.
            lines: those to add.
            reads: whether lines are returned.

        Raises:
            StoreError: code `redis-unreachable`; they may or may not be there.
        """
        return self._exchange(known.number if reads else -1, there, known.epoch, secrets.token_hex(8), lines)

    def read(self) -> list[bytes]:
        """Return all lines.

        Raises:
            StoreError: code `redis-unreachable`.
        """
        found: list[bytes] = []
        position = Position()
        while True:
            heard = self._exchange(position.number, b"", position.epoch, "", ())
            found += heard.lines
            if len(heard.lines) < MOST_LINES:
                return found
            position = heard.position

    def _exchange(
        self, number: int, there: bytes, epoch: str, fresh: str, lines: Sequence[bytes]
    ) -> JournalReply:
        async def exchange(client: Any) -> JournalReply:
            words: list[str | bytes | int] = [
                number,
                self._most,
                MOST_LINES,
                LASTS_MS,
                STATE_LASTS_MS,
                there,
                epoch,
                fresh,
            ]
            is_whole, now, last, *found = await JOURNAL.run(client, self._keys, [*words, *lines])
            return JournalReply(
                bool(is_whole), Position(int(last), bytes(now).decode()), [bytes(one) for one in found]
            )

        heard: JournalReply = self._call(exchange)
        return heard
