"""The script that decides in Redis, and what goes in and out of it.

One call decides many requests: `EVALSHA digest n KEYS… payload`, one key for each ask, in
order. The script's text never changes, nothing is interpolated into it.

The payload is MessagePack: `[time, worker, rules, items]`.

- time: microseconds since the epoch, or false for the server's own clock.
- worker: a number of 52 bits that names the process; concurrency slots carry it.
- rules: for each its kind and numbers (`RemoteRules.describe`).
- items: numbers. A decision is `DECIDE` or `PEEK`, the number of asks, and for each ask:
  rule, cost, 1 if its refusal binds, and two marks. A correction is `CORRECT`, 1, and one
  ask whose cost is what to charge more, or less, and whose marks say what was charged. A lease
  is `LEASE`, 1, and seven numbers: `main.lua` names them.

The answer is MessagePack, one list of numbers: the time, then for each ask of a decision its
state and what the rule's kind tells, for each correction what moved and the state it left.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

_ALGORITHMS = {"bucket": (1,), "window": (2, 3), "log": (4,), "slots": (5,), "sketch": (6,)}
"""Files, and the kinds of rules they decide; each is a function of its own in the script."""


def _text() -> bytes:
    folder = files("ratelimit.stores.redis") / "scripts"
    parts = [(folder / "head.lua").read_bytes()]
    for name, kinds in _ALGORITHMS.items():
        loaders = b", ".join(b"loaders[%d]" % kind for kind in kinds)
        text = (folder / f"{name}.lua").read_bytes()
        parts.append(
            b"do\nlocal function load()\n%b\nend\n%b = %b\nend"
            % (text, loaders, b", ".join([b"load"] * len(kinds)))
        )
    parts.append((folder / "main.lua").read_bytes())
    return b"\n".join(parts)


SCRIPT = _text()
"""The script's text."""
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
"""What the server knows it by."""
