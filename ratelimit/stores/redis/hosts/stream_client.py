"""The task that talks to the server for one host's correlation: sends, reads, holds the lease.

Theory of operation. `turn` is one round of everything, in the order that makes news fast. It is
the lease, sightings out, what the correlator says out, sightings in, assignments in. Every
command has a bounded wait, and whatever fails is tried again with the next turn. Entries leave
their queue when the server has them. Sightings carry a sequence number by which the correlator
tells a repetition. What a correlator writes is refused by the server once another has a later
term. So no answer is ever guessed at.

Large values (the correlator's memory) go by a task of their own, so that the lease is
renewed meanwhile.

In one file, since the steps of a turn share one connection and one order.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from ratelimit.stores.redis.hosts.chunked import CHUNK_BYTES, Chunked, Deposed
from ratelimit.stores.redis.hosts.entries import AssignmentEntry, EntryRefused, Head, Kind
from ratelimit.stores.redis.hosts.fencing import LEASE, PUBLISH, RELEASE
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.hosts.queues import (
    MOST_INCOMING,
    MOST_NEWS,
    HostQueues,
    Incoming,
    News,
    Publication,
)
from ratelimit.stores.redis.transport.resp import numbers_in

LEASE_MS = 3_000
RENEWAL_S = 1.0
KEPT_FREE_MS = 5_000
"""The time for which the lease is kept for the last correlator after the server has lost its data."""
TERM_LASTS_MS = 30 * 86_400_000
STREAM_LASTS_MS = 86_400_000
"""The time for which a stream outlives its last entry."""
LASTING_S = 60.0
MOST_SIGHTING_ENTRIES = 8_192
"""Kept for a correlator that is to come: 80 MB at most, since an entry has at most 10 KB."""
MOST_ASSIGNMENT_ENTRIES = 4_096
"""Kept for hosts that lag: 64 MB at most. A host that lags more fetches the table."""
INTERVAL_S = 0.1
"""Between turns,"""
BREATH_S = 0.01
"""and while there is more to do."""
PATIENCE_S = 1.0
"""The longest wait for one command,"""
TRANSFER_PATIENCE_S = 30.0
"""and for a large value."""
LONGEST_PAUSE_S = 1.0
"""Between attempts while the server is gone."""
TROUBLED = 5
"""Failures in a row that are worth a word."""
READ_AT_ONCE = 64
SENT_AT_ONCE = 64
PUBLISHED_AT_ONCE = 256
TABLE_TRIES_S = 0.25
SILENCE_S = 4.0
"""Without any entry, though there is one each second: the table is looked at."""

Failures = (
    # That no node of a cluster can be reached is no `RedisError` of the library.
    *(RedisError, RedisClusterException, OSError, TimeoutError),
    # Replies that are none: of another type, with other parts, numbers beyond all bounds.
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, struct.error),
)
MOST_TERM = 1 << 53
"""Lua's numbers are whole so far."""
_LEASE_SENSE = (range(3), range(MOST_TERM), range(-2, TERM_LASTS_MS + 1), range(MOST_TERM))
"""What the lease's script may say: its state, the term, milliseconds that are left, the term before."""


class StreamClient:
    """Talks to the server for one host's agent.

    Args:
        connect: makes a client of `redis.asyncio` with bytes as answers; called in the loop
            that turns.
        places: the names of keys.
        box: what is to be sent, and where what comes is put.
        mark, key: of the hash key.
        patience_s: the longest wait for one command.
        lease_ms: the time for which correlating is held without a renewal.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        places: Places,
        box: HostQueues,
        *,
        mark: int,
        key: bytes,
        patience_s: float = PATIENCE_S,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._connect = connect
        self._places = places
        self._box = box
        self._mark = mark
        self._patience_s = patience_s
        self._lease_ms = lease_ms
        self._client: Any = None
        self.holder = token_hex(8)
        """What names this host as the holder of the lease."""
        self._table = Chunked(places, places.table, mark, key)
        self._snapshot = Chunked(places, places.snapshot, mark, key)
        self._lease_due_s = 0.0
        # -- as the correlator
        self._is_listening = False
        self._sightings_at = b"0-0"
        self._published_at = b""
        self._transfer: asyncio.Task[None] | None = None
        # -- as a follower
        self._assignments_at: bytes | None = None
        self._sequence = 0
        self._table_due_s = 0.0
        self._heard_s = 0.0
        self._lasting_due_s = 0.0

    # -- one round --------------------------------------------------------------------------------

    async def turn(self) -> bool:
        """Do one round; return whether there is more to do at once.

        Raises:
            RedisError, OSError, TimeoutError: the server failed; the next turn goes on.
        """
        if self._client is None:
            self._client = self._connect()
        now_s = asyncio.get_running_loop().time()
        box = self._box
        if box.is_candidate and (now_s >= self._lease_due_s or box.is_asked):
            await self._see_to_lease(now_s)
        is_busy = await self._send(now_s)
        if box.term:
            self._start_transfer()
            is_busy |= await self._publish()
            is_busy |= await self._read_sightings()
        is_busy |= await self._read_assignments(now_s)
        return is_busy

    async def _bounded(self, call: Awaitable[Any], patience_s: float | None = None) -> Any:
        async with asyncio.timeout(self._patience_s if patience_s is None else patience_s):
            return await call

    # -- the lease --------------------------------------------------------------------------------

    async def _see_to_lease(self, now_s: float) -> None:
        box = self._box
        ticket = box.asked
        answer = await self._bounded(
            LEASE.run(
                self._client,
                (self._places.lease, self._places.term),
                (
                    self.holder,
                    self._lease_ms,
                    self._box.seen_term,
                    TERM_LASTS_MS,
                    int(box.has_memory),
                    KEPT_FREE_MS,
                ),
            )
        )
        state, term, left_ms, before = numbers_in(answer, _LEASE_SENSE)
        if state == 0:
            if box.term:
                box.follow()
            # A little after it would end, so that not all ask in the same moment.
            wait_s = min(max(left_ms, 0) / 1000 + random.uniform(0.01, 0.1), RENEWAL_S)
            self._lease_due_s = now_s + wait_s
            return
        self._lease_due_s = now_s + RENEWAL_S
        if state == 2 or box.term != term:
            self._published_at = b""
            box.lead(term, before)
        box.confirm(ticket)

    async def resign(self) -> None:
        """Send what waits, and give the lease up if it is held; what fails is left."""
        if self._client is None:
            return
        with suppress(*Failures):
            await self._send(asyncio.get_running_loop().time())
            if self._box.term:
                await self._publish()
            if self._box.is_candidate:
                self._box.is_candidate = False
                await self._bounded(RELEASE.run(self._client, (self._places.lease,), (self.holder,)))
        self._box.follow()

    def _depose(self) -> None:
        self._box.follow()
        self._lease_due_s = 0.0

    # -- sightings out ----------------------------------------------------------------------------

    async def _send(self, now_s: float) -> bool:
        box, stream = self._box, self._places.sightings
        if now_s >= self._lasting_due_s and box.sent:
            await self._bounded(self._client.execute_command("PEXPIRE", stream, STREAM_LASTS_MS))
            self._lasting_due_s = now_s + LASTING_S
        for _ in range(SENT_AT_ONCE):
            outgoing = box.next_outgoing()
            if outgoing is None:
                return False
            await self._bounded(
                self._client.execute_command(
                    "XADD", stream, "MAXLEN", "~", MOST_SIGHTING_ENTRIES, "*", "e", outgoing.entry
                )
            )
            box.has_sent(outgoing)
        return True

    # -- as the correlator ------------------------------------------------------------------------

    async def _publish(self) -> bool:
        box = self._box
        for _ in range(PUBLISHED_AT_ONCE):
            publication = box.next_publication()
            if publication is None:
                return False
            if publication.term == box.term:
                try:
                    await self._publish_one(publication)
                except Deposed:
                    self._depose()
                    return False
            box.has_published(publication)
        return True

    async def _publish_one(self, publication: Publication) -> None:
        places, term = self._places, publication.term
        if publication.entry is not None:
            position = await self._bounded(
                PUBLISH.run(
                    self._client,
                    (places.term, places.assignments),
                    (term, MOST_ASSIGNMENT_ENTRIES, STREAM_LASTS_MS, publication.entry),
                )
            )
            if not position:
                raise Deposed
            self._published_at = position
            self._box.server_ms = int(position.partition(b"-")[0])
        if publication.table is not None:
            table = publication.table
            await self._bounded(
                self._table.write(
                    self._client,
                    term,
                    (table[start : start + CHUNK_BYTES] for start in range(0, len(table), CHUNK_BYTES)),
                    sequence=publication.sequence,
                    position=self._published_at,
                ),
                TRANSFER_PATIENCE_S,
            )

    async def _read_sightings(self) -> bool:
        box = self._box
        position = box.take_listen()
        if position is not None:
            self._sightings_at = position
            self._is_listening = True
        if not self._is_listening or len(box.incoming) >= MOST_INCOMING:
            return False
        found = await self._range(self._places.sightings, self._sightings_at)
        if found:
            self._sightings_at = found[-1].position
        is_all = len(found) < READ_AT_ONCE
        box.receive(found, is_all=is_all)
        return not is_all

    async def _range(self, stream: str, after: bytes) -> list[Incoming]:
        found = await self._bounded(
            self._client.execute_command("XRANGE", stream, b"(" + after, "+", "COUNT", READ_AT_ONCE)
        )
        return [Incoming(position, fields[b"e"]) for position, fields in found if b"e" in (fields or ())]

    # -- large values -----------------------------------------------------------------------------

    def _start_transfer(self) -> None:
        box = self._box
        if self._transfer is not None and not self._transfer.done():
            return
        if box.wants_snapshot:
            self._transfer = asyncio.create_task(self._fetch_snapshot())
        elif box.saving is not None:
            self._transfer = asyncio.create_task(self._save_snapshot())

    async def _fetch_snapshot(self) -> None:
        box = self._box
        try:
            found = await self._bounded(self._snapshot.read_value(self._client), TRANSFER_PATIENCE_S)
        except EntryRefused as refusal:
            box.refusals.add(refusal.code)
            found = None
        except Failures:
            box.faults += 1
            return  # asked again with the next turn: what is there is not to be forgotten
        if box.wants_snapshot:
            box.wants_snapshot = False
            box.snapshot = b"" if found is None else found[1]

    async def _save_snapshot(self) -> None:
        box = self._box
        saving, box.saving = box.saving, None
        if saving is None:
            return
        try:
            await self._bounded(
                self._snapshot.write(self._client, saving.term, saving.parts), TRANSFER_PATIENCE_S
            )
            saving.is_saved = True
        except Deposed:
            self._depose()
        except Failures:
            box.faults += 1
        finally:
            saving.ended.set()

    # -- assignments in ---------------------------------------------------------------------------

    async def _read_assignments(self, now_s: float) -> bool:
        box = self._box
        if len(box.news) >= MOST_NEWS:
            return False
        if self._assignments_at is None:
            return await self._catch_up(now_s)
        found = await self._range(self._places.assignments, self._assignments_at)
        if found:
            self._heard_s = now_s
        elif now_s - self._heard_s > SILENCE_S:
            # A server that lost its data, with a clock behind, gives entries ids before those that were
            # read. The table then says that there is another correlator.
            await self._catch_up(now_s)
        for each in found:
            if not self._follow(each):
                self._assignments_at = None
                self._table_due_s = now_s
                return True
            self._assignments_at = each.position
        return len(found) == READ_AT_ONCE

    def _follow(self, incoming: Incoming) -> bool:
        """Take one entry in; False if it cannot be understood without the table."""
        try:
            told = AssignmentEntry.from_entry(incoming.entry, self._mark)
        except EntryRefused as refusal:
            self._box.refusals.add(refusal.code)
            return True
        if told.term < self._box.seen_term or (
            told.term == self._box.seen_term and told.sequence <= self._sequence
        ):
            return True  # of a correlator that was replaced, or known from the table
        self._yield_to(told.term)
        if told.term > self._box.seen_term or told.sequence != self._sequence + 1 or told.kind is Kind.RELOAD:
            return False
        self._sequence = told.sequence
        self._box.news.append(News(told.term, told.holder, told.numbers, told.pairs, is_whole=False))
        return True

    async def _catch_up(self, now_s: float) -> bool:
        """Fetch the table, if there is one that was not fetched yet."""
        if now_s < self._table_due_s:
            return False
        self._table_due_s = now_s + TABLE_TRIES_S
        try:
            head = await self._bounded(self._table.head(self._client))
            if head is None or not self._goes_further(head):
                return False
            found = await self._bounded(self._table.read_value(self._client), TRANSFER_PATIENCE_S)
        except EntryRefused as refusal:
            self._box.refusals.add(refusal.code)
            return False
        if found is None:
            return False
        self._load(*found)
        return True

    def _goes_further(self, head: Head) -> bool:
        """Return whether a table knows more than what was read of the stream."""
        if head.term == self._box.seen_term:
            return head.sequence > self._sequence
        return head.term > self._box.seen_term

    def _yield_to(self, term: int) -> None:
        """Stop correlating if another host does in a later term, without waiting to be told by the lease."""
        if 0 < self._box.term < term:
            self._depose()

    def _load(self, head: Head, pairs: bytes) -> None:
        box = self._box
        self._yield_to(head.term)
        if self._box.seen_term and head.term > self._box.seen_term:
            box.takeovers += 1
        self._box.seen_term, self._sequence = head.term, head.sequence
        self._assignments_at = head.position or b"0-0"
        box.catch_ups += 1
        box.news.append(News(head.term, 0, (), pairs, is_whole=True))

    # -- going on ---------------------------------------------------------------------------------

    async def run(self, ended: asyncio.Event) -> None:
        """Turn until told to end; what fails is counted and tried again, more and more rarely."""
        pause_s, failed = INTERVAL_S, 0
        while not ended.is_set():
            try:
                is_busy = await self.turn()
                pause_s, failed = BREATH_S if is_busy else INTERVAL_S, 0
                self._box.trouble = ""
            except Failures as error:
                self._box.faults += 1
                failed += 1
                if failed >= TROUBLED:
                    self._box.trouble = f"{type(error).__name__}: {error}"
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2) * random.uniform(0.5, 1.0)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(pause_s, BREATH_S)):
                    await ended.wait()

    async def aclose_connections(self) -> None:
        """Let go of the connection."""
        if self._transfer is not None:
            self._transfer.cancel()
            with suppress(asyncio.CancelledError):
                await self._transfer
        client, self._client = self._client, None
        if client is not None:
            with suppress(*Failures):
                await self._bounded(client.aclose())
