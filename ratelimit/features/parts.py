"""The one list of features, in the order in which requests pass them.

Theory of operation. A feature is a folder, and a file of it is its part on one floor: `schema` and `compile`
are read with the policy, `metrics` by telemetry, `stage` when a limiter is made, `explanation` by `explain`.
A floor asks for all parts of a name, and knows no feature. So a new feature is a folder and a line here.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

FEATURES = ("lists", "load", "conduct", "budgets", "allowance", "challenge", "waiting", "usage")


@cache
def parts(file: str) -> tuple[ModuleType, ...]:
    """Return the module of this name of each feature that has one."""
    names = [f"ratelimit.{feature}.{file}" for feature in FEATURES]
    return tuple(import_module(name) for name in names if find_spec(name) is not None)
