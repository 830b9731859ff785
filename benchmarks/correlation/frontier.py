"""The evasion frontier: what an attacker pays, and how far it gets for it.

Each parameter of the base campaign takes its low and its high value, one at a time.
Then several do at once, on the way to the full mimic. Prices are assumptions (they are
not public, and change weekly); the order of the points hardly depends on them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.correlation.campaign import NEVER, Campaign
from benchmarks.correlation.campaigns import BASE
from benchmarks.correlation.numbers import DAY_NS
from benchmarks.correlation.trace import Trace

CARD, ACCOUNT, EXIT_A_DAY, CLIENT = 4.0, 0.5, 0.03, 50.0
"""Dollars: a virtual card, a verified account, an exit for a day, a client build that passes for another."""

SWEEPS: dict[str, dict[str, Any]] = {
    "per_card=1": {"per_card": 1},
    "per_card=100": {"per_card": 100},
    "requests=4": {"requests": 4.0},
    "requests=100": {"requests": 100.0},
    "cv=0.05": {"cv": 0.05},
    "cv=1": {"cv": 1.0},
    "timing=round-robin": {"timing": "round-robin"},
    "timing=diurnal": {"timing": "diurnal"},
    "clients=one": {"clients": "one"},
    "clients=diverse": {"clients": "diverse"},
    "exits=1000": {"exits": 1000},
    "exits=100000": {"exits": 100_000},
    "kinds=data-centre": {"kinds": (("data-centre", 1.0),)},
    "kinds=mobile": {"kinds": (("mobile", 1.0),)},
    "kinds=function": {"kinds": (("function", 1.0),)},
    "shared=0": {"shared": 0.0},
    "shared=1": {"shared": 1.0},
    "sticky=request": {"sticky_s": 0},
    "sticky=day": {"sticky_s": 86_400},
    "life=day": {"life_days": 1.0},
    "life=day, nothing reused": {"life_days": 1.0, "replaced_s": 86_400.0, "reuse": "nothing"},
    "life=never": {"life_days": NEVER},
    "warm-up": {"warm_up": True, "life_days": 1.0},
    "mixed=0": {"mixed": 0.0},
    "mixed=0.9": {"mixed": 0.9},
    "aged=0": {"aged": 0.0},
    "aged=1": {"aged": 1.0},
    "card each, diverse": {"per_card": 1, "clients": "diverse"},
    "card each, diverse, sticky": {"per_card": 1, "clients": "diverse", "sticky_s": 86_400},
    "card each, diverse, sticky, uneven": {
        "per_card": 1,
        "clients": "diverse",
        "sticky_s": 86_400,
        "cv": 1.0,
        "timing": "own",
    },
}


def variant(name: str) -> Campaign:
    """Return the base campaign with one sweep's values."""
    return replace(BASE, name=f"base:{name}", **SWEEPS[name])


def price_a_day(trace: Trace, campaign: int, spec: Campaign) -> float:
    """Return dollars a day: cards, accounts and clients as the trace has them, exits as they are rented."""
    mine = (trace.campaign == campaign) & (trace.time_ns >= trace.starts_ns[campaign])
    days = (trace.end_ns - trace.starts_ns[campaign]) / DAY_NS
    distinct = {name: len(np.unique(getattr(trace, name)[mine])) for name in ("payment", "account", "client")}
    exits = spec.exits * spec.accounts / 2500
    once = CARD * distinct["payment"] + ACCOUNT * distinct["account"] + CLIENT * min(distinct["client"], 300)
    return once / max(days, 1.0) + EXIT_A_DAY * exits
