"""The script that decides in Redis, and what goes in and out of it.

One call decides many requests: `EVALSHA digest n KEYS… payload`, each key
once. The script's text never changes, nothing is interpolated into it.

The payload is MessagePack, values one after another: time, worker, how many rules, the rules, items.

- time: microseconds since the epoch, or false for the server's own clock.
- worker: a number of 52 bits that names the process; concurrency slots carry it.
- rules: for each a text that is MessagePack again: its kind and numbers, one after another
    (`RemoteRules.describe`).
- items: numbers. A decision is `DECIDE` or `PEEK`, the number of asks, and five numbers for each.
    They are rule, key (by number, from one), cost, 1 if its refusal binds, and a mark. The mark of a
    lifetime is what the host remembers of it: a list (`lifetime.lua`). No two asks of a decision have
    the same key. A correction is `CORRECT`, 1, rule, key, what to charge more, or less, and two marks
    that say what was charged. A lease is `LEASE`, 1, rule, key, and seven numbers: `main.lua` names
    them.

The answer is MessagePack, one list of numbers. First is the time. For each ask of a decision follow
its state and what the rule's kind tells; for each correction what moved and the state it left.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from ratelimit.algorithms import ALGORITHMS, Algorithm
from ratelimit.core.algorithms.rule import KNOWN

_PLACE = re.compile(r"^( *)--< (\w+)\n", re.MULTILINE)
_PART = re.compile(r"^--> (\w+)\n", re.MULTILINE)
_FIRST_BLOCK = min(record.kind for record in ALGORITHMS.values() if record.state == "block")

SHARED = "shared"
"""The file of parts that several algorithms have."""
_encode = msgspec.msgpack.Encoder().encode


@cache
def _file(name: str) -> str:
    return (files("ratelimit.stores.redis.decision") / "scripts" / f"{name}.lua").read_text()


def parts_of(script: str) -> Mapping[str, str]:
    """Return an algorithm's text by part, what a part names put in; text before the first is about it."""
    pieces = _PART.split(_file(script))
    own = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    known = own if script == SHARED else {**parts_of(SHARED), **own}

    def filled(name: str) -> str:
        return _filled(known[name], filled)

    return {name: filled(name) for name in own}


def _filled(text: str, part_of: Callable[[str], str]) -> str:
    """Return a text with parts in their places, indented as these are."""
    return _PLACE.sub(lambda found: _indented(part_of(found[2]), found[1]), text)


def _indented(text: str, indent: str) -> str:
    return "".join(f"{indent}{line}\n" if line else "\n" for line in text.strip().split("\n"))


def assembled(records: Sequence[Algorithm]) -> str:
    """Return the script for these algorithms: each part of each in its place."""
    kinds: dict[str, list[int]] = {}
    for record in records:
        if record.script is not None:
            kinds.setdefault(record.script, []).append(record.kind)

    def branches(part: str) -> str:
        text, word = "", "if"
        for script, numbers in kinds.items():
            if part in (parts := parts_of(script)):
                condition = " or ".join(f"kind == {number}" for number in sorted(numbers))
                text += f"{word} {condition} then\n{_indented(parts[part], '  ')}"
                word = "elseif"
        return f"{text}end\n" if text else ""

    known = "return algorithms[kind] or error('no algorithm ' .. kind)\nend\n"
    shared = parts_of(SHARED).__getitem__
    begin = "begin = function(kind)\n" + _filled(_file("begin"), shared) + branches("seldom") + known
    main = _filled(_file("main"), lambda part: begin if part == "begin" else branches(part))
    constants = f"local BLOCKS = {_FIRST_BLOCK}  -- kinds from here on have more than a word as state\n"
    return "\n".join([_file("head"), constants, main])


def spread(values: Sequence[object]) -> bytes:
    """Return values as the payload has them, one after another."""
    count = len(values)
    return _encode(values)[1 if count < 16 else 3 if count < 65_536 else 5 :]


def rule_texts(rules: Sequence[Sequence[object]]) -> bytes:
    """Return rules as the payload has them: servers' MessagePack has no bytes, but a text may be any."""
    texts = map(spread, rules)
    return b"".join(b"\xda" + len(text).to_bytes(2) + text for text in texts)


SCRIPTED = frozenset(name for name in KNOWN if ALGORITHMS[name].script is not None)
"""Algorithms that the script decides, and this host reads the answers of."""
SCRIPT = assembled(list(ALGORITHMS.values())).encode()
"""The script's text."""
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
"""What the server knows it by."""
