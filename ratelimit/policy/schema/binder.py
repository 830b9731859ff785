"""The binder: from a tree to the structs of `model`, with every misfit noted and none fatal.

The usual way to fill a struct stops at the first error. Operators want them all,
so this walks tree and types together. A value that does not fit is noted and
marked as unusable, its default (or an empty value) stands in, and checking goes on.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from ratelimit.environment.spelling import did_you_mean
from ratelimit.features.steps import LENIENT
from ratelimit.policy.schema.problem import OF_THE_FILE, Path, Report, misplaced, render_key
from ratelimit.policy.schema.tuning import Tuning

T = TypeVar("T", bound=Struct)

MAX_ITEMS: dict[tuple[str, ...], int] = {
    ("limit",): 256,
    ("adaptive",): 16,
    ("identities",): 64,
    ("allow",): 64,
    ("deny",): 64,
}
MAX_LIST = 10_000
"""Most entries of any other list or table, as in `allow` and `deny`."""

_OTHER_WORDS = {
    "rate": ("limit", "quota", "requests", "max", "max_requests", "period", "window"),
    "per": ("key", "by", "key_func", "group_by", "descriptor", "scope"),
    "match": ("path", "paths", "route", "routes", "url", "uri", "method", "methods", "endpoint"),
    "except": ("exclude", "exempt", "ignore", "skip"),
    "cost": ("weight",),
    "from": ("source", "header"),
    "budget": ("age", "payer"),
    "extra": ("sponsor",),
}
"""Keys, and what others call them."""
_SAVED = "A token bucket saves what is not used, up to `burst`: by default as much as the rate has."
_PAID = 'Write `rate = "0/lifetime"`, and add what is paid: `ratelimit act budget add`.'
_OTHER_WAYS = {
    "rollover": _SAVED,
    "carry_over": _SAVED,
    "carryover": _SAVED,
    "prepaid": _PAID,
    "balance": _PAID,
    "credit": _PAID,
    "lifetime": 'Write `rate = "20/lifetime"`.',
}
"""What has no key of its own in a limit, and how it is written."""
_OTHER_VALUES = {
    "shadow": ("dry-run", "dry_run", "dryrun", "report", "log", "monitor", "observe"),
    "sliding-log": ("moving-window",),
    "token-bucket": ("gcra",),
    "wait": ("delay", "throttle", "queue", "hold"),
    "refuse": ("reject", "deny", "block"),
}
_TUNED = "It stands in the file that `tuning` names{}."
_MOVED = {
    "Limit": {"lease": _TUNED.format(", as `slot_kept_s`")},
    "PolicyFile": {
        "trust": 'Write `proxies = ["10.0.0.0/8"]` above the first table; with `"forwarded"` as another '
        "entry the header `Forwarded` is read.",
        "routing": "Write `root_paths` and `spellings` above the first table.",
        "queue": "Write `[[class]]` and `fair_by`. The lengths of lines stand in the file of `tuning`.",
    },
    "Adaptive": {
        **dict.fromkeys(
            ("floor", "start", "ceiling"), "Write `in_flight = [4, 20, 400]`: these three in order."
        ),
        "shadow": 'Write `mode = "shadow"`.',
        "hold": 'Write `mode = "shed"`.',
        "class": "Write `[[class]]`.",
    },
    "Store": {
        "path": 'Write `memory = "PATH"`.',
        "username": "Write it into the URL: `redis://USER@HOST`.",
        "tls": "Write `ca`, `certificate` and `check_hostname` into `[store]` itself.",
    },
    "Correlation": {
        "tuning": 'Write `tuning = "tuning.toml"` above the first table.',
        "costly": 'Write `extra = ["NAME:costly"]`.',
        "correlator": _TUNED.format(", as `correlator_runs_in`"),
    },
    "Tier": {"debt": "It is the limit's own, for all plans."},
    "Identity": {
        "prefix": 'Write `from = "client/24/48"`: the bits of IPv4 and of IPv6 that count.',
        "key": 'Write `cache = "header:authorization for 5m"`.',
    },
}
"""By the name of a table: keys that it had once, and what to write."""
_TO_ADD = {
    "version": "Add `version = 1`.",
    "per": 'Add it: `per = "ip"` or another identity, or `per = []` for one budget of all callers.',
}

_SOURCE = re.compile(r"client|(header|cookie|state|path|resolver):[\w.-]{1,64}")
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}


def bind(kind: type[T], tree: Any, report: Report, path: Path = ()) -> T:
    """Return a struct of this kind, filled from a tree as far as that fits."""
    if not isinstance(tree, dict):
        report.unusable(
            "policy-type", path, f"{_name(path)} must be a table, not {_found(tree)}", _table(path, tree)
        )
        tree = {}
    fields = _fields(kind)
    for key in tree:
        if key not in fields:
            hint = (_in_limit(key, tree) if "on_refusal" in fields else "") or _other_word(key, fields)
            hint = _MOVED.get(kind.__name__, {}).get(key) or misplaced((*path, key)) or hint
            if key == "on_unusable" and "memory" in fields:
                hint = 'Write `memory = "prefer-shared"`, or remove it.'
            if not hint and key in Tuning.__struct_fields__ and kind is not Tuning:
                hint = "It is a number of tuning: write it in the file of `tuning`."
            hint = hint or did_you_mean(key, fields) or f"Known here: {', '.join(fields)}."
            report.unusable("policy-unknown-key", (*path, key), f"`{key}` is not a key of this table", hint)
    hints = _hints(kind)
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in tree:
            values[field.name] = _bind_value(
                hints[field.name], tree[key], report, (*path, key), _default(field, hints)
            )
        elif field.required:
            report.unusable("policy-missing-key", (*path, key), f"`{key}` is missing", _TO_ADD.get(key))
            values[field.name] = _empty(hints[field.name])
    return kind(**values)


def _table(path: Path, tree: object) -> str:
    """Return what to write for an identity that is only said where it comes from."""
    if (
        path[:1] != ("identities",)
        or len(path) != 2
        or not isinstance(tree, str)
        or not _SOURCE.fullmatch(tree)
    ):
        return ""
    return f'Write `{path[1]} = {{ from = "{tree}" }}`.'


def _other_word(word: str, known: Iterable[str]) -> str:
    if word.lower() == "missing" and "per" in known:
        return "It belongs to the identity, under `[identities]`."
    if "rate" in known and word.lower() in _OTHER_WAYS:
        return _OTHER_WAYS[word.lower()]
    found = next((key for key, others in _OTHER_WORDS.items() if word.lower() in others and key in known), "")
    return f"Did you mean `{found}`?" if found else ""


def _in_limit(key: str, limit: Mapping[str, Any]) -> str:
    """Return what to write for a word that is the value of another key of a limit."""
    value = limit[key]
    shown = json.dumps(value, default=str)[:80]
    per = limit.get("per")
    match key:
        case "estimate":
            return f"Write `cost = {shown}`."
        case "zone" | "calendar":
            zone = f":{value[:64]}" if isinstance(value, str) else ""
            return f'Write `algorithm = "calendar{zone}"`.'
        case "on":
            unit = {"connect": "handshakes", "message": "messages"}.get(str(value), "requests")
            return f'Write `unit = "{unit}"`.'
        case "shadow" | "dry_run" | "dry-run" | "dryrun":
            return f'Write `mode = "{"enforce" if value is False else "shadow"}"`.'
        case "enforce":
            return f"Write `mode = {shown}`."
        case "distinct":
            return f'Write `unit = "distinct:{str(value)[:64]}"`.'
        case "tier":
            return f"Write the plans as `tiers.{str(value)[:64]}.PLAN`."
        case "on_exhausted":
            return (
                'Write `on_refusal = ["cut"]`.' if value == "cut" else "Remove it: streams end by themselves."
            )
        case "overflow" if value is True:
            return 'Write `budget = "overflow"`.'
        case "earned":
            return f"Write `budget = {shown}`." if value == "overflow" else "Write its keys into `budget`."
        case "grant":
            return f"Write `exposure = {shown.replace('body', 'grant', 1)}`."
        case "verdict" if per is not None:
            names = [f"cluster:{value}" if name == "cluster" else name for name in _listed(per)]
            written = json.dumps(names if isinstance(per, list) else names[0], default=str)
            return f"Write `per = {written[:120]}`."
        case _:
            return _refusal(key, limit)


def _listed(names: Any) -> list[Any]:
    return names if isinstance(names, list) else [names]


def _refusal(key: str, limit: Mapping[str, Any]) -> str:
    """Return what to write for a key of a limit that says in another way what follows a refusal."""
    action, ladder, longest = limit.get("action"), limit.get("ladder"), limit.get("delay", "500ms")
    if key == "delay" or (key == "action" and action == "delay"):
        return f"Write `wait = {json.dumps(longest, default=str)}`: how long a request may wait for room."
    if key not in ("action", "ladder"):
        return ""
    first = action if action in [step.name for step in LENIENT] else "refuse"
    steps = ladder if isinstance(ladder, list) else []
    listed = json.dumps([first, *("wait" if step == "delay" else step for step in steps)], default=str)
    return f"Write `on_refusal = {listed}`."


@lru_cache(maxsize=64)
def _fields(kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


@lru_cache(maxsize=64)
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _default(field: msgspec.structs.FieldInfo, hints: dict[str, Any]) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return _empty(hints[field.name])


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the one type there is."""
    bare = _bare(hint)
    members = get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)
    return tuple(_bare(member) for member in members)


def _empty(hint: Any) -> Any:
    """Return the plainest value of a type, to stand in for one that is missing."""
    members = _choices(hint)
    for member in members:
        if get_origin(member) is list:
            return []
        if get_origin(member) is Literal:
            return get_args(member)[0]
    return members[0]()


def _bind_value(hint: Any, value: Any, report: Report, path: Path, default: Any) -> Any:
    for member in _choices(hint):
        origin = get_origin(member)
        if (
            isinstance(member, type)
            and issubclass(member, Struct)
            and (isinstance(value, dict) or len(_choices(hint)) == 1)
        ):
            return bind(member, value, report, path)
        if origin is list and isinstance(value, list | tuple):
            if path[0] in OF_THE_FILE and any(isinstance(one, dict) for one in value):
                message = f"{_name(path)} must be a list of words, not of tables"
                report.unusable("policy-type", path, message, _at_top(hint, path))
                return default
            return _bind_list(get_args(member)[0], list(value), report, path)
        if origin is dict and isinstance(value, dict):
            return _bind_table(get_args(member)[1], value, report, path)
    try:
        return msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as error:
        _note_misfit(hint, value, report, path, str(error))
        return default


def _bind_list(hint: Any, values: list[Any], report: Report, path: Path) -> list[Any]:
    kept = values[: _within(values, report, path)]
    return [
        _bind_value(hint, value, report, (*path, index), _stand_in(hint)) for index, value in enumerate(kept)
    ]


def _bind_table(hint: Any, values: dict[str, Any], report: Report, path: Path) -> dict[str, Any]:
    kept = list(values.items())[: _within(values, report, path)]
    return {key: _bind_value(hint, value, report, (*path, key), _stand_in(hint)) for key, value in kept}


def _stand_in(hint: Any) -> Any:
    bare = _choices(hint)[0]
    return None if isinstance(bare, type) and issubclass(bare, Struct) else _empty(hint)


def _within(values: Any, report: Report, path: Path) -> int:
    most = MAX_ITEMS.get(tuple(part for part in path if isinstance(part, str)), MAX_LIST)
    if len(values) > most:
        report.add("policy-too-many", path, f"{_name(path)} has {len(values)} entries; {most} are the most")
    return most


def _note_misfit(hint: Any, value: Any, report: Report, path: Path, error: str) -> None:
    literals = [
        word for member in _choices(hint) if get_origin(member) is Literal for word in get_args(member)
    ]
    takes_number = float in _choices(hint)
    if literals and not (takes_number and type(value) in (int, float)):
        code = "policy-version" if path == ("version",) else "policy-value"
        choices = ", ".join(f"`{word}`" for word in literals)
        if len(literals) > 1:
            choices = f"one of {choices}" if not takes_number else f"{choices} or a number"
        texts = [word for word in literals if isinstance(word, str)]
        hint_text = ""
        if isinstance(value, str):
            hint_text = other_value(value, texts) or did_you_mean(value, texts)
        report.unusable(code, path, f"{_name(path)} is {value!r}; it must be {choices}"[:300], hint_text)
        return
    wanted = [
        _NAMES.get(member, "a list" if get_origin(member) is list else "a table")
        for member in _choices(hint)
        if member is not type(None)
    ]
    if type(value) in _choices(hint) or (float in _choices(hint) and type(value) is int):
        expected = (
            error.removeprefix("Expected ")
            .replace("`str` of ", "text of ")
            .replace("`", "")
            .split(" - at ")[0]
            .replace("int ", "a whole number ")
            .replace("float ", "a number ")
            .replace(">= ", "from ")
            .replace("> ", "above ")
            .replace("<= ", "up to ")
            .replace("of length from 1", "that is not empty")
            .removesuffix(".0")
        )
        subject = _name(path) if isinstance(value, str) else repr(value)
        report.unusable("policy-value", path, f"{subject} is out of range: it must be {expected}"[:300])
        return
    instead = ""
    if isinstance(value, dict) and wanted == ["a list"]:
        of_tables = _stand_in(get_args(_choices(hint)[0])[0]) is None
        instead = f"Write `[[{render_key(path)}]]`, with two brackets." if of_tables else _at_top(hint, path)
    elif isinstance(value, dict) and path[0] in OF_THE_FILE:
        instead = _at_top(hint, path)
    elif isinstance(value, str) and wanted == ["a list"] and _may_list(_choices(hint)[0], value):
        instead = f'Write `{path[-1]} = ["{value}"]`.'
    elif isinstance(value, str) and value.isdecimal() and not {int, float}.isdisjoint(_choices(hint)):
        instead = f"Write it without quotes: `{path[-1]} = {value[:20]}`."
    elif type(value) is int and path[-1:] == ("rate",):
        instead = f'Say of which time: `rate = "{value}/minute"`.'
    message = f"{_name(path)} must be {' or '.join(wanted)}, not {_found(value)}"
    report.unusable("policy-type", path, message, instead)


def _at_top(hint: Any, path: Path) -> str:
    """Return what to write for a key of the whole file that was written as a table."""
    notes = [one for one in get_args(hint)[1:] if isinstance(one, msgspec.Meta)]
    examples = [note.examples[0] for note in notes if note.examples]
    if len(path) > 1 or not examples:
        return "Write one list." if any(get_origin(one) is list for one in _choices(hint)) else ""
    return f"Write `{path[0]} = {json.dumps(examples[0])}` above the first table."


def other_value(value: str, known: Iterable[str]) -> str:
    """Return "Did you mean `…`?" for a value that others call otherwise, or nothing."""
    meant = next((one for one in known if value.lower() in _OTHER_VALUES.get(one, ())), "")
    return f"Did you mean `{meant}`?" if meant else ""


def _may_list(hint: Any, value: str) -> bool:
    """Return whether a list of this type may have a text as an entry."""
    return any(each is str or value in get_args(each) for each in _choices(get_args(hint)[0]))


def _name(path: Path) -> str:
    return f"`{render_key(path)}`" if path else "the policy"


def _found(value: Any) -> str:
    return _NAMES.get(
        type(value), "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
    )
