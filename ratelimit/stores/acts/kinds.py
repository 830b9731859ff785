"""Kinds of the operator's acts: a record for each, with its words, its place in the log and its effect.

Theory of operation. A record says all that any part knows of its kind while it is in force: the log, the
policy that acts amend, the journal, the list of acts, pages and commands go by the records, and name no kind.
`inspection.proposals` has how a person proposes one, and what it and its end would do.
A kind with an effect that no other kind has needs a word of `Effect` and its branch in
`clustering.amendment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Effect = Literal[
    "nothing",
    "allowed",
    "denied",
    "exempt",
    "together",
    "apart",
    "confirm",
    "clear",
    "organisations",
    "numbers",
    "more",
]
"""The part of a policy that an act in force adds to; `nothing` where all was done when it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActKind:
    """A kind of act, as those know it that keep, apply or show one."""

    kind: str
    """Its word in the log."""
    effect: Effect = "nothing"
    title: str
    """The heading of its preview on a page."""
    brief: str
    """What it does, in the journal. `{said}` is the act's own words, or else its name."""
    sentence: str = ""
    """The same in the list of acts, where that is longer. `{identity}` is the identity that it names."""
    command: str = ""
    """The command that makes it, if the command has this record's line."""
    line: str = ""
    """The line of that command in the list of commands."""
    ruling: str = ""
    """Its words at the top of `who` where it decides whatever limits have left; `{}` is the act's label."""
    is_done: bool = False
    """Whether it has changed a counter: it stays to be undone, takes no place of others, and has no end."""
    is_undo: bool = False
    regroups: bool = False
    """Whether the accounts of actors change when they are next found."""
    is_of_accounts: bool = False
    """Whether it rules on accounts as members of actors, and names nothing else."""
    is_of_actor: bool = False
    """Whether it is about all accounts of the actors whose accounts it names."""
    is_of_several: bool = False
    """Whether its hashes are of several identities, so that a line has its name alone."""

    @property
    def is_list(self) -> bool:
        """Whether it lists identities that no limit applies to, or that are refused."""
        return self.effect in ("allowed", "denied")

    @property
    def is_of_budget(self) -> bool:
        """Whether it changes what a customer has."""
        return self.effect in ("numbers", "more") or self.is_done

    @property
    def lapses(self) -> bool:
        """Whether its end is worth telling: it does not stay until it is used, nor is done at once."""
        return not (self.is_done or self.is_undo)


STOP = ActKind(
    kind="stop",
    effect="denied",
    title="Stop",
    brief="stopped",
    sentence="stopped, by {identity}: every request is refused",
    command="stop",
    line="Refuse every request of a caller, for a while.",
    ruling="Every request of it is refused while act {} is in force. Without it:",
)
EXEMPT = ActKind(
    kind="exempt",
    effect="exempt",
    title="Exempt from limits per actor",
    brief="exempt from limits per actor",
    sentence="exempt from limits per actor; all other limits hold",
    command="exempt",
    line="Let an account be, for a while.",
)
EXEMPT_LIMITS = ActKind(
    kind="exempt-limits",
    effect="allowed",
    title="Exempt from all limits",
    brief="exempt from all limits",
    sentence="exempt from all limits, by {identity}",
    ruling="No limit applies to it while act {} is in force. Without it:",
)
BUDGET = ActKind(
    kind="budget",
    effect="numbers",
    title="Set a budget",
    brief="{said}",
    sentence="budget of {identity}, {said}",
    command="budget",
    line="Change a customer's numbers, for a while.",
)
BUDGET_MORE = ActKind(
    kind="budget-more",
    effect="more",
    title="Add to a budget",
    brief="{said}",
    sentence="budget of {identity}, {said}",
)
BUDGET_BACK = ActKind(
    kind="budget-back",
    title="Give units back",
    brief="{said}",
    sentence="budget of {identity}, {said}",
    is_done=True,
)
CLEAR = ActKind(
    kind="clear",
    effect="clear",
    title="Clear",
    brief="actor cleared",
    sentence="its actor is cleared",
    command="clear",
    line="Clear the actor of an account.",
    is_of_accounts=True,
    is_of_actor=True,
)
CONFIRM = ActKind(
    kind="confirm",
    effect="confirm",
    title="Confirm",
    brief="actor confirmed",
    sentence="its actor is confirmed",
    command="confirm",
    line="Confirm the actor of an account.",
    is_of_accounts=True,
    is_of_actor=True,
)
MERGE = ActKind(
    kind="merge",
    effect="together",
    title="Merge",
    brief="one actor",
    command="merge",
    line="Say that accounts are one actor.",
    regroups=True,
    is_of_accounts=True,
)
SPLIT = ActKind(
    kind="split",
    effect="apart",
    title="Split",
    brief="not one actor",
    command="split",
    line="Say that accounts are not one actor.",
    regroups=True,
    is_of_accounts=True,
)
ORGANISATION = ActKind(
    kind="organisation",
    effect="organisations",
    title="Declare an organisation",
    brief="organisation {said}",
    command="declare",
    line="Declare what you know, for a while.",
    regroups=True,
    is_of_several=True,
)
UNDO = ActKind(
    kind="undo",
    title="Undo",
    brief="undo",
    sentence="act {said} is taken back",
    command="undo",
    line="Take an act back.",
    is_undo=True,
)

KINDS = (
    STOP,
    EXEMPT,
    EXEMPT_LIMITS,
    BUDGET,
    BUDGET_MORE,
    BUDGET_BACK,
    CLEAR,
    CONFIRM,
    MERGE,
    SPLIT,
    ORGANISATION,
    UNDO,
)
"""All of them, in the order in which commands list them."""
BY_KIND: Mapping[str, ActKind] = {each.kind: each for each in KINDS}
