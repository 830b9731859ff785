"""The acts of all hosts that share a server, and which hosts apply them.

A list of lines, and a hash with a field for each host; both under the deployment's one hash tag.
Calls wait, for a second at most: they are made by a thread of their own, or by a command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ratelimit.parsing.json import JsonReader
from ratelimit.stores.acts.act import MOST_ACTS, Act, kept, read_acts
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import ACT, REPORT, REPORTS
from ratelimit.stores.redis.hosts.keys import Places

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

LASTS_MS = 400 * 86_400_000
"""The time for which the log outlives the last act."""
SILENT_MS = 15_000
"""A host that has not reported for so long is not waited for."""
FORGOTTEN_MS = 86_400_000


class HostReport(msgspec.Struct, frozen=True):
    """The report of one host about itself."""

    host: str
    number: int
    """All its workers apply the acts up to this one."""
    workers: int


_REPORTS = JsonReader(HostReport)


class ServerActs:
    """The server's log, over one connection that is made when it is needed.

    Args:
        remote: which server.
    """

    def __init__(self, remote: RemoteSpec) -> None:
        self._caller = ServerCaller(remote)
        self._call, self.close = self._caller.call, self._caller.close
        places = Places(remote.prefix)
        self._acts, self._hosts = places.acts, places.acts_applied
        self._last: bytes | None = None

    def read_if_changed(self) -> list[Act] | None:
        """Return the acts, None while they are as they were when last read.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def read(client: Any) -> list[Act] | None:
            last = await client.execute_command("LRANGE", self._acts, -1, -1)
            end = b"" if not last else bytes(last[0])
            if end == self._last:
                return None
            lines = await client.execute_command("LRANGE", self._acts, -2 * MOST_ACTS, -1)
            self._last = end
            return read_acts(lines)

        acts: list[Act] | None = self._call(read)
        return acts

    def append(self, make: Callable[[int], Act], now_ns: int) -> Act:
        """Append an act, made for its number, and return it.

        Raises:
            StoreError: code `redis-unreachable`; it may or may not have been appended.
        """

        async def append(client: Any) -> Act:
            while True:
                lines = await client.execute_command("LRANGE", self._acts, -2 * MOST_ACTS, -1)
                acts = read_acts(lines)
                act = make(acts[-1].number + 1 if acts else 1)
                left = kept([*acts, act], now_ns)
                replaces = len(left) <= len(lines)
                fresh = [one.line() for one in left] if replaces else [act.line()]
                last = lines[-1] if lines else b""
                # Between reading and writing another command may have made the act of this number.
                if await ACT.run(client, (self._acts,), (last, LASTS_MS, int(replaces), *fresh)):
                    return act

        act: Act = self._call(append)
        return act

    def report(self, name: str, host: str, number: int, workers: int) -> None:
        """Say which acts a host applies.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def report(client: Any) -> None:
            said = msgspec.json.encode(HostReport(host, number, workers))
            await REPORT.run(client, (self._hosts,), (name, said, LASTS_MS))

        self._call(report)

    def hosts(self) -> dict[str, HostReport]:
        """Return the hosts that reported lately, by their names.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def hosts(client: Any) -> dict[str, HostReport]:
            now_ms, *pairs = await REPORTS.run(client, (self._hosts,), (FORGOTTEN_MS,))
            reports: dict[str, HostReport] = {}
            for name, said in zip(pairs[::2], pairs[1::2], strict=True):
                at_ms, _, text = bytes(said).partition(b" ")
                if int(now_ms) - int(at_ms) <= SILENT_MS:
                    host = bytes(name).decode("utf-8", "replace")
                    try:
                        reports[host] = _REPORTS.read(text)
                    except ValueError:  # of another release, or damaged: it is not known to apply any act
                        reports[host] = HostReport(host, 0, 0)
            return reports

        found: dict[str, HostReport] = self._call(hosts)
        return found
