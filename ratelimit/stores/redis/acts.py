"""The acts of all hosts that share a server, and which hosts apply them.

A list of lines, the first of which says which acts the others are, and a hash with a field for each host:
both under the deployment's one hash tag. Hosts bring back a list that the server lost: see `merge`.
Calls wait, for a second at most: they are made by a thread of their own, or by a command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ratelimit.errors import StoreError
from ratelimit.parsing.json import JsonReader
from ratelimit.stores.acts.act import (
    Act,
    digest_of,
    fresh_tag,
    kept,
    made_before,
    merged,
    next_number,
    read_acts,
)
from ratelimit.stores.redis.caller import ServerCaller
from ratelimit.stores.redis.hosts.fencing import ACT, REPORT, REPORTS
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.inquiries import ServerInquiries
from ratelimit.stores.redis.journal import ServerJournal

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

LASTS_MS = 400 * 86_400_000
"""The time for which the log outlives the last act."""
LATE_MS = 7_000
"""A host reports every five seconds: after so long it is not known to be there."""
SILENT_MS = 15_000
"""A host that has not reported for so long is cut off or gone: it is named, and not waited for."""
GONE_MS = 600_000
"""After so long a silent host is taken for gone: it is named, and no command fails for it.

A host that was killed, and whose name never returns, says no word to the end. One that is cut off runs on by
its limits' stances, and says so itself: its own metrics fire RatelimitStoreAway within two minutes.
"""
FORGOTTEN_MS = 86_400_000
CLAIM_MS = 60_000
"""The time for which a call is claimed, if its process dies meanwhile."""


class HostReport(msgspec.Struct, frozen=True):
    """The report of one host about itself."""

    host: str
    digest: str
    """The log that all its workers apply; empty while they differ."""
    workers: int
    policy: str = ""
    """The digest of the policy that it goes by; empty where it does not say."""
    policy_since_s: int = 0
    """Since when it does, seconds since 1970."""
    silent_ms: int = 0
    """The time since it reported, by the server's clock."""

    @property
    def is_late(self) -> bool:
        """Whether a report is due."""
        return self.silent_ms > LATE_MS

    @property
    def is_gone(self) -> bool:
        """Whether it has been silent for so long that it is taken for gone."""
        return self.silent_ms > GONE_MS

    @property
    def is_silent(self) -> bool:
        """Whether it is cut off, or gone without a word."""
        return self.silent_ms > SILENT_MS


_REPORTS = JsonReader(HostReport)


class ServerActs:
    """The server's log, over one connection that is made when it is needed.

    Args:
        remote: which server.
    """

    def __init__(self, remote: RemoteSpec) -> None:
        self._caller = ServerCaller(remote)
        self._call, self.close = self._caller.call, self._caller.close
        self.inquiries = ServerInquiries(self._caller, remote.prefix)
        """Questions of commands to all hosts, over the same connection."""
        self.events = ServerJournal(self._caller, remote.prefix)
        """The journal of all hosts, over the same connection,"""
        self.minutes = ServerJournal(self._caller, remote.prefix, "minutes")
        """their counts by the minute,"""
        self.quarters = ServerJournal(self._caller, remote.prefix, "quarters")
        self.takings = ServerJournal(self._caller, remote.prefix, "takings")
        """and by the quarter of an hour."""
        places = self._places = Places(remote.prefix)
        self._acts, self._restored, self._hosts = places.acts, places.acts_restored, places.acts_applied
        self._seen: bytes | None = None
        self.is_founded = False
        """Whether there was a log when it was last read, though no act may have been in it."""

    def read_if_changed(self) -> list[Act] | None:
        """Return the acts, None while they are as they were when last read.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def read(client: Any) -> tuple[bytes, Sequence[bytes]]:
            head = await self._head(client)
            if head == self._seen:
                return head, ()
            return head, await client.execute_command("LRANGE", self._acts, 0, -1)

        head, lines = self._call(read)
        if head == self._seen:
            return None
        # Not before the answer is here: one that was lost is read again.
        self._seen, self.is_founded = head, bool(lines)
        return read_acts(lines)

    def read(self) -> list[Act]:
        """Return the acts.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def read(client: Any) -> list[Act]:
            return read_acts(await client.execute_command("LRANGE", self._acts, 0, -1))

        acts: list[Act] = self._call(read)
        return acts

    async def _head(self, client: Any) -> bytes:
        first = await client.execute_command("LRANGE", self._acts, 0, 0)
        return bytes(first[0]) if first else b""

    def merge(self, acts: Sequence[Act], now_ns: int) -> list[Act]:
        """Put acts that the server lacks into its log, and return all of it.

        A server that came back empty, or was changed while a host was cut off, has the whole log again after
        one host has merged its own.

        Raises:
            StoreError: code `redis-unreachable`; they may or may not be there.
        """
        return self._change(lambda every, is_partial: [], now_ns, acts)

    def found(self, *, is_first: bool) -> None:
        """Begin a log without acts, where there is none.

        A host that is cut off may know acts of a log that was lost. So from then on acts have tags, unless
        this is known to be the first log.

        Raises:
            StoreError: code `redis-unreachable`; it may or may not be there.
        """

        async def found(client: Any) -> None:
            restored_ms = 0 if is_first else LASTS_MS
            keys = (self._acts, self._restored)
            await ACT.run(client, keys, (b"", LASTS_MS, restored_ms, _head_of([])))

        self._call(found)

    def append(
        self,
        make: Callable[[int, str], Act],
        now_ns: int,
        known: Sequence[Act] = (),
        *,
        is_first: bool = True,
        once: str = "",
    ) -> Act:
        """Append an act, made for its number and tag, and return it; or return the one that is there `once`.

        It has a tag while the log may lack acts that hosts know: see `_change`.

        Args:
            make: returns the act.
            now_ns: the time.
            known: the acts that this host knows; those that the server lacks go there first.
            is_first: whether a log that is not there is known to be one in which there never was an act.
            once: see `Act`.

        Raises:
            StoreError: code `redis-unreachable`; it may or may not have been appended. With `once` also while
                the log may lack acts, and those of this host are not known.
        """
        made: list[Act] = []

        def appended(acts: Sequence[Act], is_partial: bool) -> Sequence[Act]:
            before = made_before(acts, once)
            if before is not None:
                made[:] = [before]
                return ()
            if once and is_partial and not is_first:
                raise StoreError(
                    "hosts are bringing back acts that the server lost",
                    code="redis-unreachable",
                    transient=True,
                )
            made[:] = [make(next_number(acts), fresh_tag() if is_partial else "")]
            return made

        self._change(appended, now_ns, known, is_first=is_first)
        return made[0]

    def claim(self, once: str) -> bool:
        """Claim a call that is to be done once, for a minute; return False if another process has.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def claim(client: Any) -> bool:
            keys = (self._places.acts_once(once), self._restored)
            return bool(await ACT.run(client, keys, (b"", CLAIM_MS, 0, b"1")))

        found: bool = self._call(claim)
        return found

    def let_go(self, once: str) -> None:
        """End a claim: what it was for is in the log, or was not done.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def let_go(client: Any) -> None:
            await ACT.run(client, (self._places.acts_once(once), self._restored), (b"1", 1, 0, b"0"))

        self._call(let_go)

    def _change(
        self,
        appended: Callable[[Sequence[Act], bool], Sequence[Act]],
        now_ns: int,
        known: Sequence[Act],
        *,
        is_first: bool = True,
    ) -> list[Act]:
        """Put a log in place of the server's that also has the acts known here, and what is appended to them.

        After a server lost its log, each host brings back what it knows. A host that is cut off may know an
        act that none of the others does, so from then on a number that follows the last may have been given.
        """

        async def change(client: Any) -> list[Act]:
            while True:
                lines = await client.execute_command("LRANGE", self._acts, 0, -1)
                there = read_acts(lines)
                every = merged(there, known)
                is_lost = not there and (bool(known) or not (lines or is_first))
                is_partial = is_lost or bool(await client.execute_command("LRANGE", self._restored, 0, 0))
                every = kept([*every, *appended(every, is_partial)], now_ns)
                if digest_of(every) == digest_of(there):
                    return there
                head = bytes(lines[0]) if lines else b""
                fresh = _head_of(every)
                # Between reading and writing another command may have made the act of this number.
                lines = [one.line() for one in every]
                restored_ms = LASTS_MS if is_lost else 0
                keys = (self._acts, self._restored)
                if await ACT.run(client, keys, (head, LASTS_MS, restored_ms, fresh, *lines)):
                    return every

        every: list[Act] = self._call(change)
        return every

    def report(
        self, name: str, host: str, digest: str, workers: int, policy: str = "", policy_since_s: int = 0
    ) -> None:
        """Say which log of acts a host applies, and which policy it goes by.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def report(client: Any) -> None:
            said = msgspec.json.encode(HostReport(host, digest, workers, policy, policy_since_s))
            await REPORT.run(client, (self._hosts,), (name, said, LASTS_MS))

        self._call(report)

    def hosts(self) -> dict[str, HostReport]:
        """Return the hosts that reported within a day, by their names.

        Raises:
            StoreError: code `redis-unreachable`.
        """

        async def hosts(client: Any) -> dict[str, HostReport]:
            now_ms, *pairs = await REPORTS.run(client, (self._hosts,), (FORGOTTEN_MS,))
            reports: dict[str, HostReport] = {}
            for name, said in zip(pairs[::2], pairs[1::2], strict=True):
                at_ms, _, text = bytes(said).partition(b" ")
                host = bytes(name).decode("utf-8", "replace")
                try:
                    report = _REPORTS.read(text)
                except ValueError:  # of another release, or damaged: it is not known to apply any act
                    report = HostReport(host, "", 0)
                reports[host] = msgspec.structs.replace(report, silent_ms=max(0, int(now_ms) - int(at_ms)))
            return reports

        found: dict[str, HostReport] = self._call(hosts)
        return found


def _head_of(acts: Sequence[Act]) -> bytes:
    """Return the first line of a log, which no act is: it changes whenever the log does."""
    return b"# " + digest_of(acts).encode()
