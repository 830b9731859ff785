"""The table's memory: made once, attached to by those it fits, refused to all others."""

from __future__ import annotations

import mmap
import random

import pytest

from ratelimit.core.memory.table import (
    ENTRY_BYTES,
    LAYOUT_VERSION,
    TABLE_HEADER_BYTES,
    Table,
    identity_in,
    table_bytes,
)
from ratelimit.errors import StoreError
from tests.support.cores import BOOT, KEY, compiled_rule
from tests.support.memory import COPY_AT, VERSION_AT, attach, private
from tests.support.rule import DAY, EPOCH, SECOND, RuleSpec


def refusal(memory: object, **facts: object) -> str:
    """Return the code with which a memory is refused."""
    with pytest.raises(StoreError) as caught:
        attach(memory, **facts)
    assert not caught.value.transient
    return caught.value.code


def spend(table: Table, identity: int, cost: int = 1, now_ns: int = EPOCH) -> bool:
    """Ask for units of a bucket of three; return whether they were given."""
    from ratelimit.core.decision.engine import Plan

    plan = Plan(table, [compiled_rule(RuleSpec("token-bucket", 3, SECOND))], [[0]], None, [0])
    return plan.decide([identity], now_ns, [cost]).allowed


def test_zeroed_memory_is_formatted_once() -> None:
    memory = private()
    first = attach(memory)
    assert first.fresh
    assert (first.key, first.anchor_ns) == (KEY, 17)
    assert EPOCH - DAY - SECOND < first.epoch_ns <= EPOCH
    second = attach(memory, now_ns=EPOCH + 9 * DAY, anchor_ns=99)
    assert not second.fresh
    assert (second.key, second.anchor_ns, second.epoch_ns) == (KEY, 17, first.epoch_ns)


def test_attached_tables_see_one_anothers_state() -> None:
    memory = private()
    first, second = attach(memory), attach(memory)
    assert spend(first, 7, 3)
    assert not spend(second, 7)
    first.close()
    assert not spend(second, 7)
    assert spend(second, 8)


def test_negative_anchor_is_kept() -> None:
    assert attach(private(), anchor_ns=-(10**18)).anchor_ns == -(10**18)


def test_another_layout_version_is_refused() -> None:
    memory = private()
    attach(memory).close()
    memory[VERSION_AT : VERSION_AT + 4] = (LAYOUT_VERSION + 1).to_bytes(4, "little")
    memory[COPY_AT : COPY_AT + 256] = bytes(256)
    assert refusal(memory) == "table-version"


@pytest.mark.parametrize("at", [0, VERSION_AT, 16, 40, 64, COPY_AT, COPY_AT + 64])
def test_flipped_bit_of_the_header_is_told_from_another_version_or_key(at: int) -> None:
    memory = private()
    table = attach(memory)
    memory[at] ^= 4
    assert refusal(memory) == "table-damaged"
    assert table.damage() is not None
    # A worker that attached before has what it needs, and the other copy has it for those to come.
    assert table.key == KEY
    assert identity_in(bytes(memory[:TABLE_HEADER_BYTES])) == (len(memory), 17)


def test_words_that_no_table_has_are_damage() -> None:
    for at in (300, TABLE_HEADER_BYTES + 8, TABLE_HEADER_BYTES + 8 * 511):
        memory = private()
        table = attach(memory)
        assert table.damage() is None
        memory[at : at + 8] = (1 << 40).to_bytes(8, "little")
        assert table.damage() is not None, at
        assert refusal(memory) == "table-damaged"


def test_seat_that_was_overwritten_is_taken_again() -> None:
    memory = private()
    table = attach(memory)
    seat = table.join(77, 5, EPOCH)
    at = TABLE_HEADER_BYTES + 512 * 8 + 64 * seat
    memory[at] ^= 0x10
    table.heartbeat(EPOCH + SECOND)
    assert table.seat >= 0
    assert [table.seated, attach(memory).join(77, 5, EPOCH)] == [2, table.seat]


def test_heartbeat_from_the_future_keeps_no_dead_worker_seated() -> None:
    memory = private()
    table = attach(memory)
    table.join(77, 5, EPOCH)
    at = TABLE_HEADER_BYTES + 512 * 8 + 24
    memory[at : at + 8] = (1 << 57).to_bytes(8, "little")
    assert attach(memory).release_seats(lambda _pid, _start: False, EPOCH) == 1


def test_another_size_is_refused() -> None:
    memory = private()
    attach(memory).close()
    larger = mmap.mmap(-1, len(memory) + 4096 * 16)
    larger[: len(memory)] = memory[:]
    assert refusal(larger) == "table-size"


def test_truncated_memory_is_refused() -> None:
    memory = private()
    attach(memory).close()
    for pages in (1, 2, len(memory) // 4096 - 1):
        shorter = mmap.mmap(-1, pages * 4096)
        shorter[:] = memory[: pages * 4096]
        assert refusal(shorter) == "table-size"


@pytest.mark.parametrize("length", [1, 63, 64, 4096])
def test_memory_too_small_for_any_table_is_refused(length: int) -> None:
    assert refusal(mmap.mmap(-1, length)) == "table-size"


def test_another_boot_is_refused() -> None:
    memory = private()
    attach(memory).close()
    assert refusal(memory, boot_id=BOOT + b"-after-a-restart") == "table-boot"
    assert not attach(memory).fresh


def test_another_block_size_is_refused() -> None:
    memory = private(block_bytes=1 << 20)
    attach(memory, block_bytes=1 << 20).close()
    assert refusal(memory, block_bytes=1 << 19) == "table-size"


def test_another_hash_key_is_refused() -> None:
    # Two keys over one table would split every identity's budget in two.
    memory = private()
    attach(memory).close()
    assert refusal(memory, key=bytes(16)) == "table-key"
    assert attach(memory).key == KEY


@pytest.mark.parametrize("seed", range(20))
def test_foreign_bytes_are_refused(seed: int) -> None:
    memory = private()
    memory[:] = random.Random(seed).randbytes(len(memory))
    assert refusal(memory) == "table-foreign"


def test_foreign_text_is_refused_and_left_as_it_was() -> None:
    memory = private()
    memory[:20] = b"somebody else's file"
    assert refusal(memory) == "table-foreign"
    assert memory[:20] == b"somebody else's file"
    assert not any(memory[20:])


def test_refusals_leave_the_memory_usable_by_those_it_fits() -> None:
    memory = private()
    assert spend(attach(memory), 7, 3)
    before = memory[:]
    refusal(memory, boot_id=b"another")
    assert memory[:] == before
    assert not spend(attach(memory), 7)


def test_read_only_memory_is_refused() -> None:
    memory = mmap.mmap(-1, table_bytes(64), prot=mmap.PROT_READ)
    with pytest.raises((BufferError, StoreError, TypeError, ValueError)):
        attach(memory)


def test_unaligned_memory_is_refused() -> None:
    memory = mmap.mmap(-1, table_bytes(64) + 4096)
    with pytest.raises((StoreError, ValueError)):
        attach(memoryview(memory)[8 : 8 + table_bytes(64)])


@pytest.mark.parametrize("memory", [None, 5, "text", object()])
def test_what_is_no_memory_is_rejected(memory: object) -> None:
    with pytest.raises(TypeError):
        attach(memory)


@pytest.mark.parametrize(
    ("fact", "value"),
    [("key", b"short"), ("key", b"x" * 17), ("boot_id", b"x" * 65), ("block_bytes", -1)],
)
def test_impossible_facts_are_rejected(fact: str, value: object) -> None:
    with pytest.raises((ValueError, OverflowError, StoreError)):
        attach(private(), **{fact: value})


def test_size_grows_with_keys_and_stays_in_proportion() -> None:
    sizes = [table_bytes(keys) for keys in (1, 100, 1_000, 10_000, 100_000, 1_000_000)]
    assert sizes == sorted(sizes)
    # Half as many again as the live keys at 16 bytes each: 24 bytes a key.
    assert sizes[-1] <= 24 * 1_000_000 * 1.1
    assert ENTRY_BYTES == 16
    assert table_bytes(1000, 1 << 20) >= table_bytes(1000) + (1 << 20)


@pytest.mark.parametrize("keys", [0, -1, 2**63, 2**100])
def test_impossible_capacities_are_rejected(keys: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        table_bytes(keys)


def test_closed_table_is_an_error_not_a_crash() -> None:
    from ratelimit.core.decision.engine import Plan

    memory = private()
    table = attach(memory)
    table.join(1, 1, EPOCH)
    rule = compiled_rule(RuleSpec("token-bucket", 3, SECOND))
    plan = Plan(table, [rule], [[0]])
    outcome = plan.decide([1], EPOCH)
    table.close()
    for call in (
        lambda: table.stats(EPOCH),
        lambda: table.join(2, 1, EPOCH),
        lambda: table.heartbeat(EPOCH),
        lambda: table.counter("x"),
        lambda: table.count(0, 0),
        lambda: table.totals(0),
        lambda: plan.decide([1], EPOCH),
        lambda: plan.peek([1], EPOCH),
        lambda: outcome.settle_rule(0, 5, EPOCH),
        lambda: outcome.undo(EPOCH),
        lambda: Plan(table, [rule], [[0]]),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    table.close()
    memory.close()


def test_memory_cannot_be_unmapped_under_an_open_table() -> None:
    memory = private()
    table = attach(memory)
    with pytest.raises(BufferError):
        memory.close()
    table.close()
    memory.close()


def test_two_tables_in_one_process_are_apart() -> None:
    one, other = attach(private()), attach(private())
    assert spend(one, 7, 3)
    assert spend(other, 7, 3)
    assert not spend(one, 7)
