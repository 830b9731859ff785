"""Queues between a worker's correlation and the task that talks to the server.

The two run in different threads and never wait for each other. Every queue is bounded, and the
thread that finds one full goes on and counts. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock

MOST_OUTGOING = 256
"""Entries of sightings that wait for the server; the oldest go first."""
MOST_INCOMING = 256
"""Entries of sightings read in advance by the host that correlates."""
MOST_NEWS = 256
MOST_PUBLICATIONS = 4096


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An entry of sightings on its way to the stream."""

    entry: bytes
    sightings: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """An entry of the stream of sightings."""

    position: bytes
    entry: bytes


@dataclass(frozen=True, slots=True)
class Publication:
    """The words of a correlator: an entry of the stream, or the whole table."""

    term: int
    sequence: int
    entry: bytes | None = None
    table: bytes | None = None


@dataclass(frozen=True, slots=True)
class News:
    """The entries for a host's board: changes, or the table as a whole."""

    term: int
    holder: int
    numbers: tuple[int, ...]
    pairs: bytes
    is_whole: bool


@dataclass(slots=True)
class Saving:
    """A snapshot on its way to the server."""

    term: int
    parts: list[bytes]
    ended: Event
    is_saved: bool = False


class HostQueues:
    """The queues of one host's agent, and what its task has found out.

    Args:
        is_candidate: whether it is to compete for correlating for all hosts.
    """

    def __init__(self, *, is_candidate: bool) -> None:
        self.is_candidate = is_candidate
        self._lock = Lock()
        # -- sightings to the server
        self._outgoing: deque[Outgoing] = deque()
        self.unsent = 0
        """Sightings dropped because the server was slow or gone."""
        self.sent = 0
        """Sightings that are in the stream."""
        # -- news from the server
        self.news: deque[News] = deque()
        self.catch_ups = 0
        """The number of times that the table had to be fetched, the first time included."""
        self.seen_term = 0
        """The last term in which a host published."""
        self.takeovers = 0
        """The number of times that another correlator than before was heard of."""
        self.faults = 0
        """The number of times that the server failed, or was not reached."""
        self.trouble = ""
        """The reason why the server could not be asked, while that lasts; empty while all is well."""
        self.fault: BaseException | None = None
        """An unexpected error, for a log."""
        self.refusals: set[str] = set()
        """Codes of entries that were not used."""
        # -- correlating for all
        self.term = 0
        """The term in which this host correlates for all; 0: it does not."""
        self.before = 0
        """The term before it; below 2: the server lost its data, and no host has correlated since."""
        self.has_memory = False
        """True if the correlator's memory is here, so that it need not be fetched."""
        self.incoming: deque[Incoming] = deque()
        self.publications: deque[Publication] = deque()
        self.is_caught_up = False
        """True if everything in the stream of sightings was read."""
        self.server_ms = 0
        """The server's time when the last entry was published."""
        self.snapshot: bytes | None = None
        """The snapshot that was asked for; empty where there is none; None until it is there."""
        self.wants_snapshot = False
        self.saving: Saving | None = None
        self._listen_from: bytes | None = None
        self._asked = 0
        self._confirmed = 0
        self.confirmed = Event()
        """Set whenever the lease was found to be held still."""
        self.is_leaving = False
        """True if the lease is to be given up."""

    # -- sightings --------------------------------------------------------------------------------

    def send(self, entry: bytes, sightings: int) -> None:
        """Let an entry go to the stream of sightings."""
        with self._lock:
            self._outgoing.append(Outgoing(entry, sightings))
            while len(self._outgoing) > MOST_OUTGOING:
                self.unsent += self._outgoing.popleft().sightings

    def next_outgoing(self) -> Outgoing | None:
        """Return what is to be sent next; it stays until `has_sent`."""
        with self._lock:
            return self._outgoing[0] if self._outgoing else None

    def has_sent(self, outgoing: Outgoing) -> None:
        """Forget an entry that the server has."""
        with self._lock:
            if self._outgoing and self._outgoing[0] is outgoing:
                self._outgoing.popleft()
                self.sent += outgoing.sightings
            else:  # dropped while it was under way, and arrived all the same
                self.unsent -= outgoing.sightings
                self.sent += outgoing.sightings

    @property
    def outgoing(self) -> int:
        """Entries that wait for the server."""
        return len(self._outgoing)

    # -- correlating for all ----------------------------------------------------------------------

    def lead(self, term: int, before: int) -> None:
        """Be the leader from now on: this host correlates for all."""
        with self._lock:
            self.term, self.before = term, before
            self.publications.clear()
            self._drop_saving()

    def follow(self) -> None:
        """Stop being the leader."""
        with self._lock:
            self.term = 0
            self.publications.clear()
            self.wants_snapshot = False
            self._drop_saving()

    def _drop_saving(self) -> None:
        """Forget the snapshot of another term, and wake the thread that waits for it."""
        saving, self.saving = self.saving, None
        if saving is not None:
            saving.ended.set()

    def publish(self, publication: Publication) -> bool:
        """Say something to all hosts; False if the server is too slow to be told."""
        with self._lock:
            if len(self.publications) >= MOST_PUBLICATIONS or publication.term != self.term:
                return False
            self.publications.append(publication)
            return True

    def next_publication(self) -> Publication | None:
        """Return what is to be published next; it stays until `has_published`."""
        with self._lock:
            return self.publications[0] if self.publications else None

    def has_published(self, publication: Publication) -> None:
        """Forget what is published."""
        with self._lock:
            if self.publications and self.publications[0] is publication:
                self.publications.popleft()

    def listen(self, position: bytes) -> None:
        """Read the stream of sightings from behind a position on."""
        with self._lock:
            self.incoming.clear()
            self.is_caught_up = False
            self._listen_from = position

    def take_listen(self) -> bytes | None:
        """Return once where reading is to begin anew."""
        with self._lock:
            position, self._listen_from = self._listen_from, None
            return position

    def receive(self, entries: Sequence[Incoming], *, is_all: bool) -> None:
        """Take in what was read, unless reading is to begin anew."""
        with self._lock:
            if self._listen_from is None:
                self.incoming.extend(entries)
                self.is_caught_up = is_all

    # -- is the lease still held? -----------------------------------------------------------------

    def ask(self) -> int:
        """Have the lease looked at; return a ticket for `is_confirmed`."""
        with self._lock:
            self._asked += 1
            return self._asked

    @property
    def asked(self) -> int:
        """The last ticket; 0 before the first."""
        return self._asked

    @property
    def is_asked(self) -> bool:
        """True if a thread waits for an answer."""
        return self._asked > self._confirmed

    def confirm(self, ticket: int) -> None:
        """Note that the lease was held after this ticket was given out."""
        with self._lock:
            self._confirmed = max(self._confirmed, ticket)
        self.confirmed.set()

    def is_confirmed(self, ticket: int) -> bool:
        """Return whether the lease was found held after a ticket was given out."""
        return self._confirmed >= ticket
