"""The acts of `ratelimit top`: the same as the commands', with the same preview, and one key that agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text as AnyText

from ratelimit.cli.terminal import Text
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.acts.acting import confirmed
from ratelimit.inspection.acts.words import act_words
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.naming import EVERYONE
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.moment import Refused
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.proposal import Proposal
from ratelimit.policy import Policy

SPANS = ("15m", "1h", "2h", "1d", "7d")
USUAL_SPAN = 2
WORDS = ("stop", "exempt", "clear")
SHORTLY_S = 1.0
"""The time for which hosts are waited for: keys wait, too."""
REASON = "made in ratelimit top"
_ACTOR = "cluster"


@dataclass(frozen=True, slots=True)
class Offer:
    """An act that is shown before it is done."""

    word: str
    """The command of that name."""
    name: str
    """The caller, or the act to undo, as a command takes it."""
    digest: str
    """Of the proposal that is shown: what a person agrees to."""
    does: Sequence[str]
    doubts: Sequence[str]
    hint: str
    is_stale: bool = False
    """Whether something changed since it was shown first."""


@dataclass(frozen=True, slots=True)
class Done:
    """An act that was made."""

    lines: Sequence[AnyText]
    label: str
    """Its name, to undo it; empty for an undo."""


def name_of(caller: Refused) -> str:
    """Return a refused caller as commands take it: by its hash."""
    if caller.per == _ACTOR:
        return f"actor={caller.hash:016x}"
    if " + " in caller.per or caller.per in ("", EVERYONE):
        return f"hash:{caller.hash:016x}"
    return f"{caller.per}=hash:{caller.hash:016x}"


class Acts:
    """The acts on a policy's deployment.

    Args:
        policy: the policy.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def offer(self, word: str, name: str) -> Offer:
        """Return what an act would do now.

        Raises:
            InspectionFailure: it cannot be made; StoreError: no log of acts can be read.
        """
        with knowledge_of(self._policy) as known:
            return _offered(word, name, _proposed(known, word, name))

    def do(self, offer: Offer, span: str) -> Done | Offer:
        """Make the act that was shown; return it as it would be now if something changed since.

        Raises:
            InspectionFailure: it cannot be made any more, or the log cannot be written.
        """
        with knowledge_of(self._policy) as known:
            proposed = _proposed(known, offer.word, offer.name)
            if proposed.digest != offer.digest:
                return _offered(offer.word, offer.name, proposed, is_stale=True)
            there = known.deployment
            act = proposed.do(there, for_ns=proposal.span_ns(span), reason=REASON)
            outcome = confirmed(there, act, SHORTLY_S)
        lines = [Text(f"act {act.label}  ", "bold yellow") + Text(act_words(act)), Text()]
        for host in outcome.hosts:
            mark = Text("✔ ", "green") if host.has_applied else Text("✘ ", "bold red")
            said = (
                "applies it"
                if host.has_applied
                else "has not confirmed yet; `ratelimit show acts` shows when it does"
            )
            lines.append(mark + Text(f"{host.host} {said}, {formatting.count(host.workers, 'worker')}"))
        if outcome.is_away:
            lines.append(Text("The server does not answer: other hosts have it when it is back.", "yellow"))
        return Done(lines, "" if act.of.is_undo else act.label)


def _proposed(known: Knowledge, word: str, name: str) -> Proposal:
    if word == "stop":
        return proposal.stop(known, name)
    if word == "exempt":
        return proposal.exempt(known, name, "limits")
    if word == "clear":
        return proposal.of_accounts(known, "clear", [name])
    return proposal.undo(known, name)


def _offered(word: str, name: str, proposed: Proposal, *, is_stale: bool = False) -> Offer:
    preview = proposed.preview
    return Offer(word, name, proposed.digest, preview.does, preview.doubts, preview.hint, is_stale)


Failures = (InspectionFailure, StoreError)
"""Raised where there is no answer, or no act."""
