"""Lines of TOML values: the scanner against the parser."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.policy.schema import source
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.source import line_numbers

ODD = '''\
# a comment with [brackets] = "and" {braces}
title = "a # no comment" # one
"quoted.key" = 1
'literal key' = 2
"esc\\u0061ped" = 3
dotted . "name".x = true
date = 1979-05-27 07:32:00 # with a space
numbers = [ 1, # [
    2,
    [3,
     4],
]
many = """one
[two]
"three" = 4\\
   """
raw = \'\'\'
a\'b\'\'c
\'\'\'
closing = """"quoted""""
[table]
k = { a = 1, "b" = [ { c = 2 } ], d.e = "}" }
[table.sub]
z = "\\""
[[list]]
n = 1
[list.inner]
deep = 1
[[list]]
n = 2
[[list.nested]]
m = 1
[[list.nested]]
m = 2
'''


def paths_of(tree: Any, path: Path = ()) -> set[Path]:
    found = {path}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found |= paths_of(value, (*path, key))
    return found


def test_every_value_has_its_line() -> None:
    lines = line_numbers(ODD)
    assert set(lines) == paths_of(tomllib.loads(ODD))
    texts = ODD.splitlines()
    for path, expected in {
        ("title",): "title",
        ("quoted.key",): '"quoted.key"',
        ("escaped",): '"esc',
        ("dotted", "name", "x"): "dotted",
        ("date",): "date",
        ("numbers", 1): "    2",
        ("numbers", 2): "    [3",
        ("numbers", 2, 1): "     4",
        ("many",): "many",
        ("raw",): "raw",
        ("closing",): "closing",
        ("table", "k", "b", 0, "c"): "k =",
        ("table", "sub", "z"): "z",
        ("list", 0, "inner", "deep"): "deep = 1",
        ("list", 1, "n"): "n = 2",
        ("list", 1): "[[list]]",
        ("list", 1, "nested", 1, "m"): "m = 2",
    }.items():
        assert texts[lines[path] - 1].startswith(expected), path
    assert lines["list", 1] > lines["list", 0]


KEYS = st.text(alphabet="abzAZ09_-", min_size=1, max_size=4) | st.sampled_from(
    ["a.b", "", " ", 'q"q', "é", "#", "]"]
)
SCALARS = (
    st.integers(-5, 5)
    | st.booleans()
    | st.text(alphabet="ab \"'\\#[]{}=,\n.é", max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def key_text(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key) else quoted(key)


def value_text(value: Any, draw: st.DrawFn) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        multi = '"""\n' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        literal = "'" + value + "'"
        return draw(
            st.sampled_from(
                [quoted(value), multi] + ([literal] if "'" not in value and "\n" not in value else [])
            )
        )
    if isinstance(value, list):
        gap = draw(st.sampled_from(["", " ", "\n", " # ] }\n"]))
        return "[" + gap + ("," + gap).join(value_text(item, draw) for item in value) + gap + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{key_text(key)} = {value_text(item, draw)}" for key, item in value.items())
        return "{ " + inner + " }"
    return str(value)


def lines_of(value: Any, path: Path, draw: st.DrawFn, out: list[str]) -> None:
    tables = {}
    for key, item in value.items():
        as_table = isinstance(item, dict) and draw(st.booleans())
        as_array = (
            isinstance(item, list) and item and all(isinstance(i, dict) for i in item) and draw(st.booleans())
        )
        if as_table or as_array:
            tables[key] = item
        else:
            out.append(f"{key_text(key)} = {value_text(item, draw)}")
    for key, item in tables.items():
        name = ".".join(key_text(part) for part in (*path, key))
        for one in item if isinstance(item, list) else [item]:
            out.append(draw(st.sampled_from(["", "# [x]", "  "])))
            out.append(f"[[{name}]] # {key!r}" if isinstance(item, list) else f" [ {name} ]")
            lines_of(one, (*path, key), draw, out)


@given(st.data(), st.dictionaries(KEYS, VALUES, max_size=4))
def test_scanner_finds_exactly_the_paths_of_the_parser(data: st.DataObject, tree: dict[str, Any]) -> None:
    out: list[str] = []
    lines_of(tree, (), data.draw, out)
    text = "\n".join(out)
    parsed = tomllib.loads(text)
    lines = line_numbers(text)
    assert set(lines) == paths_of(parsed)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", 2),
        ("a = 1\na = 2\n", 2),
        ("[x]\n[x]\n", 2),
        ("\n\nk = [1,\n2", 4),
        ('k = "open\n', 1),
    ],
)
def test_syntax_errors_have_their_line(text: str, line: int) -> None:
    report = Report("p.toml")
    assert source.parse(text, report) is None
    (problem,) = report.problems
    assert (problem.code, problem.line) == ("policy-syntax", line)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[limit]\na = 1\n[limit]", "Cannot declare `limit` twice", "Write `[[limit]]`, with two"),
        ("[[limit]]\na = 1\n[limit]", "Cannot declare `limit` twice", "Write `[[limit]]`, with two"),
        ("[limit]\na = 1\n[[limit]]", "`limit` is there already", "Write `[[limit]]`, with two"),
        ("[a.b]\n[a.b]", "Cannot declare `a.b` twice", "Write `[a.b]` once"),
        ("rate = 50/minute", "Expected newline", 'Put text in quotes: `rate = "…"`.'),
        ("rate = 5 per minute", "Expected newline", 'Put text in quotes: `rate = "…"`.'),
        ("per = ip", "Invalid value", 'Put text in quotes: `per = "…"`.'),
        ("per = “ip”", "Invalid value", 'Put text in quotes: `per = "…"`.'),
        ('per = [ip, "x"]', "Invalid value", 'Put text in quotes: `"…"`.'),
        ("x = { rate = 5/minute }", "Unclosed inline table", 'Put text in quotes: `"…"`.'),
        ("calendar = True", "Invalid value", "Write `true`, in small letters."),
        ("burst = 5,", "Expected newline", "Mend the line named."),
        ("burst =", "Invalid value", "Mend the line named."),
        ("[store] x", "Expected newline", "Mend the line named."),
        ("a = 1\na = 2", "Cannot overwrite a value", "Mend the line named."),
        ('name = "a" rate = "5/minute"', "Expected newline", "Write each key on a line of its own."),
        ('x = { a = "b" c = "d" }', "Unclosed inline table", "Write a comma between keys."),
        ("key = sk-secret", "Invalid value", 'Put text in quotes: `key = "…"`.'),
    ],
)
def test_common_slips_say_what_to_write(text: str, says: str, hint: str) -> None:
    report = Report("p.toml")
    assert source.parse(text, report) is None
    (problem,) = report.problems
    assert problem.message.startswith(says)
    assert problem.hint.startswith(hint)


def test_windows_line_ends_and_byte_order_mark_do_not_move_lines() -> None:
    report = Report("p.toml")
    text = source.decode(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n", report)
    assert text is not None
    assert line_numbers(text)["b",] == 2


def test_bytes_that_are_no_text_are_a_problem_with_a_line() -> None:
    report = Report("p.toml")
    assert source.decode(b"a = 1\nb = '\xff'\n", report) is None
    assert [(problem.code, problem.line) for problem in report.problems] == [("policy-encoding", 2)]
