"""Inquiries about callers, from a command to all hosts that share a server, and their answers.

Hashes under the deployment's one hash tag: one with a field for each inquiry, and for each inquiry one with
a field for each host. Both are gone seconds later. An inquiry has hashes of identities and no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ratelimit.parsing.json import JsonReader
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import REPORT, REPORTS
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.shed import MOST_LINES, ShedLine

LASTS_MS = 10_000
"""An inquiry that nobody answered for so long is forgotten."""
MOST_HASHES = 64
MOST_LIMITS = 2048
"""Limits with what was taken of each; a table has no more."""
MOST_METRICS = 1 << 20
"""Characters of one host's metrics."""


class Inquiry(msgspec.Struct, frozen=True):
    """The question what limits refused of some callers, or what a host does as a whole."""

    key: Annotated[str, Meta(max_length=32)]
    """Which hash key the hashes are made with."""
    hashes: Annotated[list[int], Meta(max_length=MOST_HASHES)]
    about_all: bool = False
    """Asks for the host's metrics, and for the callers that are refused most and those that take most."""


class Refusal(msgspec.Struct, frozen=True):
    """What one limit refused of one caller within the last hour, on one host."""

    limit: str
    hash: int
    refused: int
    uncertain: int
    since_ns: int
    last_ns: int
    in_shadow: bool = False
    """Whether the limit would have refused it, and did not."""
    now: int = 0
    """How many of these were in the last sixty seconds."""


class HostAnswer(msgspec.Struct, frozen=True):
    """The answer of one host."""

    host: str
    refusals: Annotated[list[Refusal], Meta(max_length=MOST_LINES)]
    metrics: Annotated[str, Meta(max_length=MOST_METRICS)] = ""
    """The text of its metrics, if they were asked for."""
    shed: Annotated[list[ShedLine], Meta(max_length=MOST_LINES)] = []
    hour: int = 0
    """The number of the hour under way, since 1970, if it was asked for all callers,"""
    took: Annotated[Mapping[str, Mapping[str, int]], Meta(max_length=MOST_LIMITS)] = {}
    """and what was taken in it: by the names of limits, callers' hashes and units;"""
    actors_took: Annotated[Mapping[str, Mapping[str, int]], Meta(max_length=MOST_LIMITS)] = {}
    """what accounts of actors took, of limits that count by the account: by actors' ids."""
    memory: str = ""
    """What names the memory of its workers: see `memory_of`."""


_INQUIRIES, _ANSWERS = JsonReader(Inquiry), JsonReader(HostAnswer)


class ServerInquiries:
    """Inquiries and answers, over a connection that is another's.

    Args:
        caller: calls the server.
        prefix: of the deployment's keys.
    """

    def __init__(self, caller: ServerCaller, prefix: str) -> None:
        self._call = caller.call
        self._places = Places(prefix)

    def ask(self, name: str, inquiry: Inquiry) -> None:
        """Put an inquiry to all hosts.

        Raises:
            StoreError: code `redis-unreachable`.
        """
        self._report(self._places.inquiries, name, msgspec.json.encode(inquiry))

    def asked(self) -> Mapping[str, Inquiry]:
        """Return the inquiries, by name.

        Raises:
            StoreError: code `redis-unreachable`.
        """
        return self._read(self._places.inquiries, _INQUIRIES)

    def answer(self, name: str, host: str, answer: HostAnswer) -> None:
        """Answer an inquiry.

        Raises:
            StoreError: code `redis-unreachable`.
        """
        self._report(self._places.answers(name), host, msgspec.json.encode(answer))

    def answers(self, name: str) -> Mapping[str, HostAnswer]:
        """Return the answers to an inquiry, by the host's name in its reports.

        Raises:
            StoreError: code `redis-unreachable`.
        """
        return self._read(self._places.answers(name), _ANSWERS)

    def _report(self, key: str, field: str, said: bytes) -> None:
        async def report(client: Any) -> None:
            await REPORT.run(client, (key,), (field, said, LASTS_MS))

        self._call(report)

    def _read(self, key: str, reader: JsonReader[Any]) -> Mapping[str, Any]:
        async def read(client: Any) -> dict[str, Any]:
            _, *pairs = await REPORTS.run(client, (key,), (LASTS_MS,))
            found = {}
            for field, said in zip(pairs[::2], pairs[1::2], strict=True):
                try:
                    found[bytes(field).decode("utf-8", "replace")] = reader.read(
                        bytes(said).partition(b" ")[2]
                    )
                except ValueError:  # of another release, or damaged
                    continue
            return found

        result: Mapping[str, Any] = self._call(read)
        return result
