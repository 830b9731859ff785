"""The memory of payers' records, beside a store's own and by the same rules."""

from __future__ import annotations

from collections.abc import Callable

from ratelimit.allowance.records import RECORDS_VERSION, Records, records_bytes
from ratelimit.stores.embedded.companion import Companion, Form

PIECE = 16_384
"""Slots that are copied at a time."""
HEADER = "its header was overwritten"


class SharedRecords(Companion[Records]):
    """The records, and the memory that they are in. Records that are whole outlive damage to others."""

    def carried(self, damage: str) -> Callable[[], None]:
        """Return what takes along the records that are whole: each has a check of its own."""
        pieces = pieces_of(self.memory)
        days = self.memory.days if damage != HEADER else (0, 0)
        if pieces and not all(days):
            days = 1, 1  # which days lay before the limiter is lost: none is taken for one that did

        def carry() -> None:
            self.memory.born(days[0] or None, days[1] or None)
            # The day matters only for what makes room, and fresh memory has room for all of the old one.
            for piece in pieces:
                self.memory.take_in(piece, 0)

        return carry


def records_form(payers: int) -> Form[Records]:
    """Return the form of records with room for so many payers.

    It is not of one boot: on a disk the records outlive it, and each is checked.
    """
    return Form(
        "records",
        b"%d %d " % (RECORDS_VERSION, payers),
        records_bytes(payers),
        lambda memory, fingerprint: Records(memory, payers=payers, fingerprint=fingerprint),
    )


def pieces_of(records: Records) -> list[bytes]:
    """Return all records, some thousand at a time."""
    return [
        piece
        for region, slots in enumerate(records.slots)
        for start in range(0, slots, PIECE)
        if (piece := records.export(region, start, PIECE))
    ]
