"""The recorder of one request's way through its stages, while it is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ratelimit.deciding.limits import Picking, Recognising, Requiring, by_plan
from ratelimit.deciding.stage import Bound, Decided, Deciding, Pending, Rest, Stage, ask, chained


@dataclass(slots=True)
class Passed:
    """One stage, as a request passed it.

    Args:
        stage: its name.
        limits: the limits that were picked when it was entered; none before.
        has_answered: whether it decided without the stages behind it.
        was_allowed: what came back from it; None while nothing has.
    """

    stage: str
    limits: tuple[str, ...]
    has_answered: bool = True
    was_allowed: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {"stage": self.stage, "answered": self.has_answered, "allowed": self.was_allowed}


EVERYWHERE = frozenset(stage.name for stage in (Picking, Recognising, Requiring))
"""The stages of every policy."""


class Recorder:
    """Records what each stage of a policy does with a request."""

    def __init__(self) -> None:
        self.passed: list[Passed] = []
        """The stages in the order in which they were entered."""

    def chain(self, bound: Bound) -> Rest:
        """Return what decides a request as the policy does, recorded."""
        return chained([Recorded(stage, self.passed) for stage in bound.stages], self._by_plan)

    def _by_plan(self, pending: Pending) -> Deciding:
        own = [Recorded(stage, self.passed) for stage in pending.plan.stages if isinstance(stage, Stage)]
        return by_plan(pending, chained(own, ask))


class Recorded(Stage):
    """A stage, and what it did."""

    def __init__(self, stage: Stage, passed: list[Passed]) -> None:
        self._stage = stage
        self._passed = passed

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request as the stage does."""
        plan = getattr(pending, "plan", None)
        names = () if plan is None else tuple(dict.fromkeys(rule.name for rule in plan.rules))
        entry = Passed(self._stage.name, names)
        self._passed.append(entry)

        def noted(pending: Pending) -> Deciding:
            entry.has_answered = False
            return rest(pending)

        decided: Decided = yield from self._stage.decide(pending, noted)
        entry.was_allowed = decided[0]
        return decided


def way_words(way: Sequence[Passed]) -> str:
    """Return a request's way in one line; stages that every policy has are left out, and may be all."""
    own = [one.stage for one in way if one.stage not in EVERYWHERE]
    if not own:
        return ""
    stages = ", ".join(own)
    by = next((one.stage for one in way if one.has_answered), None)
    return f"{stages}; the limits decided" if by is None else f"{stages}, which decided"
