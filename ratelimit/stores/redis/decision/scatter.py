"""One decision over keys that live in different slots of a cluster.

No script reaches two slots. So each limit is charged by itself, all at the same time, and what
was charged is given back if another refuses. Until then, for about a round trip, other callers see
the charge and may be refused by it. No caller gets more than the limit; a caller may get less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ratelimit.core.redis.remote import ASK_NUMBERS
from ratelimit.stores.contract import REFUSED
from ratelimit.stores.redis.transport.batch import Part
from ratelimit.stores.redis.transport.errors import unanswered

if TYPE_CHECKING:
    from ratelimit.core.decision.engine import Outcome
    from ratelimit.stores.redis.protocols import Planned, ServerLink


async def ask_scattered(
    batch_client: ServerLink,
    plan: Planned,
    identities: Sequence[int],
    costs: Any,
    now_ns: int,
    *,
    commit: bool,
) -> Outcome:
    """Charge each limit by itself, at the same time, and give back what was charged if one refuses.

    Raises:
        StoreError: one of them could not be asked; what the others charged is given back.
    """
    work = batch_client.loop.create_task(
        _charge(batch_client, plan, identities, costs, now_ns, commit=commit)
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if commit:
            work.add_done_callback(_undo)
        raise


async def _charge(
    batch_client: ServerLink,
    plan: Planned,
    identities: Sequence[int],
    costs: Any,
    now_ns: int,
    *,
    commit: bool,
) -> Outcome:
    keys: dict[bytes, int] = {}
    items: list[Any] = []
    outcome = plan.rules.ask(identities, costs, commit, 0, keys, items, plan)
    names = list(keys)
    parts: list[asyncio.Future[list[int]]] = []
    sizes: list[int] = []
    for at in range(2, len(items), ASK_NUMBERS):
        rule, number, cost, binds, mark = items[at : at + ASK_NUMBERS]
        key = names[number - 1]
        slot_batch = batch_client.open_batch(key)
        base = slot_batch.base_of(plan)
        number = slot_batch.keys.setdefault(key, len(slot_batch.keys) + 1)
        slot_batch.items.extend((items[0], 1, base + rule, number, cost, binds, mark))
        part: asyncio.Future[list[int]] = batch_client.loop.create_future()
        sizes.append(plan.rules.ask_size(rule))
        slot_batch.entries.append(Part(sizes[-1], part))
        parts.append(part)
    if commit:
        plan.asked(batch_client, outcome, now_ns)
    said = [now_ns // 1000]
    fault: BaseException | None = None
    answers = await asyncio.gather(*parts, return_exceptions=True)
    for size, answer in zip(sizes, answers, strict=True):
        if isinstance(answer, BaseException):
            fault = answer
            said += (REFUSED, *[0] * (size - 1))
        else:
            said[0] = answer[0]
            said += answer[1:]
    try:
        plan.rules.answer(outcome, said, 1, said[0], commit, True)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        # What was charged is not known, so nothing is given back: it could be another request's.
        raise unanswered(ValueError(str(error))) from error
    if commit and not outcome.allowed:
        outcome.take_back()
    if fault is not None:
        raise fault
    if commit:
        plan.rules.count(outcome)
    return outcome


def give_back(outcome: Outcome) -> None:
    """Take back what a decision charged when no caller waits for it any more."""
    if outcome.allowed:
        outcome.undo(0)


def _undo(work: asyncio.Task[Outcome]) -> None:
    if not work.cancelled() and work.exception() is None:
        give_back(work.result())
