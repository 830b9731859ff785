"""Several identities that one limit counts together: looked up by the hash of their counter.

A host notes that hash alone. It is enough to read what the counter has left. The identities themselves are
known where the correlator has met them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

from ratelimit.algorithms import OF_UNITS
from ratelimit.core.clusters.reasons import reasons
from ratelimit.inspection.callers.knowledge import Knowledge, Left
from ratelimit.inspection.callers.naming import EVERYONE, Caller, accounts_shown
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.identities import short_hash
from ratelimit.policy.compile.compiled import LimitRule

MOST_TRIED = 10_000
"""Accounts of which it is tried whether they are part of it: a second, on a slow machine."""


def left_together(known: Knowledge, caller: Caller) -> list[Left]:
    """Return what the limit has left that counts several identities together.

    Of a limit whose number depends on the plan or the actor, those numbers of which something is used.

    Raises:
        InspectionFailure: a server keeps the limits and does not answer.
    """
    found = [_left(known, rule, caller.hash) for rule in _rules(known, caller)]
    return [each for each in found if not each.is_full] or found[:1]


def _rules(known: Knowledge, caller: Caller) -> list[LimitRule]:
    return [
        rule
        for rule in known.compiled.rules
        if rule.name == caller.limit and not rule.is_beside and rule.algorithm in OF_UNITS
    ]


def _left(known: Knowledge, rule: LimitRule, key: int) -> Left:
    one = replace(rule, per=(0,))  # the same counters, found by one number
    (left,) = known.left_of([one], known.row_of({0: known.core_of(one).identity_of(0, key)}))
    return replace(left, rule=rule)


def parts_of(known: Knowledge, caller: Caller) -> list[tuple[str, int]]:
    """Return the identities that are counted together, by name and hash; none where that is not known.

    An account is tried with what the correlator last saw it with. It is the account that screens show.
    """
    spec, rules = known.compiled.correlation, _rules(known, caller)
    if known.source is None or spec is None or len(spec.principal) != 1 or not rules:
        return []
    rule, identities = rules[0], known.compiled.identities
    kinds = {position: kind for kind, position in enumerate(spec.kinds) if position >= 0}
    if not all(position in kinds or position == spec.principal[0] for position in rule.per):
        return []
    core = known.core_of(rule)
    for account in islice(dict.fromkeys(accounts_shown(known)), MOST_TRIED):
        for row in _rows(known, rule, account, kinds):
            if core.key(0, known.row_of(row)) == caller.hash:
                return [(identities[position].name, row[position]) for position in rule.per]
    return []


def _rows(known: Knowledge, rule: LimitRule, account: int, kinds: dict[int, int]) -> Iterator[dict[int, int]]:
    assert known.source is not None
    seen = reasons(known.source.correlator.core, account)
    shared = () if seen is None else seen["shared"]
    # The lowest bit of some says what is declared of it: see `naming.forms_of`.
    values = [
        [form for one in shared if one["kind"] == kinds[position] for form in (one["hash"], one["hash"] ^ 1)]
        if position in kinds
        else [account]
        for position in rule.per
    ]
    for combined in product(*values):
        yield dict(zip(rule.per, combined, strict=True))


def one_identity(known: Knowledge, caller: Caller) -> Caller:
    """Return a caller that an act can name: one identity, an account or an actor.

    Raises:
        InspectionFailure: it is several identities that a limit counts together.
    """
    if caller.what != "together":
        return caller
    parts = parts_of(known, caller)
    words = (
        f"{short_hash(caller.hash)} is what `{caller.limit}` counts {caller.identity} by; an act names one"
    )
    if caller.identity == EVERYONE:
        words = f"{short_hash(caller.hash)} is the one counter that `{caller.limit}` has for all requests"
        raise InspectionFailure(words, "call", hint="Change the limit in the policy file.")
    names = " or ".join(f"{name}=hash:{hashed:016x}" for name, hashed in parts)
    hint = f"Write {names}." if names else "Write the one that is meant as the application does: NAME=VALUE."
    raise InspectionFailure(words, "call", hint=hint)
