"""Additions of the operator's acts to a policy: two lists, and declarations about accounts."""

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
    denied: tuple[tuple[int, int], ...]
    """Identities that every request is refused for: positions and hashes. The allowed go first."""
    declared: Declared
    """The knowledge of accounts beside the policy."""

    @property
    def positions(self) -> set[int]:
        """The identities that its lists look at."""
        return {position for position, _ in (*self.allowed, *self.denied)}


NO_AMENDMENT = Amendment((), (), (), Declared())


def amendment_of(compiled: CompiledPolicy, acts: Sequence[Act]) -> Amendment:
    """Return what acts in force mean for a policy; an identity that it lacks means nothing."""
    positions = {spec.name: spec.index for spec in compiled.identities}
    allowed: list[tuple[int, int]] = []
    denied: list[tuple[int, int]] = []
    exempt: list[int] = []
    together: list[tuple[int, ...]] = []
    apart: list[tuple[int, ...]] = []
    by_account: dict[int, str] = {}
    organisations: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for act in acts:
        accounts = tuple(act.accounts)
        if act.kind in ("exempt-limits", "stop"):
            if act.identity in positions:
                listed = allowed if act.kind == "exempt-limits" else denied
                listed += [(positions[act.identity], account) for account in accounts]
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
    return Amendment(tuple(acts), tuple(allowed), tuple(denied), declared)
