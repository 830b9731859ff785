"""Allowances of limits: what is wrong with them, and what they compile to.

Theory of operation. An allowance is rounded down to a level, eight to each doubling of the rate. So a bounded
number of variants of a plan, over the same counters, serves all payers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from ratelimit.algorithms import IN_WORDS, PREPAID, AlgorithmName
from ratelimit.allowance.model.levels import EarnedSpec
from ratelimit.allowance.schema import Earned, LimitKeys
from ratelimit.core.memory.hashing import Hasher
from ratelimit.facts.numbers import PAID
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.policy.compile.quota import largest_burst, largest_quota
from ratelimit.policy.compile.spec import Rule, RuleSpec, Scene
from ratelimit.policy.schema.model import Limit, PolicyFile
from ratelimit.policy.schema.problem import Path
from ratelimit.usage.pricing import MICRO, USD

LEVELS_AN_OCTAVE = 8
MOST_LEVELS = 160
"""Twenty doublings: a million times the rate."""
_MICROS = 1_000_000
_DAY_NS = 86_400 * 1_000_000_000
_ADDRESS_BITS = (32, 64)
"""Of an address that is a place: all of IPv4, and the half of IPv6 that a subscriber keeps."""
MOST_PAID = 10**15
"""As `identity/fact` has it."""


@dataclass(frozen=True, slots=True)
class Allowance(RuleSpec):
    """A limit whose rate is what a payer is allowed."""

    earned: EarnedSpec | None
    """What a payer can earn beyond the rate; None: nothing, or a customer's plan says what it has."""
    is_final = False
    covers = True

    @property
    def has_levels(self) -> bool:
        """Whether payers have different numbers."""
        return self.earned is not None

    def of_tier(self) -> Allowance:
        """Return the allowance of a customer's plan: its number."""
        return replace(self, earned=None)


@dataclass(frozen=True, slots=True)
class Overflow(RuleSpec):
    """A limit of requests that no allowance covers."""

    is_final = False
    is_left_over = True


def allowance_of(rule: Rule) -> Allowance | None:
    """Return what a payer can earn of a rule; None where that is no allowance."""
    return rule.spec(Allowance)


def earned_of(rule: Rule) -> EarnedSpec | None:
    """Return what a payer can earn beyond a rule's rate; None for nothing."""
    spec = allowance_of(rule)
    return None if spec is None else spec.earned


def place_of(compiled: CompiledPolicy) -> int:
    """Return where rows have the address of a client, as it counts as a place; -1: nowhere."""
    return next(
        (
            spec.index
            for spec in compiled.identities
            if all(source.record.is_address for source in spec.sources)
            and (spec.v4_prefix, spec.v6_prefix) == _ADDRESS_BITS
        ),
        -1,
    )


def salt_of(rule: LimitRule, hasher: Hasher) -> int:
    """Return what tells the records of a limit's use from others': those of requests a day have none."""
    if rule.unit_index == 0 and rule.period_ns == _DAY_NS:
        return 0
    return hasher.tuple(b"records", rule.unit.encode(), b"%d" % rule.period_ns)


def leaves_out(file: PolicyFile) -> bool:
    """Return whether limits bind only what no allowance covers."""
    return any(_keys(limit).overflow for limit in _limits(file))


def compile_limit(scene: Scene, limit: Limit, path: Path) -> Allowance | Overflow | None:
    """Return what an allowance can earn, or that a limit is beyond allowances; None for other limits."""
    keys, report = _keys(limit), scene.report
    if keys.allowance is None:
        return Overflow() if keys.overflow else None
    if CLUSTER in _payer(limit):
        report.add("limit-earned", (*path, "per"), "an actor pays for nothing", "Name the payer.")
    if any(numbers.algorithm in PREPAID for numbers in scene.numbers):
        words = "an allowance is of a period, and a lifetime has none"
        report.add("limit-earned", (*path, "rate"), words, "Write two limits.")
    return Allowance(_earned(keys.allowance, limit, scene, path))


def compile_file(scene: Scene) -> None:
    """Note allowances of different payers, and limits beyond allowances where there are none."""
    limits = [(at, limit) for at, limit in enumerate(scene.file.limit) if isinstance(limit, Limit)]
    allowances = [(at, limit) for at, limit in limits if _keys(limit).allowance is not None]
    for at, limit in allowances[1:]:
        if _payer(limit) != _payer(allowances[0][1]):
            scene.report.add(
                "limit-earned",
                ("limit", at, "per"),
                f"`{allowances[0][1].name}` has another payer",
                "Let both count by one identity: the payment method, else the sponsor.",
            )
    for at, limit in limits:
        if _keys(limit).overflow and not allowances:
            scene.report.add(
                "limit-earned",
                ("limit", at, "budget"),
                "no limit has a `budget` with `per_usd` or `growth`, so there is no allowance",
                "Remove it, or write `budget = { per_usd = … }` into the limit of a payer.",
            )


def _limits(file: PolicyFile) -> list[Limit]:
    return [limit for limit in file.limit if isinstance(limit, Limit)]


def _keys(limit: Limit) -> LimitKeys:
    return limit.part(LimitKeys)


def _payer(limit: Limit) -> tuple[str, ...]:
    return tuple(limit.names)


def _earned(earned: Earned, limit: Limit, scene: Scene, path: Path) -> EarnedSpec | None:
    """Return what a limit's payers can earn; None where that is in error."""
    report = scene.report
    rates = [(one.algorithm, one.quota, one.period_ns, one.burst) for one in scene.numbers]
    here = (*path, "budget")
    if isinstance(limit.per, list) and len(limit.per) != 1:
        report.add(
            "limit-earned", here, "an allowance belongs to one payer", 'Name it alone: `per = "payer"`.'
        )
    if limit.concurrent is not None or limit.distinct is not None:
        key = "concurrent" if limit.concurrent is not None else limit.counted
        report.add("limit-earned", here, f"`{key}` does not count units that can be earned", "Use `rate`.")
        return None
    if len(rates) > 1:
        report.add(
            "limit-earned",
            here,
            "with several rates it is not said which one grows",
            "Write each as a limit.",
        )
        return None
    if not rates:
        return None  # the rate is in error, which is said there
    algorithm, quota, period_ns, burst = rates[0]
    if algorithm not in IN_WORDS:
        report.add(
            "limit-earned",
            here,
            f"`{algorithm}` keeps as many places as the rate has units, so its rate cannot grow",
            'Use `algorithm = "sliding-window"`.',
        )
        return None
    if earned.per_usd is not None and scene.file.correlation.source_of(PAID) is None:
        report.add(
            "limit-earned",
            (*here, "per_usd"),
            "the policy has no source for what a payer has paid",
            'Write `paid = "state:NAME"` into `[correlation]`.',
        )
        return None
    if earned.growth is not None and earned.most is None:
        report.add(
            "limit-earned", (*here, "growth"), "`growth` without `most`", "Use opens a bounded amount."
        )
        return None
    scale = MICRO if limit.unit == USD else 1
    quotas = _quotas(algorithm, quota, period_ns, burst)
    paid_from, grown_from = [0], [0.0]
    if earned.per_usd is not None:
        per_usd = Fraction(str(earned.per_usd)) * scale
        paid_from += [ceil(units * _MICROS / per_usd) for units in quotas[1:]]
    if earned.growth is not None and earned.most is not None:
        grown_from += [units / earned.growth for units in quotas[1:] if units <= earned.most * scale]
    reached = max(len(paid_from), len(grown_from))
    young_paid = min(round(scene.file.tuning.young_usd * _MICROS), MOST_PAID)
    return EarnedSpec(
        tuple(quotas[:reached]),
        tuple(paid_from),
        young_paid,
        tuple(grown_from),
        earned.per_usd,
        earned.growth,
    )


def _quotas(algorithm: AlgorithmName, quota: int, period_ns: int, burst: int) -> list[int]:
    """Return the units of each level, as far as the algorithm can count them."""
    found: list[int] = []
    for level in range(MOST_LEVELS):
        units = int(quota * 2 ** (level / LEVELS_AN_OCTAVE))
        if units > largest_quota(algorithm, period_ns):
            break
        if burst * units // quota > largest_burst(algorithm, period_ns, units):
            break
        if not found or units > found[-1]:
            found.append(units)
    return found
