"""Additions of the operator's acts to a policy: an allow list, and declarations about accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.clustering.declarations import Declared
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.acts.act import Act


@dataclass(frozen=True, slots=True)
class Amendment:
    """The acts in force, in the form that a policy is bound with."""

    acts: tuple[Act, ...]
    allowed: tuple[tuple[int, int], ...]
    """Identities that no limit applies to: positions and hashes."""
    declared: Declared
    """The knowledge of accounts beside the policy."""


NO_AMENDMENT = Amendment((), (), Declared())


def amendment_of(compiled: CompiledPolicy, acts: Sequence[Act]) -> Amendment:
    """Return what acts in force mean for a policy; an identity that it lacks means nothing."""
    positions = {spec.name: spec.index for spec in compiled.identities}
    allowed: list[tuple[int, int]] = []
    exempt: list[int] = []
    together: list[tuple[int, ...]] = []
    apart: list[tuple[int, ...]] = []
    by_account: dict[int, str] = {}
    organisations: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for act in acts:
        accounts = tuple(act.accounts)
        if act.kind == "exempt-limits":
            if act.identity in positions:
                allowed += [(positions[act.identity], account) for account in accounts]
        elif act.kind == "exempt":
            exempt += accounts
        elif act.kind == "merge":
            together.append(accounts)
        elif act.kind == "split":
            apart.append(accounts)
        elif act.kind == "organisation":
            organisations.append((accounts, tuple(act.payments)))
        else:  # the last word counts
            by_account.update(dict.fromkeys(accounts, act.kind))
    declared = Declared(
        tuple(exempt),
        tuple(together),
        tuple(apart),
        tuple(key for key, said in by_account.items() if said == "confirm"),
        tuple(key for key, said in by_account.items() if said == "clear"),
        tuple(organisations),
    )
    return Amendment(tuple(acts), tuple(allowed), declared)
