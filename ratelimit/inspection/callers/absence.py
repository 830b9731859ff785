"""The words of a caller's screens while the server that keeps its limits does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.stand_in import StandIn
from ratelimit.inspection.journal.outage import outage_words

Weight = Literal["", "yellow", "red"]


def absence_words(known: Knowledge, there: StandIn | None, no_answer: str) -> Iterator[tuple[Weight, str]]:
    """Yield sentences, each with its weight: which limits are shown in place of the server's, and what lacks.

    Args:
        known: the knowledge of callers on this host.
        there: the limits of this host meanwhile; None where no worker here has any.
        no_answer: why the server's limits cannot be looked at.
    """
    if there is None:
        yield "", f"Limits cannot be looked at: {no_answer}"
        return
    yield "yellow", outage_words(known.deployment.policy, known.here)
    yield from share_words(there)
    if known.trouble:
        words = (
            "Its addresses and payment methods are not known, either. Name them, too: limits count by them."
        )
        yield "", words


def share_words(there: StandIn) -> Iterator[tuple[Weight, str]]:
    """Yield the limits that do not hold by the usual share meanwhile, and how they hold."""
    for rule, most in there.most_asked:
        amount = formatting.amount(most, rule.unit)
        words = f"`{rule.name}` is reduced: a request may ask for {amount} at most. "
        yield "yellow", f"{words}One that does not say for how much counts as asking for more."
    if there.open:
        yield "", f"Meanwhile these do not apply: {', '.join(there.open)}."
    if there.closed:
        yield "red", f"Meanwhile these refuse every request: {', '.join(there.closed)}."
