"""The drawings of the documentation: `python .ci/drawings.py`. A test holds `docs/images` to them.

Pictures of algorithms are drawn from decisions of the library itself, at times that the script chooses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from ratelimit import Limiter, Policy

IMAGES = Path(__file__).absolute().parents[1] / "docs" / "images"
STYLE = (
    ".p{fill:#fff}text{font:13px system-ui,sans-serif;fill:#333}"
    ".t{font-weight:600}.s{font-size:12px;fill:#666}"
    ".b{fill:#eef3fb;stroke:#3b7dd8}.e{fill:#fdeceb;stroke:#d9534f}.m{fill:#f6f0e0;stroke:#a67c1a}"
    ".l{stroke:#888;stroke-width:1.5;fill:none}.g{stroke:#ccc;stroke-dasharray:3 3}"
    ".y{fill:#3b7dd8}.n{fill:none;stroke:#d9534f;stroke-width:1.5}.r{fill:#f3c3c0}.h{fill:#888}"
    "@media(prefers-color-scheme:dark){.p{fill:#1c1c1c}text{fill:#ddd}.s{fill:#aaa}.b{fill:#1b2a40}.e{fill:#3d2222}"
    ".m{fill:#3a3220}.r{fill:#7a3a37}.g{stroke:#555}}"
)


def svg(width: int, height: int, label: str, parts: list[str]) -> str:
    """Return a drawing with its words for readers who do not see it."""
    # Of its own, as a page may be dark where the system is light.
    paper = f'<rect width="{width}" height="{height}" class="p"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    return "\n".join(
        [f'{head} aria-label="{escape(label)}">', f"<style>{STYLE}</style>", paper, *parts, "</svg>\n"]
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return one line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, title: str, lines: list[str], kind: str = "b") -> list[str]:
    """Return a box with a title and lines of text."""
    height = 30 + 17 * len(lines)
    made = [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="6" class="{kind}"/>']
    made.append(text(x + width / 2, y + 21, title, "t", "middle"))
    return made + [
        text(x + width / 2, y + 39 + 17 * at, line, "s", "middle") for at, line in enumerate(lines)
    ]


def arrow(x: float, y: float, to_x: float, to_y: float) -> list[str]:
    """Return an arrow, straight down or to the right."""
    tip = f"M{to_x:g} {to_y:g}l-8 -4v8z" if to_y == y else f"M{to_x:g} {to_y:g}l-4 -8h8z"
    return [f'<path class="l" d="M{x:g} {y:g}L{to_x:g} {to_y:g}"/>', f'<path class="h" d="{tip}"/>']


DEMO = (
    ("customers", 541, 0, ""),
    ("office", 90, 0, ""),
    ("phones", 286, 0, ""),
    ("company", 84, 0, ""),
    ("school", 240, 0, ""),
    ("240 of a campaign", 308, 659, "one actor"),
    ("hammer", 147, 1526, "requests"),
    ("long answers", 21, 78, "output tokens"),
    ("many keys", 219, 569, "one address"),
    ("many streams", 59, 153, "streams at once"),
)
"""Who, admitted, refused, held by: one run of `make demo`."""


def one_budget() -> str:
    """Return what the demo admits and refuses, each row to its whole."""
    parts = [
        text(320, 20, "admitted", "s"),
        text(540, 20, "refused", "s", "end"),
        text(625, 20, "held by", "s"),
    ]
    for at, (who, admitted, refused, held) in enumerate(DEMO):
        y = 30 + 24 * at
        share = 360 * admitted / (admitted + refused)
        parts.append(text(170, y + 14, who, "t" if held == "one actor" else "", "end"))
        parts.append(f'<rect x="180" y="{y}" width="{share:.0f}" height="18" class="y"/>')
        if refused:
            parts.append(
                f'<rect x="{180 + share:.0f}" y="{y}" width="{360 - share:.0f}" height="18" class="r"/>'
            )
        parts.append(text(550, y + 14, f"{admitted} / {refused}", "s"))
        parts.append(text(625, y + 14, held, "t" if held == "one actor" else ""))
    return svg(740, 280, "Requests of the demo that were admitted and refused, by who sent them", parts)


def concepts() -> str:
    """Return the chain from an identity to an actor."""
    steps = (
        ("identity", ["who calls:", "key, user, address"], "b"),
        ("limit", ["how much, per", "which identity"], "b"),
        ("decision", ["all limits of the", "request at once"], "b"),
        ("settlement", ["the estimate", "becomes the cost"], "b"),
        ("actor", ["accounts of one", "hand: one budget"], "m"),
    )
    parts: list[str] = []
    for at, (title, lines, kind) in enumerate(steps):
        parts += box(8 + 148 * at, 24, 128, title, lines, kind)
        if at:
            parts += arrow(148 * at - 12, 56, 8 + 148 * at, 56)
    parts.append('<path class="l" d="M664 88V124H220V96"/><path class="h" d="M220 88l-4 8h8z"/>')
    parts.append(text(442, 142, 'per = "cluster": a limit that counts the actor', "s", "middle"))
    return svg(740, 156, "Identity, limit, decision, settlement, actor", parts)


def request() -> str:
    """Return the way of one request."""
    parts = box(8, 20, 120, "request", ["head, body"])
    parts += box(168, 20, 150, "lists", ["[allow], [deny]"])
    parts += box(358, 20, 160, "identities", ["read, made canonical,", "hashed"])
    parts += box(558, 20, 170, "limits", ["those that match;", "all or none is charged"])
    parts += arrow(128, 46, 168, 46) + arrow(318, 46, 358, 46) + arrow(518, 46, 558, 46)
    parts += [*arrow(643, 84, 643, 130), text(652, 111, "room", "s")]
    parts += box(558, 130, 170, "your application", ["answers; streams"])
    parts.append('<path class="l" d="M588 84V104H443V122"/><path class="h" d="M443 130l-4 -8h8z"/>')
    parts.append(text(505, 99, "no room", "s", "middle"))
    parts += box(358, 130, 170, "wait, challenge", ["only if the limit says so"], "m")
    parts.append('<path class="l" d="M358 154H326"/><path class="h" d="M318 154l8 -4v8z"/>')
    parts += box(148, 130, 170, "429", ["Retry-After, RateLimit"], "e")
    parts += arrow(643, 177, 643, 220)
    parts += box(558, 220, 170, "settle", ["what it cost; slots free"])
    parts.append('<path class="l" d="M558 244H536"/><path class="h" d="M528 244l8 -4v8z"/>')
    parts += box(358, 220, 170, "metrics, evidence", ["counts; what links callers"], "m")
    return svg(740, 280, "The way of a request through lists, identities, limits and the application", parts)


ASKED = (
    *(50 + 0.4 * at for at in range(12)),
    *(62 + 0.4 * at for at in range(12)),
    *(80 + 4.0 * at for at in range(22)),
)
"""Seconds at which a caller asks: a burst before a full minute, one behind it, then one each four seconds."""


def decided(keys: str) -> Iterator[tuple[float, bool]]:
    """Yield when the caller asks, and whether a limit of ten a minute has room."""
    key = "0" * 32  # which says when the windows of staggered ones begin
    limit = f'[[limit]]\nname = "shown"\nper = "ip"\nrate = "10/minute"\n{keys}'
    rule = f'version = 1\n[hashing]\nkey = "{key}"\n{limit}'
    limiter = Limiter(Policy.from_toml(rule))
    start = 1_800_000_000 * 10**9
    for at in ASKED:
        yield at, limiter.decide(client="192.0.2.1", now_ns=start + int(at * 1e9)).allowed
    limiter.close()


def slots() -> Iterator[tuple[float, bool]]:
    """Yield the same for three requests at once, of nine seconds each."""
    ends: list[float] = []
    for at in ASKED:
        ends = [end for end in ends if end > at]
        if allowed := len(ends) < 3:
            ends.append(at + 9)
        yield at, allowed


def timeline(name: str, points: list[tuple[float, bool]], note: str) -> str:
    """Return requests along a line of time, those admitted above those refused."""
    parts = [text(8, 18, name, "t"), text(732, 18, note, "s", "end")]
    for minute in range(4):
        x = 110 + minute * 200
        parts.append(f'<path class="g" d="M{x} 26V92"/>')
        parts.append(text(x, 106, f"{minute}:00", "s", "middle"))
    parts += [text(8, 48, "admitted", "s"), text(8, 76, "refused", "s")]
    for at, allowed in points:
        x = 110 + at * 200 / 60
        parts.append(
            f'<circle cx="{x:.1f}" cy="{44 if allowed else 72}" r="3.5" class="{"y" if allowed else "n"}"/>'
        )
    return svg(740, 114, f"{name}: {note}", parts)


def most(points: list[tuple[float, bool]]) -> int:
    """Return how many were admitted in the fullest minute, wherever it begins."""
    times = [at for at, allowed in points if allowed]
    return max(sum(1 for other in times if at <= other < at + 60) for at in times)


ALGORITHMS = {
    "token-bucket": "burst = 10",
    "token-bucket-burst-3": "burst = 3",
    "sliding-window": 'algorithm = "sliding-window"',
    "fixed-window": 'algorithm = "fixed-window"',
    "fixed-window-burst-15": 'burst = 15\nalgorithm = "fixed-window"',
    "staggered-window": 'algorithm = "staggered-window"',
    "sliding-log": 'algorithm = "sliding-log"',
}


def algorithm(name: str, keys: str) -> str:
    """Return the picture of one algorithm."""
    points = list(decided(keys))
    title = f"10/minute, {keys.replace(chr(10), ', ')}" if "burst" in keys else f"10/minute, {name}"
    return timeline(title, points, f"at most {most(points)} in any minute")


def drawings() -> dict[str, str]:
    """Return each drawing by the name of its file."""
    whole: dict[str, Callable[[], str]] = {"one-budget": one_budget, "concepts": concepts, "request": request}
    made = {f"{name}.svg": draw() for name, draw in whole.items()}
    made |= {f"algorithm-{name}.svg": algorithm(name, keys) for name, keys in ALGORITHMS.items()}
    held = timeline("concurrent = 3, nine seconds each", list(slots()), "at most 3 at a time")
    return made | {"algorithm-concurrent.svg": held}


if __name__ == "__main__":
    for name, drawing in drawings().items():
        (IMAGES / name).write_text(drawing, "utf-8")
    sys.exit(0)
