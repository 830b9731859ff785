"""The parts of the documentation that would rot if written by hand.

    python -m ratelimit.policy.document docs

writes `errors.md`, `policy.schema.json` and `tuning.schema.json` whole, and in other pages the tables between
`<!-- table: Struct -->` and `<!-- end -->`: of a struct's keys, or of all algorithms (`Choices`, `Bounds`).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from ratelimit.algorithms import ALGORITHMS, DEFAULT
from ratelimit.codes import Branch, every_code
from ratelimit.correlation.settings import Settings
from ratelimit.environment.diagnoses import DIAGNOSES, SUBJECTS
from ratelimit.features.parts import parts
from ratelimit.policy.schema import json_schema as schema
from ratelimit.policy.schema import knowledge, model, storing, tuning
from ratelimit.usage import pricing

WITH_TABLES = ("policy.md", "correlation.md", "algorithms.md")
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_BRANCHES: dict[Branch, str] = {
    "policy": "PolicyError: the policy file, for its author to mend.",
    "usage": "UsageError: calls of the library, for the developer to mend.",
    "store": "StoreError: shared memory or a server, for the operator to mend.",
}
_DIAGNOSED = (
    "The library logs each of these once while it runs, and counts it in `ratelimit_diagnostics_total`. It "
    "raises no exception."
)


def errors_page() -> str:
    """Return `docs/errors.md`."""
    lines = [
        "# Errors",
        "",
        "<!-- Written by `python -m ratelimit.policy.document docs`; a test keeps it in step. -->",
        "",
        "A message ends with its code in brackets, as `[limit-no-rate]`. Look for it here: what it means, "
        "what to do.",
        "Every error is a `RateLimitError`, and has the code as `error.code`. A refused request is no error.",
    ]
    for branch, words in _BRANCHES.items():
        title, _, about = words.partition(": ")
        lines += ["", f"## {title}", "", about[0].upper() + about[1:]]
        lines += _rows(branch, "error")
        if warnings := _rows(branch, "warning"):
            lines += ["", "### Warnings", *warnings]
    lines += ["", "## Diagnoses", "", _DIAGNOSED, "", "| code | |", "| --- | --- |"]
    for code, sentence in DIAGNOSES.items():
        text = sentence.replace("{about}", SUBJECTS.get(code, "")).rstrip()
        # What is said in the log ends with the names of what it is about.
        text = re.sub(":$", ".", text.replace("They are:", "They are named."))
        lines.append(f'| <a id="{code}"></a>`{code}` | {text[0].upper()}{text[1:]} |')
    return "\n".join(lines) + "\n"


def _rows(branch: Branch, severity: str) -> list[str]:
    entries = {
        code: entry
        for code, entry in every_code().items()
        if (entry.branch, entry.severity) == (branch, severity)
    }
    lines = ["", "| code | what it means | what to do |", "| --- | --- | --- |"] if entries else []
    for code, entry in entries.items():
        meaning, remedy = entry.meaning.replace("|", "\\|"), entry.remedy.replace("|", "\\|")
        anchor = "" if code in DIAGNOSES else f'<a id="{code}"></a>'  # the diagnosis of that name has it
        lines.append(f"| {anchor}`{code}` | {meaning} | {remedy} |")
    return lines


def choice_table() -> str:
    """Return the table of what each algorithm is good for, as Markdown."""
    lines = ["| `algorithm` | never more than | good for |", "| --- | --- | --- |"]
    for name, record in ALGORITHMS.items():
        more = " (default)" if name == DEFAULT else ""
        more = f", by writing `{record.written}`" if record.written else more
        lines.append(f"| `{name}`{more} | {' | '.join(record.choice)} |")
    return "\n".join(lines) + "\n"


def bounds_table() -> str:
    """Return the table of each algorithm's bounds, as Markdown."""
    head = ("algorithm", "over any interval of length W", "at one instant", "state a key", "use it for")
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|"]
    lines += [f"| `{name}` | {' | '.join(record.bounds)} |" for name, record in ALGORITHMS.items()]
    return "\n".join(lines) + "\n"


_OF_ALGORITHMS = {"Choices": choice_table, "Bounds": bounds_table}


def field_table(name: str) -> str:
    """Return the table of a struct's keys, as Markdown."""
    if name in _OF_ALGORITHMS:
        return _OF_ALGORITHMS[name]()
    homes = (model, tuning, storing, knowledge, pricing, *parts("schema"))
    home = next(module for module in homes if hasattr(module, name))
    kind: type[msgspec.Struct] = getattr(home, name)
    hints = get_type_hints(kind, include_extras=True)
    lines = ["| key | type | default | |", "| --- | --- | --- | --- |"]
    inherited = Settings.__struct_fields__ if kind is tuning.Tuning else ()  # of a table of their own
    for field in msgspec.structs.fields(kind):
        if field.name in inherited:
            continue
        hint = hints[field.name]
        # Types that are annotated twice have their bounds first.
        words = next((meta.description for meta in get_args(hint)[1:] if meta.description), "")
        default = "required" if field.required else _default(field)
        escaped = words.replace("|", "\\|")
        lines.append(f"| `{field.encode_name}` | {_type(hint)} | {default} | {escaped} |")
    return "\n".join(lines) + "\n"


def refreshed(text: str) -> str:
    """Return a page with its tables generated anew."""
    return _TABLE.sub(lambda found: found[1] + field_table(found[2]) + found[3], text)


def _default(field: msgspec.structs.FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is None or isinstance(value, msgspec.Struct):
        return ""
    if isinstance(value, bool | list):
        return f"`{json.dumps(value)}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _type(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        return _type(get_args(hint)[0])
    if hint in _WORDS:
        return _WORDS[hint]
    origin, members = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f'`"{word}"`' if isinstance(word, str) else f"`{word}`" for word in members)
    if origin is list and get_origin(members[0]) is Literal:
        return f"list of {', '.join(_type(members[0]).split(' or '))}"
    if origin is list:
        return f"list of {_plural(_type(members[0]))}"
    if origin is dict:
        return f"table of {_plural(_type(members[1]))}"
    if members:
        return " or ".join(_type(member) for member in members if member is not type(None))
    return "table"


def _plural(noun: str) -> str:
    first, space, rest = noun.partition(" ")
    return f"{first}s{space}{rest}"


_WORDS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def main(folder: str) -> None:
    """Write everything into a folder."""
    docs = Path(folder)
    (docs / "errors.md").write_text(errors_page(), "utf-8")
    (docs / "policy.schema.json").write_text(schema.render(), "utf-8")
    (docs / "tuning.schema.json").write_text(schema.render_tuning(), "utf-8")
    for name in WITH_TABLES:
        page = docs / name
        page.write_text(refreshed(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs")
