"""Boards over private memory or files, with the tests' usual facts."""

from __future__ import annotations

import mmap
from typing import Any

from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.board import Board, board_bytes
from ratelimit.correlation import Correlator, Settings
from tests.support.cores import BOOT
from tests.support.rule import EPOCH

FINGERPRINT = bytes(range(16, 32))
# Account, address, network, payment, client, block, and the four places of an actor.
COLUMNS = Columns((0,), (1, 2, 3, 4, -1, -1, -1, 5))
WIDTH = 10


def memory(principals: int = 64, sightings: int = 16) -> mmap.mmap:
    """Return zeroed private memory for a board."""
    return mmap.mmap(-1, board_bytes(principals, sightings))


def attach(where: Any, **changed: Any) -> Board:
    """Return a board over the memory."""
    facts: dict[str, Any] = {
        "principals": 64,
        "sightings": 16,
        "boot_id": BOOT,
        "fingerprint": FINGERPRINT,
    }
    return Board(where, **(facts | changed))


def board(principals: int = 64, sightings: int = 16) -> Board:
    """Return a fresh board."""
    return attach(memory(principals, sightings), principals=principals, sightings=sightings)


def correlator(principals: int = 64, **more: Any) -> Correlator:
    """Return a correlator that knows nothing."""
    settings = Settings(principals=principals, identifiers=max(64, 4 * principals), **more)
    return Correlator(settings, EPOCH, COLUMNS)


def row(account: int, network: int = 0) -> list[int]:
    """Return identities of one account, from a network of its own unless told otherwise."""
    base = account * 1_000_003
    address = [base + 1 + network, base + 2 + network]
    return [account, *address, base + 3, base + 4, base + 5 + network, -1, -1, -1, -1]
