"""Budgets of customers for a program, such as a billing job. The commands `ratelimit act budget` do the same.

Each call looks at the deployment of a policy on this host, or at its server, and waits for no worker. Calls
may take a second, so an event loop makes them in a thread.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from ratelimit.errors import StoreError, UsageError
from ratelimit.inspection.access.current_policy import policy_in_force
from ratelimit.inspection.acts.acting import known_acts
from ratelimit.inspection.callers.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.callers.naming import Caller, named
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.budgets import Budget, budgets_of
from ratelimit.policy import Policy
from ratelimit.stores.acts.act import Act, made_before

_DAY_S: Final = 86_400
LONGEST_S: Final = 31 * _DAY_S
LONGEST_ONCE = 255
Word = Literal["set", "add", "reset"]


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of a customer's budgets: the act, and what it does.

    Args:
        act: the act; None where the change was only shown.
        does: what it does, and
        doubts: why it may not be meant, in words. Both are empty of one that was made before.
        is_repeated: whether the same call made it before.
    """

    act: Act | None
    does: Sequence[str] = ()
    doubts: Sequence[str] = ()
    is_repeated: bool = False


class Budgets:
    """The budgets of a deployment's customers.

    An account is a value as the application writes it, or `hash:` and a hash as screens show it. Numbers are
    by the name of a limit, in its unit and period: `{"requests": 600}` or `{"requests": "600/minute"}`. Each
    change returns the names of its acts, which `undo` takes, and is in force on all hosts within two seconds.

    A call that may be repeated, as from a queue or a webhook, has a name of its own: `once="invoice 4711"`.
    Then it is done once, whatever host repeats it, and returns the same acts while these are among the last
    512. While the server is away it is refused.

    Args:
        policy: the policy, or the path of its file; the file is read again for each call.
        identity: that accounts are of; by default `account`, or the principal of `[correlation]`.
    """

    def __init__(self, policy: Policy | str | os.PathLike[str], *, identity: str | None = None) -> None:
        self._source = policy if isinstance(policy, Policy) else os.fspath(policy)
        self._identity = identity
        self._policy()

    def _policy(self) -> Policy:
        source = self._source
        return source if isinstance(source, Policy) else policy_in_force(source)[0]

    def show(self, account: str) -> list[Budget]:
        """Return what a customer has of each limit that counts by it alone.

        Raises:
            UsageError: no limit counts by it (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        with self.known() as known:
            return budgets_of(known, named(known, account, self._identity))

    def set(
        self,
        account: str,
        numbers: Mapping[str, int | float | str],
        *,
        for_s: float = _DAY_S,
        reason: str = "",
        by: str | None = None,
        once: str = "",
    ) -> list[str]:
        """Put numbers in place of a customer's, for so long.

        Raises:
            UsageError: a limit is not there, or cannot have the number (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        if not 0 < for_s <= LONGEST_S:
            raise UsageError(f"a number holds for 31 days at most, not {for_s} s", code="budget-call")
        for_ns, asked = round(for_s * 1e9), written(numbers)
        return _labels(self.change("set", account, asked, for_ns=for_ns, reason=reason, by=by, once=once))

    def add(
        self,
        account: str,
        units: Mapping[str, int | float | str],
        *,
        reason: str = "",
        by: str | None = None,
        once: str = "",
    ) -> list[str]:
        """Add units to what a customer has until its window ends.

        Raises:
            UsageError: a limit is not there, or has no window (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        return _labels(self.change("add", account, written(units), reason=reason, by=by, once=once))

    def reset(
        self,
        account: str,
        limits: Sequence[str] = (),
        *,
        reason: str = "",
        by: str | None = None,
        once: str = "",
    ) -> list[str]:
        """Let a customer begin its windows anew: of these limits, or of all that count by it alone.

        Raises:
            UsageError: a limit is not there, or has no window, or nothing of it is used (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        return _labels(self.change("reset", account, list(limits), reason=reason, by=by, once=once))

    def undo(self, act: str, *, reason: str = "", by: str | None = None) -> None:
        """Take back an act.

        Raises:
            UsageError: no such act is in force (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        with self.known() as known:
            proposal.undo(known, act).do(known.deployment, for_ns=None, reason=reason, by=by)

    def change(
        self,
        word: Word,
        account: str,
        asked: Sequence[str],
        *,
        identity: str | None = None,
        for_ns: int | None = None,
        reason: str = "",
        by: str | None = None,
        once: str = "",
        is_dry: bool = False,
    ) -> list[Changed]:
        """Change what a customer has, and return the acts: those of `set`, `add` and `reset`.

        Args:
            word: what is done.
            account: the customer.
            asked: `LIMIT=NUMBER`; of `reset` names of limits.
            identity: that the account is of, in place of what `Budgets` was made with.
            for_ns: of `set`, how long it holds.
            reason, by: why, and who does it; they are listed with the act.
            once: the name of a call that may be repeated; empty for none.
            is_dry: show what it would do, and do nothing.

        Raises:
            UsageError: it cannot be (code `budget-call`), or another call had this name (`budget-once`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        _check_name(once)
        with self.known() as known:
            caller = named(known, account, identity or self._identity)
            if is_dry:
                return [
                    Changed(None, one.preview.does, one.preview.doubts)
                    for one in proposal.budgets_of_caller(known, word, caller, asked)
                ]
            return change_once(known, word, caller, asked, for_ns=for_ns, reason=reason, by=by, once=once)

    @contextmanager
    def known(self) -> Iterator[Knowledge]:
        """Look at the deployment; errors are those of the other methods.

        Raises:
            UsageError: code `budget-call`.
            StoreError: code `budget-deployment`.
        """
        try:
            with knowledge_of(self._policy()) as known:
                yield known
        except InspectionFailure as failure:
            words = f"{failure}. {failure.hint}" if failure.hint else str(failure)
            if failure.cause == "deployment":
                raise StoreError(words, code="budget-deployment", transient=True) from failure
            raise UsageError(words, code="budget-call") from failure


def change_once(
    known: Knowledge,
    word: Word,
    caller: Caller,
    asked: Sequence[str],
    *,
    for_ns: int | None,
    reason: str,
    by: str | None,
    once: str,
) -> list[Changed]:
    """Change what a customer has, once for a call of a name; the arguments are those of `Budgets.change`.

    Raises:
        UsageError: another call had this name (code `budget-once`).
        InspectionFailure: it cannot be, or the deployment is out of reach.
    """
    if not once:
        return _done(known, word, caller, asked, for_ns, reason, by)
    if (before := made_once(known, word, caller, asked, for_ns, once)) is not None:
        return before
    with known.deployment.claimed(_digest(known, once)):
        if (before := made_once(known, word, caller, asked, for_ns, once)) is not None:
            return before
        whole = _whole(known, word, caller, asked, for_ns, once)
        return _done(known, word, caller, asked, for_ns, reason, by, whole)


def made_once(
    known: Knowledge, word: Word, caller: Caller, asked: Sequence[str], for_ns: int | None, once: str
) -> list[Changed] | None:
    """Return what a call of this name has made before; None where it has not, or not all of it.

    Raises:
        UsageError: the name is too long, or it was another call (code `budget-once`).
    """
    _check_name(once)
    return _made(known, _digest(known, once), _whole(known, word, caller, asked, for_ns, once))


def _check_name(once: str) -> None:
    if len(once) > LONGEST_ONCE:
        raise UsageError(f"the name of a call has {LONGEST_ONCE} characters at most", code="budget-once")


def _whole(
    known: Knowledge, word: Word, caller: Caller, asked: Sequence[str], for_ns: int | None, once: str
) -> str:
    own = _digest(known, word, caller.identity, *caller.hashes, *sorted(asked), for_ns)
    return f"{_digest(known, once)}-{own}"


def _done(
    known: Knowledge,
    word: Word,
    caller: Caller,
    asked: Sequence[str],
    for_ns: int | None,
    reason: str,
    by: str | None,
    once: str = "",
) -> list[Changed]:
    found, proposed = [], proposal.budgets_of_caller(known, word, caller, asked)
    for one in proposed:
        # A call that ended half-way goes on where it was.
        name = _digest(known, one.kind, *sorted(one.numbers))[:8]
        part = f"{once}-{name}/{len(proposed)}" if once else ""
        act = made_before(known_acts(known.deployment), part)
        if act is None:
            act = one.do(known.deployment, for_ns=for_ns, reason=reason, by=by, once=part)
        found.append(Changed(act, one.preview.does, one.preview.doubts))
    return found


def _made(known: Knowledge, call: str, whole: str) -> list[Changed] | None:
    """Return what a call has made before; None where it has not, or not all of it.

    Raises:
        UsageError: it was another call (code `budget-once`).
    """
    made = [act for act in known_acts(known.deployment) if act.once.startswith(f"{call}-")]
    if any(not act.once.startswith(f"{whole}-") for act in made):
        raise UsageError("another call had this name", code="budget-once")
    is_whole = bool(made) and len(made) >= int(made[0].once.rpartition("/")[2])
    return [Changed(act, is_repeated=True) for act in made] if is_whole else None


def _digest(known: Knowledge, *words: object) -> str:
    """Return a keyed hash, from which nobody guesses an account or an invoice."""
    key = known.bound.store.hasher.key
    return hashlib.blake2b(repr(words).encode(), digest_size=10, key=key).hexdigest()


def _labels(changes: Sequence[Changed]) -> list[str]:
    return [each.act.label for each in changes if each.act is not None]


def written(numbers: Mapping[str, int | float | str]) -> list[str]:
    """Return numbers as a person types them."""
    return [f"{name}={number}" for name, number in numbers.items()]
