"""Evidence in, clusters out: what the limiter, a replay and the command line talk to."""

from __future__ import annotations

from collections.abc import Iterator
from math import pow

from ratelimit.core.evidence import Evidence
from ratelimit.core.judge import Judge
from ratelimit.core.known import strike
from ratelimit.core.organisations import Organisations
from ratelimit.core.rulings import Rulings
from ratelimit.core.sighting import Columns
from ratelimit.correlation.explanation import Explanation, Ruling, explain
from ratelimit.correlation.judgement import Judgement, Profile
from ratelimit.correlation.rebuild import Rebuild
from ratelimit.correlation.selfcheck import SelfCheck, steps_after, stricter
from ratelimit.correlation.settings import DAY_S, Settings

NS = 1_000_000_000
MOST_LABELS = 4096
SUSPECTS_LEAST = 1 / 512
"""Newcomers who pay as several do, as a part of all principals, for a rebuild of their own."""
SETTLED_PATIENCE = 4
"""So many times more has to be new for a rebuild once all clusters have stood for a day."""


class Correlator:
    """Judges who is one actor.

    Args:
        settings: the numbers.
        now_ns: when it starts.
        columns: where rows of identities have what it looks at.
    """

    def __init__(self, settings: Settings, now_ns: int, columns: Columns) -> None:
        self.settings = settings
        s = settings
        self.evidence = Evidence(
            principals=s.principals,
            identifiers=s.identifiers,
            now_s=now_ns // NS,
            half_lives_s=(
                s.network_half_life_s,
                s.network_half_life_s,
                s.payment_half_life_s,
                s.client_half_life_s,
                *(s.extra_half_life_s,) * 3,
                s.network_half_life_s,
            ),
            extras=columns.extras,
        )
        self.core = Judge(
            self.evidence,
            columns,
            clusters=s.clusters,
            settings={
                "network_cap": s.network_cap,
                "network_each": s.network_each,
                "infrastructure": s.infrastructure,
                "payment_cap": s.payment_cap,
                "client_cap": s.client_cap,
                "behaviour_cap": s.behaviour_cap,
                "length_cap": s.length_cap,
                "insistence_cap": s.insistence_cap,
                "unlike": s.unlike,
                "extra_cap": s.extra_cap,
                "prior_cap": s.prior_cap,
                "join": s.join,
                "stay": s.stay,
                "paid": s.join_paid,
                "share": s.suspect_share,
                "support": s.least_support,
                "sharing": s.suspect_sharing,
            },
        )
        self.observe = self.core.observe
        self.cluster = self.core.cluster
        self.kept: dict[int, tuple[Profile, Judgement]] = {}
        self.identities: dict[int, int] = {}
        """What limits count each cluster by."""
        self.carries: list[tuple[int, int]] = []
        """Pairs of what limits count by: what was used under the first is to be charged to the second.

        Whoever holds the limits' state takes them after a rebuild, in this order, and clears the list.
        """
        self.parts: dict[int, int] = {}
        """Into how many budgets each cluster's members are divided."""
        self._heirs: list[tuple[int, int]] = []
        self.rebuilds = 0
        self._rebuilt_ns = now_ns
        self._edges_then = 0
        self._suspects_then = 0
        self._is_growing = False
        self._rulings: Rulings | None = None
        self._organisations: Organisations | None = None
        self._is_told = False
        self.false_merge_rate = 0.0
        """Part of the principals outside clusters that chance alone would put into groups worth judging.

        An upper bound of false merges, as the last self-check found it.
        """
        self.strictness = 0.0
        """By how many steps groups are looked for more strictly than the settings say."""

    def know(self, rulings: Rulings | None, organisations: Organisations | None = None) -> None:
        """Go by what the operator says; the next rebuild is due at once.

        May be called again at any time: clusters that were declared and still are go on.
        """
        if rulings is not None and self._rulings is not None:
            for label in range(1, self.core.most_clusters + 1):
                rulings.seal(label, self._rulings.is_sealed(label))
        self._rulings = rulings
        self._organisations = organisations
        self._is_told = True
        self.core.rule(rulings)
        self._decree()

    def _decree(self) -> None:
        """Find the actors of those whom the operator names."""
        rulings = self._rulings
        if rulings is not None:
            label_of = self.core.label_of
            rulings.decree(set(map(label_of, rulings.confirm)), set(map(label_of, rulings.clear)))

    def is_due(self, now_ns: int) -> bool:
        """Return whether enough has changed, or enough time passed, for a rebuild."""
        if self._is_told:
            return True
        passed_s = (now_ns - self._rebuilt_ns) // NS
        if passed_s < self.settings.rebuild_least_s:
            return False
        fresh = self.evidence.new_edges - self._edges_then
        if fresh == 0:
            return False
        return (
            passed_s >= self.settings.rebuild_most_s
            or (self._is_growing and passed_s >= self.settings.rebuild_growing_s)
            or (passed_s >= self.settings.rebuild_growing_s and self._are_suspects_met())
            or fresh >= self._patience(now_ns) * self.settings.rebuild_change * 4 * self.evidence.awake_count
        )

    def _are_suspects_met(self) -> bool:
        # Each may belong to a campaign that begins; what matters is how many beside those known.
        members = sum(profile["size"] for profile, _ in self.kept.values())
        least = max(
            self.settings.least_members,
            members * self.settings.rebuild_change,
            self.evidence.awake_count * SUSPECTS_LEAST,
        )
        return self.core.suspects_met - self._suspects_then >= least

    def _patience(self, now_ns: int) -> int:
        # Clusters that have stood for a day win newcomers between rebuilds; before, each rebuild wins many.
        opened_s = max((profile["first_s"] for profile, _ in self.kept.values()), default=None)
        if opened_s is None or self._is_growing or now_ns // NS - opened_s < DAY_S:
            return 1
        return SETTLED_PATIENCE

    def rebuild(self, now_ns: int) -> Iterator[None]:
        """Yield between the slices of one rebuild."""
        self._rebuilt_ns = now_ns
        self._edges_then = self.evidence.new_edges
        self._suspects_then = self.core.suspects_met
        self.rebuilds += 1
        if self._is_told and self._organisations is not None:
            yield from self._strike(self._organisations)
        self._is_told = False
        seeding = stricter(self.settings, self.strictness)
        rebuild = Rebuild(
            self.core, self.settings, self.kept, self._name, self._descend, self._rulings, seeding
        )
        yield from rebuild
        self._decree()
        self._is_growing = rebuild.is_growing
        for label, heir in self._heirs:
            if heir in self.kept:
                self.carries += [
                    (
                        part_of(self.identities[label], part),
                        part_of(self.identities[heir], part % self.parts[heir]),
                    )
                    for part in range(self.parts[label])
                ]
        self._heirs.clear()
        for label in self.kept.keys() - set(self.core.live()):
            del self.kept[label], self.identities[label], self.parts[label]
        if self.settings.null_every and self.rebuilds % self.settings.null_every == 0:
            yield from self._check(seeding)

    def _check(self, seeding: Settings) -> Iterator[None]:
        check = SelfCheck(self.core, seeding, self._rebuilt_ns)
        yield from check
        self.false_merge_rate = check.rate
        self.strictness = steps_after(self.strictness, check.rate, self.settings)

    @property
    def now_ns(self) -> int:
        """The latest time seen, to the second."""
        return self.evidence.latest_s * NS

    def explain(self, key: int) -> Explanation | None:
        """Return why a principal is in its cluster, or in none; None when it is not remembered."""
        return explain(self, key)

    def ruling_of(self, key: int) -> Ruling | None:
        """Return what the operator says of a principal, or of its actor."""
        rulings = self._rulings
        if rulings is None:
            return None
        if key in rulings.exempt:
            return "exempt"
        if key in rulings.clear:
            return "clear"
        if key in rulings.confirm:
            return "confirm"
        if any(key in group for group in rulings.together):
            return "together"
        if any(key in group for group in rulings.apart):
            return "apart"
        return rulings.decree_of(self.core.label_of(key))

    def _strike(self, organisations: Organisations) -> Iterator[None]:
        for start in range(0, self.evidence.principal_count, self.settings.slice_entries):
            strike(self.evidence, organisations, start, start + self.settings.slice_entries)
            yield

    def _name(self, label: int, profile: Profile, judgement: Judgement) -> None:
        parts = parts_of_budget(profile["size"], judgement.confidence)
        if label not in self.kept:
            self.identities[label] = self._name_at(label)
            self.parts[label] = parts
        self._carry_parts(label, parts)
        self.core.name(label, self.identities[label], parts)
        self.kept[label] = (profile, judgement)

    def _carry_parts(self, label: int, parts: int) -> None:
        before, self.parts[label] = self.parts[label], parts
        identity = self.identities[label]
        for part in range(max(before, parts)) if before != parts else ():
            if part >= parts:  # several become one: what they used adds up
                self.carries.append((part_of(identity, part), part_of(identity, part % parts)))
            elif part >= before:
                self.carries.append((part_of(identity, part % before), part_of(identity, part)))

    def _descend(self, label: int, heir: int) -> None:
        """Note that `heir` is to be charged with what `label` has used."""
        if label in self.kept:
            self._heirs.append((label, heir))

    def _name_at(self, number: int) -> int:
        # Unlike any before, also of an earlier run, and the same whenever the same is replayed.
        seed = self._rebuilt_ns * MOST_LABELS + number
        mixed = (seed ^ seed >> 29) * 0xBF58476D1CE4E5B9 % 2**64
        return (mixed ^ mixed >> 32) % (2**64 - 2) + 1

    def members(self) -> dict[int, list[int]]:
        """Return the keys of each cluster's principals, by label."""
        found: dict[int, list[int]] = {label: [] for label in self.kept}
        for label, key in self.core.members(0, self.evidence.principal_count):
            if label in found:
                found[label].append(key)
        return found


def parts_of_budget(size: int, confidence: float) -> int:
    """Return into how many budgets a cluster's members are divided.

    From as many as there are members at confidence 0 down to one at 1, evenly on a
    logarithmic scale: there is no step to sit under.
    """
    return max(1, round(pow(float(size), 1.0 - confidence)))


def part_of(identity: int, part: int) -> int:
    """Return what limits count one part of a cluster by; the core's `billing.part_identity` is the same."""
    return identity ^ part * 0x9E3779B97F4A7C15 % 2**64
