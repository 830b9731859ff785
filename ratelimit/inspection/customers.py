"""Budgets of customers for a program, such as a billing job. The commands `ratelimit act budget` do the same.

Each call looks at the deployment of a policy on this host, or at its server, and waits for no worker. Calls
may take a second, so an event loop makes them in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from ratelimit.errors import StoreError, UsageError
from ratelimit.inspection.acting import act_named, do
from ratelimit.inspection.budgets import (
    Budget,
    Change,
    budgets_of,
    carried_out,
    change_of_all,
    change_of_more,
    change_of_number,
    taken_back,
)
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.knowledge import Knowledge, knowledge_of
from ratelimit.inspection.naming import Caller, resolve
from ratelimit.policy import Policy

_DAY_S: Final = 86_400
LONGEST_S: Final = 31 * _DAY_S
Changes = Callable[[Knowledge, Caller, Sequence[str]], Sequence[Change]]


class Budgets:
    """The budgets of a deployment's customers.

    An account is a value as the application writes it. Numbers are by the name of a limit, in its unit and
    period: `{"requests": 600}` or `{"requests": "600/minute"}`. Each change returns the names of its acts,
    which `undo` takes, and is in force on all hosts within two seconds.

    Args:
        policy: the policy, or the path of its file.
        identity: that accounts are of; by default `account`, or the principal of `[correlation]`.
    """

    def __init__(self, policy: Policy | str | os.PathLike[str], *, identity: str | None = None) -> None:
        self._policy = policy if isinstance(policy, Policy) else Policy.load(os.fspath(policy))
        self._identity = identity

    def show(self, account: str) -> list[Budget]:
        """Return what a customer has of each limit that counts by it alone.

        Raises:
            UsageError: no limit counts by it (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        with self._known() as known:
            return budgets_of(known, self._caller(known, account))

    def set(
        self,
        account: str,
        numbers: Mapping[str, int | float | str],
        *,
        for_s: float = _DAY_S,
        reason: str = "",
    ) -> list[str]:
        """Put numbers in place of a customer's, for so long.

        Raises:
            UsageError: a limit is not there, or cannot have the number (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        if not 0 < for_s <= LONGEST_S:
            raise UsageError(f"a number holds for 31 days at most, not {for_s} s", code="budget-call")
        return self._act(account, _written(numbers), change_of_number, round(for_s * 1e9), reason)

    def add(self, account: str, units: Mapping[str, int | float | str], *, reason: str = "") -> list[str]:
        """Add units to what a customer has until its window ends.

        Raises:
            UsageError: a limit is not there, or has no window (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        return self._act(account, _written(units), change_of_more, None, reason)

    def reset(self, account: str, limits: Sequence[str] = (), *, reason: str = "") -> list[str]:
        """Let a customer begin its windows anew: of these limits, or of all that count by it alone.

        Raises:
            UsageError: a limit is not there, or has no window, or nothing of it is used (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        return self._act(account, list(limits), change_of_all, None, reason)

    def undo(self, act: str, *, reason: str = "") -> None:
        """Take back an act.

        Raises:
            UsageError: no such act is in force (code `budget-call`).
            StoreError: the deployment is out of reach (code `budget-deployment`).
        """
        with self._known() as known:
            undone = act_named(known.deployment, act)
            taken_back(known, undone)
            do(known.deployment, "undo", undoes=undone, reason=reason[:200])

    def _act(
        self,
        account: str,
        written: Sequence[str],
        changes: Changes,
        for_ns: int | None,
        reason: str,
    ) -> list[str]:
        with self._known() as known:
            caller = self._caller(known, account)
            done = [carried_out(known, caller, change) for change in changes(known, caller, written)]
            return [
                do(
                    known.deployment,
                    change.kind,
                    accounts=caller.hashes,
                    identity=caller.identity,
                    numbers=change.numbers,
                    says=change.says,
                    for_ns=for_ns,
                    until_ns=change.until_ns,
                    reason=reason[:200],
                ).label
                for change in done
            ]

    def _caller(self, known: Knowledge, account: str) -> Caller:
        name = self._identity or known.account
        if name is None:
            raise UsageError("it is not clear which identity accounts are of", code="budget-call")
        return resolve(known, f"{name}={account}")

    @contextmanager
    def _known(self) -> Iterator[Knowledge]:
        try:
            with knowledge_of(self._policy) as known:
                yield known
        except InspectionFailure as failure:
            words = f"{failure}. {failure.hint}" if failure.hint else str(failure)
            if failure.cause == "deployment":
                raise StoreError(words, code="budget-deployment", transient=True) from failure
            raise UsageError(words, code="budget-call") from failure


def _written(numbers: Mapping[str, int | float | str]) -> list[str]:
    return [f"{name}={number}" for name, number in numbers.items()]
