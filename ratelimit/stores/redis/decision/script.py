"""The script that decides in Redis, and what goes in and out of it.

One call decides many requests: `EVALSHA digest n KEYS… payload`, each key
once. The script's text never changes, nothing is interpolated into it.

The payload is MessagePack, values one after another: time, worker, how many rules, the rules, items.

- time: microseconds since the epoch, or false for the server's own clock.
- worker: a number of 52 bits that names the process; concurrency slots carry it.
- rules: for each a list, its kind and numbers (`RemoteRules.describe`).
- items: numbers. A decision is `DECIDE` or `PEEK`, the number of asks, and five numbers for each.
    They are rule, key (by number, from one), cost, 1 if its refusal binds, and a mark. No two asks of
    a decision have the same key. A correction is `CORRECT`, 1, rule, key, what to charge more, or less,
    and two marks that say what was charged. A lease is `LEASE`, 1, rule, key, and six numbers:
    `main.lua` names them.

The answer is MessagePack, one list of numbers. First is the time. For each ask of a decision follow
its state and what the rule's kind tells; for each correction what moved and the state it left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files

import msgspec

_ALGORITHMS = {"bucket": "1", "window": "2 or kind == 3", "log": "4", "slots": "5", "sketch": "6"}
"""Files, and the kinds of rules they are of; they run when a call first needs more than a word's decision."""

_encode = msgspec.msgpack.Encoder().encode


def _text() -> bytes:
    folder = files("ratelimit.stores.redis.decision") / "scripts"
    parts = [(folder / "head.lua").read_text(), "function begin(kind)", (folder / "begin.lua").read_text()]
    for name, kinds in _ALGORITHMS.items():
        parts += [f"if kind == {kinds} then", (folder / f"{name}.lua").read_text(), "end"]
    parts += [
        "return algorithms[kind]\nend",
        (folder / "main.lua").read_text(),
    ]
    return "\n".join(parts).encode()


def spread(values: Sequence[object]) -> bytes:
    """Return values as the payload has them, one after another."""
    count = len(values)
    return _encode(values)[1 if count < 16 else 3 if count < 65_536 else 5 :]


SCRIPT = _text()
"""The script's text."""
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
"""What the server knows it by."""
