"""Requests that may be one caller's: a few callers, spelled in as many ways as there are ideas.

Seeded: one seed, one list of requests. Most are a caller's value with one to three changes, so that a
framework takes many of them for the same caller.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from random import Random

Request = tuple[str, str | None, list[tuple[str, str]]]
"""A route, the path's last segment if it has one, and headers (text in Latin-1)."""

BLANKS = [
    "\xa0",
    "\x85",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x1f",
    "\x0b",
    "\x0c",
    "\t",
    " ",
    "  ",
    "\r",
    "\n",
    "\u2003",
    "\u3000",
]
JUNK = [
    "!",
    "*",
    "~",
    "-",
    "_",
    "=",
    "==",
    ".",
    ",",
    ";",
    '"',
    "\\",
    "%",
    "+",
    "/",
    "\x00",
    "\x7f",
    "\xff",
    "é",
    "A",
]
TOKENS = ["KEY", "key", "K-1_2.3~4+5/6==", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA", "5", "a b"]
USERS = ["user:pass", "user:", ":pass", "us:pa:ss", "u:p", "us:p", "josé:x", "jose\u0301:x"]
NUMBERS = ["5", "7", "10", "-3", "0", "255"]
UUIDS = ["0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7"]
SCHEMES = ["Bearer", "bearer", "BEARER", "Basic", "basic", "BaSiC", "Token", "Digest", "x"]

Change = Callable[[Random, str], str]


def at_an_end(random: Random, value: str) -> str:
    blank = random.choice(BLANKS + JUNK)
    return blank + value if random.random() < 0.4 else value + blank


def inside(random: Random, value: str) -> str:
    at = random.randint(0, len(value))
    return value[:at] + random.choice(BLANKS + JUNK) + value[at:]


def without_one(random: Random, value: str) -> str:
    at = random.randrange(len(value) or 1)
    return value[:at] + value[at + 1 :]


def other_case(random: Random, value: str) -> str:
    return random.choice([value.upper(), value.lower(), value.swapcase(), value.title()])


def escaped(random: Random, value: str) -> str:
    at = random.randrange(len(value) or 1)
    codes = "".join(f"%{byte:02{random.choice('xX')}}" for byte in value[at : at + 1].encode("utf-8"))
    return value[:at] + codes + value[at + 1 :]


def quoted(random: Random, value: str) -> str:
    octal = "".join(f"\\{ord(char):03o}" if random.random() < 0.3 else char for char in value)
    return f'"{random.choice([value, octal])}"'


def swapped(random: Random, value: str) -> str:
    """Write letters that some decoders take for each other, or bits that they drop."""
    old, new = random.choice(
        [("+", "-"), ("/", "_"), ("-", "+"), ("_", "/"), ("A", "B"), ("=", ""), ("Q", "R"), ("g", "h")]
    )
    return value[::-1].replace(old, new, 1)[::-1]


def as_number(random: Random, value: str) -> str:
    digits = value.translate({ord("0") + digit: ord("٠") + digit for digit in range(10)})
    sign, plain = ("-", value[1:]) if value.startswith("-") else ("", value)
    return random.choice(
        [
            "+" + value,
            "0" + value,
            f"{sign}00{plain}",
            value + ".0",
            value + ".00",
            digits,
            value + "e0",
            f"{value[:1]}_{value[1:]}",
            f" {value}",
            "-0",
        ]
    )


def as_uuid(random: Random, value: str) -> str:
    bare = value.replace("-", "")
    return random.choice(
        [
            bare,
            value.upper(),
            f"{{{value}}}",
            f"urn:uuid:{value}",
            f"uuid:{bare}",
            bare[:9] + "-" + bare[9:],
            f"{{{bare}}}",
        ]
    )


TEXT: Sequence[Change] = (at_an_end, at_an_end, inside, without_one, other_case)


def changed(random: Random, value: str, changes: Sequence[Change]) -> str:
    for _ in range(random.choice([0, 1, 1, 1, 2, 3])):
        value = random.choice(changes)(random, value)
    return value


def credential(random: Random, kind: str) -> list[tuple[str, str]]:
    def line() -> str:
        scheme = random.choice(SCHEMES[3:6] if kind == "basic" else SCHEMES)
        if kind == "basic":
            token = base64.b64encode(
                random.choice(USERS).encode(random.choice(["utf-8", "utf-8", "latin-1"]), "replace")
            ).decode()
        else:
            token = random.choice(TOKENS)
        between = random.choice([" ", " ", " ", "  ", "\t", " \t", "\xa0 ", " \x85"])
        return scheme + between + changed(random, token, (*TEXT, swapped, swapped))

    return [
        ("authorization", changed(random, line(), (at_an_end,))) for _ in range(random.choice([1] * 6 + [2]))
    ]


def key(random: Random) -> list[tuple[str, str]]:
    lines = random.choice([1] * 6 + [2])
    return [
        ("x-api-key", changed(random, random.choice([*TOKENS[:5], *NUMBERS]), (*TEXT, as_number)))
        for _ in range(lines)
    ]


def cookie(random: Random) -> list[tuple[str, str]]:
    def pair() -> str:
        value = changed(
            random,
            random.choice([*TOKENS[:5], "café", "5"]),
            (*TEXT, escaped, escaped, quoted, quoted, as_number),
        )
        name = random.choice(["sid"] * 6 + ["x", changed(random, "sid", (at_an_end, escaped, other_case))])
        return name + random.choice(["=", "=", "=", " = ", "\xa0="]) + value

    def line() -> str:
        pairs = [pair() for _ in range(random.choice([1, 1, 1, 2]))]
        return (
            random.choice(["", "", " ", ";"])
            + random.choice(["; ", "; ", ";", " ;"]).join(pairs)
            + random.choice(["", ";"])
        )

    return [("cookie", line()) for _ in range(random.choice([1] * 4 + [2]))]


def requests(kind: str, seed: int, count: int) -> Iterator[Request]:
    """Yield requests of one kind; among them each caller as it is properly written."""
    random = Random(f"{kind} {seed}")
    values = {
        "int": NUMBERS,
        "float": [*NUMBERS, "7.5", "0.25"],
        "uuid": UUIDS,
        "text": ["acme", "a b", "5", "café", UUIDS[0]],
    }
    changes = {
        "int": (as_number, as_number, *TEXT),
        "float": (as_number, as_number, *TEXT),
        "uuid": (as_uuid, as_uuid, *TEXT),
        "text": (*TEXT, escaped, quoted),
    }
    base = kind.partition("_")[0]
    for _ in range(count):
        if base in values:
            segment = changed(random, random.choice(values[base]), changes[base])
            # Which route a path takes is another question.
            yield kind, segment.replace("/", "").strip(".") or "5", []
            continue
        headers = (
            credential(random, kind)
            if base in ("bearer", "basic", "oauth2")
            else key(random)
            if base == "key"
            else cookie(random)
        )
        # A server decodes nothing; what is not Latin-1 arrives as the bytes of its UTF-8.
        yield kind, None, [(name, sent(value)) for name, value in headers]


def sent(value: str) -> str:
    """Return text as the bytes that are sent, spelled in Latin-1."""
    return "".join(char if ord(char) < 256 else char.encode("utf-8").decode("latin-1") for char in value)
