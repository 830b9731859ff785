"""Every key of the policy's types, and wrong values for it, as TOML text.

The keys are read from the same structs that policies are bound to, so a key that is added is
tried as well.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from ratelimit.policy.schema.model import PolicyFile

Key = tuple[str | int, ...]

SOUND: dict[str, Any] = {
    "version": 1,
    "limit": [
        {
            "name": "requests",
            "per": "account",
            "match": "POST /v1/*",
            "rate": "10/minute",
            "tiers": {"plan": {"pro": {"rate": "20/minute"}}},
        }
    ],
    "identities": {
        "account": {"from": "header:x-api-key"},
        "network": {"from": "client/24/48"},
        "plan": {"from": "resolver:plan", "cache": "header:x-api-key for 60s"},
        "payment": {"from": "header:x-payment", "missing": "skip"},
    },
    "proxies": ["10.0.0.0/8"],
    "allow": {"ip": ["192.0.2.1"], "account": ["friend"]},
    "deny": {"account": ["foe"]},
    "store": {"keys": 64, "memory": "private"},
    "headers": ["ratelimit"],
    "events": ["log"],
    "hashing": {},
    "correlation": {
        "principal": "account",
        "network": ["ip"],
        "payment": "payment",
        "known": {"organisations": {"one": {"payment": ["card"]}}, "networks": []},
    },
}
"""A policy with one of each table. What it lacks of keys is added where they are tried."""

DIGITS = "9" * 5000
WRONG = (
    '"1"', '""', '"x"', "1", "0", "-1", "1.5", "-0.0", "nan", "inf", "-inf", "1e400", "true", "false",
    "[]", "[[]]", "[1]", '["x"]', '["", ""]', '["x", 1]', "[nan]", "[{}]", "[[[[]]]]", "{}", "{ a = 1 }",
    '{ "" = "" }', '{ x = { y = { z = [] } } }',
    "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-05-27T07:32:00", "[1979-05-27]",
    DIGITS, f"-{DIGITS}", f"[{DIGITS}]", f"{{ a = {DIGITS} }}", "9" * 4000, f"0x{'f' * 9000}",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "4294967296",
    f'"{"x" * 4096}"', f'"{"x" * 4097}"', f'"{"9" * 4000}"', f'"{"9" * 200}/minute"', f'"1/{"9" * 200}day"',
    f'"{"1/second;" * 20}1/second"', f'["{"x" * 5000}"]',
    r'"\u0000"', r'"a\u0000b"', r'["a\u0000b"]', r'{ "a\u0000b" = "x" }', r'"\u001b[31mred"', r'"‮evil"',
    r'"\n\r\t"', "'''\nlines\n'''", '" "', '"é"', '"\U0001f600"', '"*"', '"/"', '"{"', '"{}"', '"\\\\"',
    '"#1"',
    "[" * 20 + "]" * 20, "{ a = " * 20 + "1" + " }" * 20,
    '"client"', '"header:"', '"header:x"', '"cookie:x"', '"path:x"', '"state:x"', '"resolver:x"',
    '"resolver:a:b"',
    '"env:"', '"env:NO_SUCH_VARIABLE"', '"file:"', '"file:/"', '"file:/nowhere/at/all"', r'"file:a\u0000b"',
    '"redis://"', '"redis://127.0.0.1:99999999999"', '"redis://127.0.0.1/99999"', '"unix://"', '"unix:///%00"',
    '"1/second"', '"0/second"', '"1/0second"', '"/"', '"1ms"', '"999999999999d"', '"0s"', '"-1s"', '"UTC"',
    '"../../etc"', '"cluster"', '"ip"', '"declared network"', '"0.0.0.0/0"', '"::/0"', '"1.2.3.4/33"',
    '"::1%x"',
    '["ip", "ip"]', '["ip", "account", "plan", "payment"]',
)  # fmt: skip
"""Of every type, and at every edge; some are right for some keys."""


def keys() -> Iterator[Key]:
    """Yield the path of every key there is; of lists of tables and of tables of tables the first entry's."""
    yield from _keys(PolicyFile, SOUND, ())


def _keys(kind: Any, example: Any, path: Key) -> Iterator[Key]:
    hints = get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        here = (*path, field.encode_name)
        yield here
        inner = example.get(field.encode_name) if isinstance(example, dict) else None
        for struct, wrapped in _structs(hints[field.name]):
            if wrapped is list:
                yield (*here, 0)
                yield from _keys(struct, inner[0] if inner else {}, (*here, 0))
            elif wrapped is dict:
                name = next(iter(inner), "x") if inner else "x"
                yield (*here, name)
                yield from _keys(struct, inner.get(name) if inner else {}, (*here, name))
            else:
                yield from _keys(struct, inner, here)


def _structs(hint: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the structs that a hint names, each with what holds them: a list, a table or nothing."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint, None
    origin = get_origin(hint)
    for member in get_args(hint):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            yield member, origin if origin in (list, dict) else None


def with_wrong(key: Key, wrong: str) -> str:
    """Return the sound policy as TOML, with a value in the place of a key."""
    return document(SOUND, key, wrong)


def document(tree: dict[str, Any], key: Key, wrong: str) -> str:
    """Return a tree as TOML, one key of the file a line, with one value replaced or added."""
    lines = []
    names = list(tree)
    if key and key[0] not in tree:
        names.append(str(key[0]))
    for name in names:
        is_here = bool(key) and key[0] == name
        lines.append(f"{name} = {_written(tree.get(name, {}), key[1:] if is_here else None, wrong)}")
    return "\n".join(lines) + "\n"


def _written(value: Any, key: Key | None, wrong: str) -> str:
    """Return a value as TOML; what stands at `key` below it is the wrong one."""
    if key == ():
        return wrong
    if isinstance(value, dict):
        names = dict.fromkeys([*value, str(key[0])] if key else value)
        pairs = (
            f"{quoted(name)} = {_written(value.get(name, {}), _below(key, name), wrong)}" for name in names
        )
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        items = list(value) or ([{}] if key else [])
        return f"[{', '.join(_written(item, _below(key, at), wrong) for at, item in enumerate(items))}]"
    return quoted(value) if isinstance(value, str) else str(value).lower()


def _below(key: Key | None, part: str | int) -> Key | None:
    return key[1:] if key and key[0] == part else None


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def random_wrong(rng: random.Random) -> tuple[Key, str]:
    """Return any key with any value, or several values in a list or a table."""
    key = rng.choice(ALL_KEYS)
    kind = rng.random()
    if kind < 0.5:
        return key, rng.choice(WRONG)
    if kind < 0.75:
        return key, "[" + ", ".join(rng.choice(WRONG) for _ in range(rng.randint(1, 4))) + "]"
    names = rng.sample([str(part) for each in ALL_KEYS for part in each[-1:]], 3)
    inner = ", ".join(f"{quoted(name)} = {rng.choice(WRONG)}" for name in dict.fromkeys(names))
    return key, "{ " + inner + " }"


ALL_KEYS = tuple(keys())
