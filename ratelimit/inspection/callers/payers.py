"""The payer of an account: a limit per payment method is one budget of all accounts that pay by it."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.clustering.declarations import PAYMENT_KIND
from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import Caller
from ratelimit.inspection.failure import InspectionFailure


def parted(known: Knowledge, caller: Caller, written: Sequence[str]) -> list[tuple[Caller, list[str]]]:
    """Return the parts of a call for a customer: those for the customer, and those for its payer.

    Args:
        known: the knowledge of callers on this host.
        caller: the customer.
        written: `LIMIT=NUMBER` or `LIMIT`; nothing for all limits.

    Raises:
        InspectionFailure: a limit counts by the payer, and it is not known which one that is.
    """
    shared = _limits_of_payers(known, caller)
    if not written and shared and not _counts(known, caller):
        return [(_payer(known, caller, shared[0]), [])]
    of_payer = [each for each in written if (each.rpartition("=")[0] or each) in shared]
    own = [each for each in written if each not in of_payer]
    if not of_payer:
        return [(caller, own)]
    # First the one that a person may be asked about: without an answer nothing is done.
    payer = _payer(known, caller, of_payer[0].rpartition("=")[0] or of_payer[0])
    return [(payer, of_payer), *([(caller, own)] if own else [])]


def payers_of(known: Knowledge, caller: Caller) -> list[Caller]:
    """Return the payment methods that an account was lately seen with, the latest first."""
    spec = known.compiled.correlation
    if caller.what != "account" or spec is None or spec.kinds[PAYMENT_KIND] < 0 or known.source is None:
        return []
    name = known.compiled.identities[spec.kinds[PAYMENT_KIND]].name
    explanation = known.source.correlator.explain(caller.hash)
    shared = () if explanation is None else explanation.shared
    return [
        Caller("", "identity", name, (one.hash,), is_known=True)
        for one in sorted(shared, key=lambda one: -one.last_ns)
        if one.kind == PAYMENT_KIND
    ]


def counts_words(known: Knowledge, payer: Caller) -> str:
    """Return that a budget is a payer's, and how many accounts share it."""
    accounts = known.accounts_with(payer.hash)
    share = f"{accounts:,} accounts share" if accounts > 1 else "one account has"
    return f"counts for {payer.label}, which {share}"


def touched_words(known: Knowledge, caller: Caller, payer: Caller) -> str:
    """Return how many other accounts a change touches, beside the named one; empty for none."""
    others = known.accounts_with(payer.hash) - 1
    if others < 1:
        return ""
    return f"it changes {formatting.count(others, 'other account')} beside {caller.label}"


def _limits_of_payers(known: Knowledge, caller: Caller) -> list[str]:
    """Return the limits that count by payment methods alone, and in which the caller has no number."""
    spec = known.compiled.correlation
    if caller.what != "account" or spec is None or spec.kinds[PAYMENT_KIND] < 0:
        return []
    own = _position(known, caller)
    return [
        rule.name
        for rule in known.compiled.rules
        if rule.per == (spec.kinds[PAYMENT_KIND],)
        and not rule.is_beside
        and rule.tier is None
        and own not in known.compiled.said_by(rule)
    ]


def _counts(known: Knowledge, caller: Caller) -> bool:
    """Return whether a limit counts by a caller alone."""
    own = _position(known, caller)
    return any(rule.per == (own,) and not rule.is_beside for rule in known.compiled.rules)


def _position(known: Knowledge, caller: Caller) -> int:
    positions = {spec.name: spec.index for spec in known.compiled.identities}
    return positions.get(caller.identity, -1)


def _payer(known: Knowledge, caller: Caller, limit: str) -> Caller:
    spec = known.compiled.correlation
    assert spec is not None  # a limit counts by its payment methods
    name = known.compiled.identities[spec.kinds[PAYMENT_KIND]].name
    found = payers_of(known, caller)
    if len(found) == 1:
        return found[0]
    words = f"`{limit}` counts by {name}, and which one {caller.label} pays by is not known"
    words += f": {known.trouble}" if known.trouble else ""
    hint = f"Name it: {name}=VALUE."
    if found:
        words = f"`{limit}` counts by {name}, and {caller.label} was lately seen with {len(found)}"
        hint = f"Write which is meant: {', '.join(f'{name}=hash:{each.hash:016x}' for each in found)}."
    raise InspectionFailure(words, "input", hint=hint)
