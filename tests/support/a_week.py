"""A week in the rings of a host: what two hosts answered by the quarter of an hour, and what happened."""

from __future__ import annotations

import math
import random
from pathlib import Path

from ratelimit.events import Event
from ratelimit.stores.journal import events_of, quarters_of

NS = 10**9
QUARTER_NS = 900 * NS
QUARTERS = 7 * 24 * 4


def write_week(place: Path, now_ns: int, actor: str = "5e6c3a3e00112233") -> dict[str, int]:
    """Write a week up to now, by the day and the night; return its sums.

    A server was away for two hours, a campaign was found and refused for a day, and a policy was too strict.
    """
    source = random.Random(7)
    first = now_ns // QUARTER_NS - QUARTERS + 4
    sums = {"allowed": 0, "refused": 0, "shed": 0}
    lines = []
    for at in range(QUARTERS - 4):
        begin_ns = (first + at) * QUARTER_NS
        busy = 0.55 - 0.45 * math.cos(2 * math.pi * (begin_ns // NS % 86_400) / 86_400)
        for host in ("web-1", "web-2"):
            # Whole hundreds, so that the share refused is the same at each hour of the day.
            asked = 100 * int(40 * busy * source.uniform(0.9, 1.1))
            refused = {"requests": asked // 100}
            if 300 <= at < 396:
                refused["one actor"] = asked // 4
            if 520 <= at < 524:
                refused["requests"] = asked * 4 // 5
            shed = asked // 50 if at in (120, 121, 122) else 0
            counts = {"allowed": asked - sum(refused.values()) - shed, "refused": sum(refused.values())}
            counts |= {"shed": shed} if shed else {}
            for word, number in counts.items():
                sums[word] += number
            limits = {name: {"refused": number} for name, number in refused.items()}
            fields = {"begin": begin_ns // NS, "requests": counts, "limits": limits}
            fields |= {
                "classes": {"chat": {"allowed": counts["allowed"], **({"shed": shed} if shed else {})}}
            }
            lines.append(Event("quarter", begin_ns + QUARTER_NS, host, 7, fields).json().encode())
    quarters_of(place).append(lines)
    happened = [
        (200, "web-1", "store-away", {}),
        (208, "web-1", "store-back", {"away_seconds": 7200.0, "requests_allowed": 9120}),
        (299, "web-2", "actor-found", {"actor": actor, "verdict": "certain", "accounts": 60}),
        (396, "web-2", "actor-released", {"actor": actor}),
        (519, "web-1", "policy-reloaded", {"digest": "5a2c", "changes": "requests: 60/minute, was 600"}),
        (524, "web-1", "policy-reloaded", {"digest": "5a2d", "changes": "requests: 600/minute, was 60"}),
        (330, "web-1", "act-made", {"act": "1", "kind": "stop", "words": "stop", "by": "<b>ann</b>"}),
        (40, "web-1", "target-learned", {"group": "default", "first_byte_seconds": 1.4, "routes": []}),
    ]
    events_of(place).append(
        [
            Event(name, (first + at) * QUARTER_NS, host, 7, fields).json().encode()
            for at, host, name, fields in happened
        ]
    )
    return sums
