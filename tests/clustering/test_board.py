"""The memory that correlation shares: whole before a worker sees it, and never another's."""

from __future__ import annotations

import copy
import mmap
import pickle
from pathlib import Path

import pytest

from ratelimit.clock import ManualClock
from ratelimit.core.clusters.image import Image
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.board import board_bytes
from ratelimit.core.sharing.observer import Watch
from ratelimit.core.sharing.ring import Ring
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.support.boards import COLUMNS, FINGERPRINT, WIDTH, attach, board, correlator, memory, row
from tests.support.rule import EPOCH

FORMAT_AT = 8


def refusal(where: mmap.mmap, **changed: object) -> str:
    with pytest.raises(StoreError) as caught:
        attach(where, **changed)
    return caught.value.code


def test_second_worker_sees_what_the_first_wrote() -> None:
    where = memory()
    first, second = attach(where), attach(where)
    first.set_number(3, 2**64 - 1)
    Ring(first, COLUMNS).put(row(1), EPOCH)
    assert second.number(3) == 2**64 - 1
    assert Ring(second, COLUMNS).drain(correlator().core, 9, EPOCH) == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"fingerprint": bytes(16)}, "table-key"),
        ({"boot_id": b"another"}, "table-boot"),
        ({"sightings": 8}, "table-size"),
        ({"principals": 63}, "table-size"),
        ({"principals": 65}, "table-size"),
    ],
)
def test_board_of_another_kind_is_refused(changed: dict[str, object], code: str) -> None:
    where = memory()
    attach(where)
    assert refusal(where, **changed) == code


def test_board_of_another_release_is_refused() -> None:
    where = memory()
    attach(where)
    where[FORMAT_AT] += 1
    assert refusal(where) == "table-version"


@pytest.mark.parametrize("at", [0, 100, 4095])
def test_foreign_memory_is_not_overwritten(at: int) -> None:
    where = memory()
    where[at] = 7
    assert refusal(where) == "table-foreign"
    assert where[at] == 7


def test_too_little_memory_is_refused() -> None:
    assert refusal(mmap.mmap(-1, board_bytes(64, 16) - 16)) == "table-size"


@pytest.mark.parametrize(("principals", "sightings"), [(0, 1), (1, 0), (-1, 5), (2**40, 5)])
def test_sizes_that_are_none(principals: int, sightings: int) -> None:
    with pytest.raises(ValueError, match="room for"):
        board_bytes(principals, sightings)


@pytest.mark.parametrize("index", [-1, 32])
def test_number_there_is_no_room_for(index: int) -> None:
    with pytest.raises((IndexError, OverflowError)):
        board().number(index)


def test_closed_board_is_closed() -> None:
    shared = board()
    shared.close()
    shared.close()
    assert shared.closed
    for ask in (shared.stats, lambda: shared.number(0), lambda: shared.beat(1), lambda: shared.term):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_never_pickled_or_copied() -> None:
    shared = board()
    made = (
        shared,
        Ring(shared, COLUMNS),
        Assignments(shared, COLUMNS),
        Watch(shared, COLUMNS, WIDTH - 1),
        Image(correlator().core),
    )
    for each in made:
        with pytest.raises(TypeError):
            pickle.dumps(each)
        with pytest.raises(TypeError):
            copy.copy(each)
        with pytest.raises(TypeError):
            type("Sub", (type(each),), {})


def store(path: Path, **more: object) -> EmbeddedStore:
    return EmbeddedStore.shared("policy.toml", path=path, keys=200, clock=ManualClock(), **more)  # type: ignore[arg-type]


def beside(of: EmbeddedStore, principals: int = 64) -> SharedBoard:
    return SharedBoard.beside(of, principals=principals, sightings=16)


def boards_in(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if ".actors-" in path.name)
    return [name for name in names if not name.endswith("-key")]


def test_workers_of_one_store_share_one_board(tmp_path: Path) -> None:
    one, other = (beside(store(tmp_path / "t")) for _ in range(2))
    one.board.set_number(0, 5)
    assert other.board.number(0) == 5
    assert len(boards_in(tmp_path)) == 1
    assert (tmp_path / boards_in(tmp_path)[0]).stat().st_mode & 0o777 == 0o600


def test_private_store_has_a_private_board() -> None:
    alone = beside(EmbeddedStore.private(keys=200))
    assert alone.mapping.path is None
    assert alone.election.win()
    alone.close()


def test_other_sizes_get_boards_of_their_own(tmp_path: Path) -> None:
    one, other = beside(store(tmp_path / "t")), beside(store(tmp_path / "t"), principals=100)
    one.board.set_number(0, 5)
    assert other.board.number(0) == 0
    assert len(boards_in(tmp_path)) == 2


def test_board_survives_a_restart_of_all_workers(tmp_path: Path) -> None:
    of = store(tmp_path / "t")
    first = beside(of)
    first.board.set_number(0, 5)
    first.close()
    of.close()
    assert beside(store(tmp_path / "t")).board.number(0) == 5


def test_board_that_nobody_holds_is_swept_and_one_in_use_is_not(tmp_path: Path) -> None:
    of = store(tmp_path / "t")
    used, left = beside(of, 64), beside(of, 100)
    left.election.win()
    left.close()
    foreign = tmp_path / "t.actors-notes"
    foreign.write_text("mine")
    beside(of, 200)
    names = boards_in(tmp_path)
    assert used.mapping.path is not None
    assert used.mapping.path.name in names
    assert foreign.read_text() == "mine"
    assert len(names) == 3


def test_board_of_another_hash_key_is_never_met(tmp_path: Path) -> None:
    first = store(tmp_path / "t", key=bytes(16))
    beside(first).board.set_number(0, 5)
    first.close()
    (tmp_path / "t").unlink()
    assert beside(store(tmp_path / "t", key=bytes(15) + b"x")).board.number(0) == 0


def test_link_in_the_boards_place_is_not_followed(tmp_path: Path) -> None:
    of = store(tmp_path / "t")
    place = beside(of).mapping.path
    assert place is not None
    place.unlink()
    (tmp_path / "elsewhere").write_bytes(b"")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError) as caught:
        beside(of)
    assert caught.value.code == "table-memory"
    assert (tmp_path / "elsewhere").stat().st_size == 0


def test_fingerprint_does_not_tell_the_key() -> None:
    where = memory()
    attach(where)
    assert FINGERPRINT in where[:4096]
    shared = beside(EmbeddedStore.private(keys=200, key=b"sixteen bytes it"))
    assert b"sixteen bytes it" not in shared.mapping.memory[:4096]
