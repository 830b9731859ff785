"""`adaptive` of a limit, and `[ramp]`: what is wrong with them, and what they compile to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ratelimit.conduct.schema import FileKeys, LimitKeys, Ramp
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.spec import FileSpec, RuleSpec, Scene
from ratelimit.policy.schema.model import Limit, Step
from ratelimit.policy.schema.problem import Path

_STEPS = get_args(Step)


@dataclass(frozen=True, slots=True)
class Falls(RuleSpec):
    """A limit that falls with bad conduct."""

    varies = True
    looks_at_account = True


@dataclass(frozen=True, slots=True)
class RampSpec(FileSpec):
    """Steep rises are delayed."""

    table: Ramp
    counts_accounts = True


def compile_limit(scene: Scene, limit: Limit, path: Path) -> Falls | None:
    """Return whether a limit falls with conduct; note steps that it cannot have, or in no order."""
    is_adaptive = limit.part(LimitKeys).adaptive
    here = (*path, "on_refusal")
    first, *steps = limit.on_refusal or ["refuse"]
    if steps and not is_adaptive:
        message = "only a limit that conduct lowers has more than one entry"
        scene.report.add("limit-conflict", here, message, "Write `adaptive = true`.")
    order = [_STEPS.index(step) for step in steps]
    if order != sorted(set(order)):
        mildest = ", ".join(f'"{step}"' for step in (first, *(_STEPS[at] for at in sorted(set(order)))))
        message = "after the first entry steps go from the mildest up, each once"
        scene.report.add("limit-conflict", here, message, f"Write [{mildest}].")
    return Falls() if is_adaptive else None


def compile_file(scene: Scene) -> RampSpec | None:
    """Return what delays steep rises; None where nothing does."""
    table = scene.file.part(FileKeys).ramp
    return None if table is None else RampSpec(table)


def ramp_of(compiled: CompiledPolicy) -> Ramp | None:
    """Return what delays steep rises; None where nothing does."""
    spec = compiled.spec(RampSpec)
    return None if spec is None else spec.table
