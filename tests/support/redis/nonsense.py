"""Numbers and answers that no server would give."""

from __future__ import annotations

import random

import msgspec

NOW = 1_700_000_000_000_000
EXTREMES = (
    0,
    1,
    -1,
    2,
    9,
    10,
    11,
    255,
    10**6,
    10**6 + 1,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**53 + 1,
    2**62,
    2**63 - 1,
    -(2**31),
    -(2**53),
    -(2**63),
    NOW,
    -NOW,
    NOW * 1000,
    2**63,
    2**64 - 1,
)


def simple(*numbers: object) -> bytes:
    """Return a script's answer as it is on the connection: a list of numbers, or of whatever is given."""
    parts = [each if isinstance(each, bytes) else b":%d\r\n" % each for each in numbers]  # type: ignore[str-bytes-safe]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def odd_number(rng: random.Random) -> object:
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(EXTREMES)
    if kind < 0.8:
        return rng.randint(-(2 ** rng.randint(1, 63)), 2 ** rng.randint(1, 63))
    return rng.choice((None, True, "x", 0.5, float("nan"), float("inf"), b"x", [], {}, -0.0))


def answer_of(rng: random.Random, sound: list[int]) -> bytes:
    """Return a sound answer with some numbers replaced, added or lost."""
    numbers: list[object] = list(sound)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(numbers) + 1)
        if at == len(numbers) or rng.random() < 0.1:
            numbers.insert(at, odd_number(rng))
        elif rng.random() < 0.1:
            del numbers[at]
        else:
            numbers[at] = odd_number(rng)
    packed = msgspec.msgpack.encode(numbers)
    if rng.random() < 0.1:
        at = rng.randrange(len(packed) + 1)
        packed = packed[:at] + rng.randbytes(rng.randint(0, 3)) + packed[at:]
    return packed
