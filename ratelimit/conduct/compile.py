"""`adaptive` of a limit, and `ramp`: what is wrong with them, and what they compile to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from ratelimit.conduct.schema import FileKeys, LimitKeys
from ratelimit.core.memory.hashing import is_stand_in
from ratelimit.environment.spelling import did_you_mean
from ratelimit.features.steps import STEPS
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.identities import CLUSTER, is_proven
from ratelimit.policy.compile.spec import FileSpec, RuleSpec, Scene
from ratelimit.policy.schema.model import Limit
from ratelimit.policy.schema.problem import Path
from ratelimit.policy.schema.rate import RateSyntaxError, parse_rates

_STEPS = tuple(step.name for step in STEPS)
_MIXER = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1
_HOUR_S = 3600
MOST_USUAL = 300_000


@dataclass(frozen=True, slots=True)
class ConductSpec(RuleSpec):
    """A limit that falls with bad conduct, or whose refusals lower one that does."""

    by: tuple[int, ...]
    """The identities that it counts by and that were proven; without any its refusals earn no strikes."""
    own: int
    """The number of the limit, if its refusals count; else 0."""
    lowered_by: tuple[int, ...]
    """The numbers of the limits whose refusals lower it."""
    falls: bool
    looks_at_account = True

    @property
    def varies(self) -> bool:  # type: ignore[override]
        """Whether plans may have other numbers for the limit."""
        return self.falls

    def key(self, number: int, row: Sequence[int]) -> int:
        """Return the key of a row's conduct at a limit; 0 where what counts there was not proven."""
        key = number
        for at in self.by:
            if row[at] < 0 or is_stand_in(row[at]):
                return 0
            key = (key ^ row[at]) * _MIXER & _WORD
        return key if self.by else 0


@dataclass(frozen=True, slots=True)
class Ramp(FileSpec):
    """Steep rises are delayed."""

    usual: int
    """Requests an hour that any account may make undelayed."""
    shadow: bool
    counts_accounts = True


def compile_limit(scene: Scene, limit: Limit, path: Path) -> ConductSpec | None:
    """Return whether a limit falls with conduct; note steps that it cannot have, or in no order."""
    adaptive = limit.part(LimitKeys).adaptive
    here = (*path, "on_refusal")
    first, *steps = limit.on_refusal or ["refuse"]
    if steps and not adaptive:
        message = "only a limit that conduct lowers has more than one entry"
        scene.report.add("limit-conflict", here, message, "Write `adaptive = true`.")
    order = [_STEPS.index(step) for step in steps]
    if order != sorted(set(order)):
        mildest = ", ".join(f'"{step}"' for step in (first, *(_STEPS[at] for at in sorted(set(order)))))
        message = "after the first entry steps go from the mildest up, each once"
        scene.report.add("limit-conflict", here, message, f"Write [{mildest}].")
    sources = _sources(scene, limit, path)
    watched_by = [
        other
        for other in scene.file.limit
        if isinstance(other, Limit) and limit.name in _named(other) and limit.mode == "enforce"
    ]
    if not adaptive and not watched_by:
        return None
    proven = _proven(scene, limit)
    if adaptive and not proven and CLUSTER not in _per(limit):
        names = " and ".join(f"`{name}`" for name in _per(limit)) or "nothing"
        message = f"`{limit.name}` counts by {names}, so refusals earn no strikes"
        scene.report.add("adaptive-unproven", (*path, "adaptive"), message)
    return ConductSpec(
        tuple(scene.positions[name] for name in proven) if CLUSTER not in _per(limit) else (),
        _number(limit.name) if watched_by else 0,
        tuple(_number(name) for name in sources),
        bool(adaptive),
    )


def _sources(scene: Scene, limit: Limit, path: Path) -> list[str]:
    """Return the limits whose refusals lower a limit; note what is wrong with them."""
    adaptive = limit.part(LimitKeys).adaptive
    if isinstance(adaptive, bool):
        return [limit.name] if adaptive else []
    known = {other.name: other for other in scene.file.limit if isinstance(other, Limit)}
    for index, name in enumerate(adaptive):
        place: Path = (*path, "adaptive", index)
        if name not in known:
            message, hint = f"there is no limit `{name[:64]}`", did_you_mean(name, known)
            scene.report.add("limit-conflict", place, message, hint)
        elif _proven(scene, known[name]) != _proven(scene, limit):
            message = f"`{name}` does not count by the same proven identities as `{limit.name}`"
            scene.report.add("limit-conflict", place, message, "Leave it out, or give both the same `per`.")
    return list(dict.fromkeys(adaptive))


def _named(limit: Limit) -> list[str]:
    adaptive = limit.part(LimitKeys).adaptive
    return ([limit.name] if adaptive else []) if isinstance(adaptive, bool) else adaptive


def _per(limit: Limit) -> list[str]:
    return limit.names


def _proven(scene: Scene, limit: Limit) -> list[str]:
    """Return the identities of a limit that a client cannot give in another's name, nor share."""
    declared = scene.file.identities
    return sorted(
        name
        for name in _per(limit)
        if name in declared and name in scene.positions and is_proven(declared[name])
    )


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8, person=b"kin-conduct").digest(), "big") or 1


def compile_file(scene: Scene) -> Ramp | None:
    """Return what delays steep rises; None where nothing does."""
    written = scene.file.part(FileKeys).ramp
    if written is None:
        return None
    text, _, more = written.partition(" in ")
    try:
        (rate,) = parse_rates(text)
    except (RateSyntaxError, ValueError):
        rate = None
    if rate is None or rate.period_s != _HOUR_S or rate.millionths or more.strip() not in ("", "shadow"):
        scene.report.add("ramp-rate", ("ramp",), f"`{written[:64]}` is no number of requests an hour")
        return None
    if not 1 <= rate.amount <= MOST_USUAL:
        scene.report.add("ramp-rate", ("ramp",), f"{rate.amount} an hour; 1 to {MOST_USUAL} are possible")
        return None
    return Ramp(rate.amount, bool(more))


def ramp_of(compiled: CompiledPolicy) -> Ramp | None:
    """Return what delays steep rises; None where nothing does."""
    return compiled.spec(Ramp)
