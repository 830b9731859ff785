"""Steps that follow a refusal (`on_refusal`): a record for each, with its effect and its words.

Theory of operation. A record says all that those need to know of its step that only compile, count, show or
replay it: they go by the records, and name no step. A step with the effect of another is a record here. One
with an effect of its own is a word of `Effect`, and the stage of a feature that does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FirstStep = Literal["refuse", "degrade", "challenge"]
"""What becomes of a request that the whole limit has no room for."""
MildStep = Literal["observe", "wait", "degrade", "challenge"]
"""Steps by which a request goes on that only conduct left no room for, from the mildest."""
Step = Literal[MildStep, "refuse"]
"""What becomes of a request that only bad conduct leaves no room for, from the mildest."""
Effect = Literal["passes", "holds", "admits", "asks", "refuses"]
"""The request goes on; it is held for a while; it goes on uncharged, and the application is told; the
application is asked whether it goes on; it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalStep:
    """A step, as those know it that do not take it."""

    name: Step
    effect: Effect
    is_first: bool = False
    """Whether it may stand first: what becomes of a request that the whole limit has no room for."""
    verb: str = ""
    """What a limit does with it first, in errors: a limit that `verb`."""
    says: str = ""
    """What it does first, in the reference of the policy."""
    detail: str = ""
    """The same of a limit, in `check`."""
    asked: str = ""
    """What `explain` says of a request without room, if the application is asked."""
    passed: str = ""
    """What it says of one that goes on."""
    replayed: str = ""
    """What `replay` says of requests that had no room."""
    counted: str = ""
    """Why its requests went on, in the help of `ratelimit_acted_total`; empty: it counts none of them."""

    @property
    def admits(self) -> bool:
        """Whether a request without room goes on, uncharged."""
        return self.effect == "admits"

    @property
    def asks(self) -> bool:
        """Whether a request without room is refused unless the application lets it pass."""
        return self.effect == "asks"

    @property
    def goes_on(self) -> bool:
        """Whether a request goes on without a word of the application."""
        return self.effect in ("passes", "holds", "admits")


STEPS: tuple[RefusalStep, ...] = (
    RefusalStep(name="observe", effect="passes"),
    RefusalStep(name="wait", effect="holds", replayed="admitted after a wait", counted="they fitted later"),
    RefusalStep(
        name="degrade",
        effect="admits",
        is_first=True,
        verb="degrades",
        says='it passes, uncharged, and the application reads `scope["ratelimit"].degrade`',
        detail="passes with less when used up",
        passed="passes, with less",
        replayed="admitted with less",
    ),
    RefusalStep(
        name="challenge",
        effect="asks",
        is_first=True,
        verb="challenges",
        says="the application demands a step-up",
        detail="asks for a step-up when used up",
        asked="asks for a step-up",
        passed="passes, as it passed the challenge",
        replayed="asked for a step-up",
        counted="their caller passed of late",
    ),
    RefusalStep(name="refuse", effect="refuses", is_first=True),
)
"""All of them, from the mildest."""
BY_NAME: Mapping[str, RefusalStep] = {step.name: step for step in STEPS}
LENIENT = tuple(step for step in STEPS if step.is_first and step.effect != "refuses")
"""Those that may stand first and refuse no request outright."""
