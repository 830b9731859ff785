"""When payers and their accounts were first seen, and the payers' best days, as all workers of a host remember it."""

from enum import IntFlag
from typing import Any, final

RECORDS_VERSION: int
RECORD_BYTES: int
"""The size of a record that travels: to a file, to a server."""
PAIRS_EACH: int
"""Pairs that there is room for, for each payer."""

class Standing(IntFlag):
    """What a payer's account is, at the place where it asks."""

    YOUNG = 1
    """The payer was first seen less than 30 days ago."""
    NEWCOMER = 2
    """The account was, its payer was not, and no established account of the payer was at this place before."""

def records_bytes(payers: int, /) -> int:
    """Return the size of memory with room for so many payers, and four pairs for each.

    24 bytes for each payer and 96 for its pairs: 12 MB for 100,000. At the least 4.1 MB.

    Raises:
        ValueError: `payers` is not 1 to 100,000,000.
    """

def level_of(used: float, /) -> int:
    """Return the level of a day: the highest whose floor is at most `used`; 0 for less than 1 and for no number."""

def floor_of(level: int, /) -> int:
    """Return the least whole number of a level, eight to an octave: 1 for level 1, 3,649,031,265 for the last, 255.

    Raises:
        ValueError: there is no such level.
    """

@final
class Records:
    """Records of payers and of their pairs, over a writable buffer.

    A payer's record has the day it was first seen, and the level of its best day in each of seven periods of ten days.
    A pair's has the day that an account, or a place (a network), was first seen with the payer, and the last one.
    Keys are keyed 64-bit hashes; 0 and all ones are none. Days are UTC days since 1970, from 1 to 32767 (in 2059).

    A zeroed buffer is formatted, a formatted one attached to after it was compared. Any bytes in it are survived:
    a record that was damaged counts for nothing, and is told by `damage`.

    Laws, for `see`, `note`, `best` and `import_day` alike:

    - Each call changes a record to its join with what is known: the earlier first day, the higher levels, the newer
      period. So calls may come in any order, from any worker, and twice; time that goes back takes nothing back.
    - A level's floor is at most what was used, and `best` returns such a floor. So what is allowed by a multiple of it
      is at most that multiple of a day that was.
    - A new key takes the place of the record in its bucket that is worth least: damaged, silent for 70 days,
      with the lowest levels, silent longest, newest. An established record (first seen 30 days ago or more, and
      seen within 70) never makes room for a new key. If all of a bucket are established, the key is not recorded,
      and counts as seen today. A record from elsewhere (`take_in`) displaces an established one that is worth less.
    - They take no lock, allocate nothing, and do not raise. After `close` they answer 0.

    Args:
        memory: writable, C-contiguous, 64-byte aligned, at least `records_bytes(payers)` large.
        payers: how many there is room for.
        fingerprint: 16 bytes that stand for the hash key.

    Raises:
        StoreError: codes `table-foreign`, `table-size`, `table-damaged`.
        ValueError: an argument of the wrong size.
    """

    def __init__(self, memory: Any, *, payers: int, fingerprint: bytes) -> None: ...
    @property
    def open(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def slots(self) -> tuple[int, int]:
        """Records that there is room for in all: of payers, of pairs. Half as many again as were asked for, or more."""
    @property
    def days(self) -> tuple[int, int]:
        """The day that the records begin with, and the first day of the limiter itself; 0 before the first call."""
    @property
    def counts(self) -> tuple[int, int, int, int, int, int]:
        """Payers and pairs recorded; records evicted (not established), displaced (established); keys refused; imported payers.

        A refused key counts with each call.
        """
    def damage(self) -> str | None:
        """Return what is wrong with the memory; None where nothing is. A call looks at a sixteenth of the records."""
    def see(self, payer: int, account: int, network: int, created_s: int, now_s: int) -> int:
        """Record that a payer's account asks from a network; return its `Standing`.

        Records begin with the first day of the limiter, or of a log that was imported. While that is less than 30 days
        ago, a payer and an account count from the day when the account was created; where that is not known,
        neither is young. Later only the day counts on which the limiter first saw them.

        A place is recorded when an account that is no newcomer asks from it.
        Without an account there is no newcomer. Without a network an account is at no place of the payer's.

        Args:
            created_s: when the account was created, in seconds since 1970; 0 and less: not known.
            now_s: civil time.
        """
    def note(self, payer: int, used: float, now_s: int) -> None:
        """Raise the level of the present period to that of `used`: what the payer's window holds after a charge."""
    def best(self, payer: int, now_s: int) -> float:
        """Return the floor of the best level that counts: of periods that ended 30 days ago or more, or before the limiter's first day.

        A day counts from 31 to 40 days after it, until 61 to 70 days after it, by where it lies in its period.
        """
    def import_day(self, payer: int, day: int, used: float, now_s: int) -> None:
        """Record a day that lies before the present one.

        A day before the limiter's first counts at once, and until it would be forgotten anyway: 61 to 70 days after it.
        If it lies in the period of the limiter's first day, it is put into the period before, and is forgotten as that is.
        A day since then counts as if it had been noted on it. A day before 1970 or after now is left out.
        """
    def born(self, since: int | None, own: int | None, /) -> None:
        """Move the day that the records begin with, and the limiter's own first day, to earlier days."""
    def export(self, region: int, start: int, count: int, /) -> bytes:
        """Return the records in so many slots of payers (0) or pairs (1), `RECORD_BYTES` each; empty behind the last."""
    def take_in(self, items: bytes, now_s: int, /, *, until: int | None = None, is_told: bool = False) -> int:
        """Join exported records in; return how many were. What is no record is left out.

        Args:
            until: the last day of a log that they are made of, None if they are a limiter's. If that lies before the
                limiter's first day, all of them count at once, as `import_day` says.
            is_told: whether `changed` tells of them.

        Raises:
            ValueError: the bytes are no multiple of `RECORD_BYTES`.
        """
    def changed(self, position: int, most: int, /) -> tuple[int, bytes, bool]:
        """Return the records that changed since a position, as they are now, and the position to go on with.

        A payer and an account are told from their second day on: a flood of fresh keys stays on its host.
        A place is told at once.

        The third is True if changes were overwritten before they were read: then all records may have changed.
        """
    def note_imported(self, payers: int, /) -> None:
        """Say how many payers the file had that was read last."""
    def close(self) -> None:
        """Let go of the buffer."""
