"""The records of payers that a replay begins with."""

from __future__ import annotations

from pathlib import Path

from ratelimit.allowance.compile import allowance_of
from ratelimit.allowance.history import History, read_history
from ratelimit.cli.failure import INPUT, POLICY, USAGE, Failure
from ratelimit.cli.terminal import note
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.stores.factory import wish_of


def history_of(policy: Policy, given: str | None = None) -> History | None:
    """Return the history of a given file, or of the one that the policy names; None if there is none.

    Raises:
        Failure: it cannot be used.
    """
    if given is not None and not any(allowance_of(rule) is not None for rule in policy.compiled.rules):
        raise Failure(
            "--history: the policy has no limit with an allowance, so payers have no records",
            USAGE,
            hint="Write `budget = { per_usd = … }` into the limit of a payer, or leave --history out.",
        )
    named = policy.compiled.file.store.history if given is None else given
    if named is None:
        return None
    key = wish_of(policy, needs_key=False).key
    if key is None and given is not None:
        raise Failure(
            "--history: a history is bound to a hash key, and the policy has none",
            POLICY,
            hint="Write `[hashing]` with the `key` that the history was made with.",
        )
    if key is None:
        note(f"{named} is not read, as the hash key is not at hand: payers begin as new ones")
        return None
    try:
        return read_history(Path(named), key)
    except FileNotFoundError:
        note(f"{named} does not exist: payers begin as new ones")
        return None
    except StoreError as error:
        raise Failure(f"{error} [{error.code}]", INPUT) from error
