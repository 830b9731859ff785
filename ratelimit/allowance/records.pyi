"""Payers, as all workers of a host remember them: their accounts, their best days, and what they paid for a month."""

from enum import IntFlag
from typing import Any, final

RECORDS_VERSION: int
RECORD_BYTES: int
"""The size of a record that travels: to a file, to a server."""
REGION: int
"""The bits of its first byte that say what it is of: `OF_PAYER`, `OF_PAIR`, or what a payer paid."""
OF_PAYER: int
OF_PAIR: int
PAIRS_EACH: int
"""Pairs that there is room for, for each payer."""

class Standing(IntFlag):
    """What a payer's account is, at the place where it asks."""

    ELSEWHERE = 1
    """The account is not established with its payer and at none of its places, and the payer was first seen 30 days ago or more."""
    UNSETTLED_COUNTS = 2
    """The records are younger than 30 days, and the account is older or of unknown age: all that is paid counts."""

def records_bytes(payers: int, /) -> int:
    """Return the size of memory with room for so many payers, and four pairs for each.

    48 bytes for each payer and 96 for its pairs: 14.4 MB for 100,000. At the least 6.2 MB.

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
    Another one has the day from which it is known what the payer paid, and the level of the least of each period.
    A pair's has the day that an account, or a place (an address), was first established with the payer, and the last one.
    Keys are keyed 64-bit hashes; 0 and all ones are none. Days are UTC days since 1970, from 1 to 32767 (in 2059).

    A zeroed buffer is formatted, a formatted one attached to after it was compared. Any bytes in it are survived:
    a record that was damaged counts for nothing, and is told by `damage`.

    Laws, for `see`, `see_paid`, `settled`, `note`, `best` and `import_day` alike:

    - Each call changes a record to its join with what is known: the earlier first day, the higher levels, the least
      that was paid (what is not known is no least), the newer period. So calls may come in any order, from any worker, and twice; time that goes back takes nothing back.
    - A level's floor is at most what was used, and `best` returns such a floor. So what is allowed by a multiple of it
      is at most that multiple of a day that was. Likewise what is settled is at most what was paid.
    - A new key takes the place of the record in its bucket that is worth least: damaged, silent for 70 days,
      with the lowest levels (a pair: the fewest days from its first to its last), silent longest, newest. An
      established record (of 30 days: a payer first seen so long ago, a pair first and last seen so far apart; and seen
      within 70; what was paid: more than a cent) never makes room for a new key. If all of a bucket are established, the key is not recorded: a payer
      counts as seen today, an account or a place as it would without a record. A record from elsewhere (`take_in`) displaces an established one that is worth less.
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
    def slots(self) -> tuple[int, int, int]:
        """Records that there is room for in all: of payers, of pairs, of what payers paid. Half as many again as were asked for, or more."""
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
    def see(self, payer: int, account: int, place: int, created_s: int, now_s: int) -> int:
        """Record that a payer's account asks from a place; return its `Standing`.

        An account is established with its payer from the first time when it asks

        - in the payer's own first 30 days,
        - or from a place of the payer's,
        - or while the records are younger than 30 days, if it was created 30 days before them or more or its age is not known.

        No time that it is with the payer establishes it. Only established accounts are recorded, and the places that
        they ask from. So a record that comes from elsewhere is one of an established account.

        Records begin with the first day of the limiter, or of a log that was imported. While that is less than 30 days
        ago, a payer counts from when the oldest of its accounts was created, as far as that is known.
        Later only the day counts on which the limiter first saw it.

        Args:
            account: 0: none, which is established nowhere and nowhere else.
            place: the address, as far as it is one's own; 0: none, or one that is public.
            created_s: when the account was created, in seconds since 1970; 0 and less: not known.
            now_s: civil time.
        """
    def see_paid(self, payer: int, paid_micros: int, flags: int, now_s: int) -> None:
        """Lower the least that was paid in the present period to an amount; writes only if that changes it.

        Args:
            paid_micros: millionths of a dollar, as cleared in the last 30 days; less than 0: not known, and nothing is
                recorded. 0 is known.
            flags: the account's `Standing`. With `UNSETTLED_COUNTS` the payer is taken to have paid as much a month ago:
                so its dollars are settled when the records are 30 days old.
            now_s: civil time.
        """
    def settled(self, payer: int, now_s: int) -> int:
        """Return the least that was paid for a month, in millionths of a dollar, rounded down to a level of cents.

        That is the least of the periods from the one that holds the day 30 days ago (if nothing is known of it, from the
        one before) up to now. A later period of which nothing is known does not count against it. It is 0 if it is known
        for less than 30 days what the payer paid, or if neither of those two periods is known.

        A level is rounded down by 8.3 % at the most, and by a cent.
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
        """Return the records in so many slots of payers (0), pairs (1) or what payers paid (2), `RECORD_BYTES` each; empty behind the last."""
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

        A key is told from its second day on: a flood of fresh ones stays on its host. A place is told at once where its
        payer was first seen 30 days ago or more, and so were the records.

        The third is True if changes were overwritten before they were read: then all records may have changed.
        """
    def note_imported(self, payers: int, /) -> None:
        """Say how many payers the file had that was read last."""
    def close(self) -> None:
        """Let go of the buffer."""
