"""An act that a person proposes: whom it names, what it would do, and all that `do` needs to do it.

One way for the command line and the console.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from ratelimit.inspection import formatting
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.acts.acting import act_named, do
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.left_actors import actors_said
from ratelimit.inspection.callers.naming import Caller, payment_identity, resolve, resolved_network
from ratelimit.inspection.callers.together import one_identity
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.proposals.binding import still_binding
from ratelimit.inspection.proposals.budgets import (
    Change,
    carried_out,
    change_of_all,
    change_of_more,
    change_of_number,
    check_answer,
    taken_back,
)
from ratelimit.inspection.proposals.preview import (
    Preview,
    accounts_of,
    of_clear,
    of_confirm,
    of_exempt,
    of_exempt_limits,
    of_merge,
    of_organisation,
    of_split,
    of_stop,
    of_undo,
)
from ratelimit.policy.schema.duration import parse_duration
from ratelimit.stores.acts.act import MOST_ACCOUNTS, MOST_NUMBERS, Act
from ratelimit.stores.acts.kinds import BY_KIND

LONGEST_NS = 31 * 86_400 * 10**9


@dataclass(frozen=True)
class Proposal:
    """An act, and what it would do now."""

    kind: str
    preview: Preview
    accounts: Sequence[int] = ()
    identity: str = ""
    payments: Sequence[int] = ()
    networks: Sequence[int] = ()
    name: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)
    says: str = ""
    until_ns: int | None = None
    """When it ends, if that does not depend on when it is made,"""
    lasts_ns: int | None = None
    """or how long it holds, if it does; without both whoever makes it says."""
    undoes: Act | None = None
    before: Callable[[str], Mapping[str, Any] | None] = lambda once: {}
    """Does what comes before the act in the log, for a call of a name, and may return more of the act."""
    beside: Sequence[str] = field(default_factory=list)
    """The acts in force that it was made beside, by their labels."""

    @property
    def ends(self) -> bool:
        """Whether it is known when it ends, so that nobody is asked."""
        return self.undoes is not None or self.until_ns is not None or self.lasts_ns is not None

    def ends_at(self, now_ns: int, for_ns: int | None) -> int | None:
        """Return when it ends that is made now; None where what it does stays, or takes another act back."""
        if not BY_KIND[self.kind].lapses:
            return None
        lasts_ns = self.lasts_ns or for_ns
        return now_ns + lasts_ns if self.until_ns is None and lasts_ns else self.until_ns

    @property
    def digest(self) -> str:
        """What a person agreed to: it changes with the accounts named, the doubts, and the acts in force."""
        said = (
            self.kind,
            [*self.accounts],
            self.identity,
            [*self.payments],
            [*self.networks],
            self.name,
            sorted(self.numbers.items()),
            self.until_ns,
            self.lasts_ns,
            None if self.undoes is None else self.undoes.label,
            self.preview.doubts,
            [*self.beside],
        )
        return hashlib.blake2b(repr(said).encode(), digest_size=16).hexdigest()

    def do(
        self, there: Deployment, *, for_ns: int | None, reason: str, by: str | None = None, once: str = ""
    ) -> Act:
        """Do it, and return it; errors are those of `acting.do`."""
        said = {"numbers": self.numbers, "says": self.says} | dict(self.before(once) or {})
        return do(
            there,
            self.kind,
            accounts=self.accounts,
            identity=self.identity,
            payments=self.payments,
            networks=self.networks,
            name=self.name,
            undoes=self.undoes,
            until_ns=self.until_ns,
            for_ns=None if self.undoes is not None else self.lasts_ns or for_ns,
            reason=reason[:200],
            by=by,
            once=once,
            **said,
        )


def exempt(known: Knowledge, account: str, what: str | None = None, identity: str | None = None) -> Proposal:
    """Propose to exempt an account from limits per cluster, or a caller from all limits.

    Args:
        known: what is known here.
        account: as typed.
        what: `actors` or `limits`; None for the first where the policy correlates.
        identity: the identity that it is of, if the person says so.

    Raises:
        InspectionFailure: it cannot be exempted so.
    """
    if what is None:
        what = "limits" if known.compiled.correlation is None else "actors"
    caller = one_identity(known, resolve(known, account, identity))
    if what == "limits" and caller.what != "actor" and "," not in caller.identity:
        preview = of_exempt_limits(known, caller)
        return _proposal(known, "exempt-limits", preview, caller.hashes, identity=caller.identity)
    accounts = accounts_of(known, "exempt", [caller])
    if what == "limits":
        raise InspectionFailure(f"`{account}` is several identities; `--from limits` takes one", "call")
    preview = of_exempt(known, caller)
    clustered = {rule.name for rule in known.compiled.rules if rule.is_clustered}
    preview.does.extend(still_binding(known, caller, clustered))
    actor, _ = known.membership(caller.hash)
    return _proposal(known, "exempt", preview, accounts, says=actors_said([] if actor is None else [actor]))


def stop(known: Knowledge, caller: str, identity: str | None = None) -> Proposal:
    """Propose to refuse every request of a caller.

    Raises:
        InspectionFailure: it cannot be stopped.
    """
    stopped = one_identity(known, resolve(known, caller, identity))
    hashes, name = list(stopped.hashes), stopped.identity
    if stopped.what == "actor":
        hashes, name = accounts_of(known, "stop", [stopped]), known.account or ""
    if name not in {spec.name for spec in known.compiled.identities}:
        raise InspectionFailure(
            "an account of several identities cannot be stopped; stop one of them", "call"
        )
    return _proposal(known, "stop", of_stop(known, stopped, hashes), hashes, identity=name)


OF_ACCOUNTS: Mapping[str, tuple[int, Callable[[Knowledge, Sequence[Caller]], Preview]]] = {
    "merge": (2, of_merge),
    "split": (2, of_split),
    "confirm": (1, of_confirm),
    "clear": (1, of_clear),
}
"""The acts that name accounts and nothing else: how many they take at least, and their previews."""


def of_accounts(known: Knowledge, kind: str, accounts: Sequence[str]) -> Proposal:
    """Propose an act that names accounts and nothing else: merge, split, confirm or clear.

    Raises:
        InspectionFailure: they are too few or too many, or the act cannot name them.
    """
    least, preview = OF_ACCOUNTS[kind]
    if len(accounts) < least:
        raise InspectionFailure(f"`{kind}` takes at least {formatting.count(least, 'account')}", "call")
    if len(accounts) > MOST_ACCOUNTS:
        raise InspectionFailure(f"{len(accounts)} accounts; one act has {MOST_ACCOUNTS} at most", "call")
    if known.compiled.correlation is None:
        raise InspectionFailure("the policy has no correlation, so there are no actors", "call")
    callers = [one_identity(known, resolve(known, each)) for each in accounts]
    keys = accounts_of(known, kind, callers)
    if len(keys) < least:
        raise InspectionFailure(f"`{kind}` takes at least {least} different accounts", "call")
    says = ""
    if kind == "clear":
        within = (each.hash if each.what == "actor" else known.membership(each.hash)[0] for each in callers)
        says = actors_said(dict.fromkeys(each for each in within if each is not None))
    return _proposal(known, kind, preview(known, callers), keys, says=says)


def organisation(
    known: Knowledge,
    name: str,
    payments: Sequence[str],
    accounts: Sequence[str] = (),
    networks: Sequence[str] = (),
) -> Proposal:
    """Propose to declare an organisation, by what its members share.

    Raises:
        InspectionFailure: there is nothing that they share, or one of them cannot be declared so.
    """
    if not name.strip():
        raise InspectionFailure("an organisation needs a name, for the list of acts", "call")
    if not payments and not networks:
        words = "an organisation needs what its members share: --payment VALUE or --network VALUE"
        raise InspectionFailure(words, "call")
    methods = [resolve(known, each, payment_identity(known)) for each in payments]
    places = [resolved_network(known, each) for each in networks]
    members = [one_identity(known, resolve(known, each)) for each in accounts]
    return _proposal(
        known,
        "organisation",
        of_organisation(known, name, methods, members, places),
        accounts_of(known, "organisation", members),
        payments=[one for each in methods for one in each.hashes[:1]],
        networks=[one for each in places for one in each.hashes[:1]],
        name=name[:64],
    )


BUDGETS: Mapping[str, Callable[[Knowledge, Caller, Sequence[str]], Sequence[Change]]] = {
    "set": change_of_number,
    "add": change_of_more,
    "reset": change_of_all,
}
"""The changes of a customer's budgets, by the word for each."""


def budgets(
    known: Knowledge, word: str, account: str, written: Sequence[str], identity: str | None = None
) -> list[Proposal]:
    """Propose to change what a customer has, an act for all numbers that end together.

    Args:
        known: what is known here.
        word: one of `BUDGETS`.
        account: as typed.
        written: `LIMIT=NUMBER`; for `reset` names of limits, or nothing for all.
        identity: the identity that it is of, if the person says so.

    Raises:
        InspectionFailure: a limit is not there or cannot have it, or it is no number.
    """
    caller = one_identity(known, resolve(known, account, identity))
    made = budgets_of_caller(known, word, caller, written)
    if made:
        changed = {name for each in made for name in each.numbers}
        numbers = dict(chain.from_iterable(each.numbers.items() for each in made if each.kind == "budget"))
        made[-1].preview.does.extend(still_binding(known, caller, changed, numbers))
    return made


def budgets_of_caller(known: Knowledge, word: str, caller: Caller, written: Sequence[str]) -> list[Proposal]:
    """Propose the same for a caller that is known already; errors are those of `budgets`."""
    if len(written) > MOST_NUMBERS:
        raise InspectionFailure(f"{len(written)} limits; one act has {MOST_NUMBERS} at most", "call")
    return [
        _proposal(
            known,
            each.kind,
            each.preview,
            caller.hashes,
            identity=caller.identity,
            numbers=each.numbers,
            name=each.tier,
            says=each.says,
            until_ns=each.until_ns,
            lasts_ns=each.lasts_ns,
            before=partial(_carried_out, known, caller, each),
        )
        for each in BUDGETS[word](known, caller, written)
    ]


def _carried_out(known: Knowledge, caller: Caller, change: Change, once: str) -> Mapping[str, Any]:
    done = carried_out(known, caller, change, once)
    return {"numbers": done.numbers, "says": done.says, "after": done.after}


def undo(known: Knowledge, label: str) -> Proposal:
    """Propose to take an act back.

    Raises:
        InspectionFailure: no such act is in force.
    """
    act = act_named(known.deployment, label)
    if act.of.is_done:
        check_answer(known)

    def before(once: str) -> None:
        taken_back(known, act)

    return _proposal(known, "undo", of_undo(known, act), undoes=act, says=act.label, before=before)


def span_ns(written: str) -> int:
    """Return for how long an act is to hold.

    Raises:
        InspectionFailure: it is no time, has no unit, or is too long.
    """
    number = written.strip()
    if number.replace(".", "", 1).isdecimal():
        raise InspectionFailure(f"`{number}` has no unit; write {number}m, {number}h or {number}d", "call")
    try:
        found = parse_duration(written)
    except ValueError as error:
        raise InspectionFailure(f"{error}; write it like 2h, 30m or 7d", "call") from error
    if not 0 < found <= LONGEST_NS:
        raise InspectionFailure("31d is the longest; for good, write it into the policy file", "call")
    return found


def _proposal(
    known: Knowledge, kind: str, preview: Preview, accounts: Sequence[int] = (), **more: Any
) -> Proposal:
    return Proposal(kind, preview, accounts, beside=[each.label for each in known.acts], **more)
