"""TOML text as a tree, and the line on which each of its values stands.

The standard parser says nothing of positions. This module lets it parse, and
thereby vouch for the text. A scanner then walks the same text only to note where
keys are, and may rely on everything being well-formed. A test holds the paths of
the two together.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any

from ratelimit.parsing.toml import TOMLDecodeError, TooDeep, deepest_line, read_toml
from ratelimit.policy.schema.problem import Path, Report

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_TEXT = 4096
"""Longest key or string anywhere in a policy."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_STRINGS = (
    # Multi-line ones may end in up to two quotes of their own.
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)
_INTEGERS = range(-(1 << 63), 1 << 63)
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TWICE = re.compile(r"Cannot declare \((.*)\) twice")
_HEADER = re.compile(r"[ \t]*\[\[([^\[\]\n]+)\]\]")
_DELIMITERS = " \t,=[]{}#\"'"
_VALUES = ("Invalid value", "Expected newline or end of document", "Unclosed array", "Unclosed inline table")
"""What the parser says where a value stands that is none."""
_LISTS = ("limit", "class")
"""Lists of tables."""


def decode(raw: bytes, report: Report) -> str | None:
    """Return the text of a file's bytes, or None with a problem noted."""
    if len(raw) > MAX_BYTES:
        report.add("policy-size", (), f"the file has {len(raw)} bytes; {MAX_BYTES} are the most")
        return None
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        report.lines = {(): raw.count(b"\n", 0, error.start) + 1}
        report.add("policy-encoding", (), f"byte {error.start} is not UTF-8")
        return None


def parse(text: str, report: Report) -> dict[str, Any] | None:
    """Return the tree of a TOML text, or None with a problem noted; tell the report the lines."""
    report.lines = {(): 1}
    try:
        tree, text = read_toml(text)
        report.lines = line_numbers(text)
    except (TooDeep, RecursionError):  # the scanner of lines goes about as deep as the parser
        report.lines = {(): deepest_line(text)}
        report.add("policy-depth", (), f"values are nested more than {MAX_DEPTH} deep")
        return None
    except TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        at_line, column = (int(place[1]), int(place[2])) if place and place[1] else (text.count("\n") + 1, 0)
        report.lines = {(): at_line}
        report.add("policy-syntax", (), *_syntax(_PLACE.sub("", message), text, at_line, column))
        return None
    return tree if check_shape(tree, report) else None


def _syntax(message: str, text: str, at_line: int, column: int) -> tuple[str, str | None]:
    """Return the parser's complaint in words of the file, and what to do where that can be told."""
    line = text.split("\n")[at_line - 1]
    twice, header = _TWICE.fullmatch(message), _HEADER.match(line)
    if twice:
        name = ".".join(re.findall(r"'([^']*)'", twice[1]))
        again = f"Cannot declare `{name}` twice"
        if name in _LISTS:
            return again, f"Write `[[{name}]]`, with two brackets, each time."
        return again, f"Write `[{name}]` once, with all its keys below it."
    if header and message == "Cannot overwrite a value":
        name = header[1].strip()
        return (
            f"`{name}` is there already, and is no list",
            f"Write `[[{name}]]`, with two brackets, each time.",
        )
    return message, _quotes(message, line, column) if column else None


def _quotes(message: str, line: str, column: int) -> str | None:
    """Return what to do about a value that is text without quotes, None if it is something else."""
    if not message.startswith(_VALUES) or (message != "Invalid value" and "=" not in line[: column - 1]):
        return None
    # The parser may have read the start of the word as a number. What it says may be a secret: no echo.
    start = end = column - 1
    while start and line[start - 1] not in _DELIMITERS:
        start -= 1
    while end < len(line) and line[end] not in _DELIMITERS:
        end += 1
    word = line[start:end]
    if line[end:].lstrip().startswith("="):  # another key, behind a value that is sound
        return (
            "Write a comma between keys." if "{" in line[:start] else "Write each key on a line of its own."
        )
    if word.lower() in ("true", "false"):
        return f"Write `{word.lower()}`, in small letters."
    if not word or word.isdecimal():
        return None
    key, _, before = line[:start].partition("=")
    alone = _BARE_KEY.fullmatch(key.strip()) and "[" not in before and "{" not in before
    return f'Put text in quotes: `{key.strip()} = "…"`.' if alone else 'Put text in quotes: `"…"`.'


def check_shape(tree: dict[str, Any], report: Report) -> bool:
    """Note what cannot be handled at all: a tree too deep, texts or numbers too long, texts that are none."""
    stack: list[tuple[Any, Path]] = [(tree, ())]
    sound = True
    while stack:
        value, path = stack.pop()
        if len(path) > MAX_DEPTH:
            report.add("policy-depth", path[:1], f"values are nested more than {MAX_DEPTH} deep")
            sound = False
        elif isinstance(value, dict):
            for key, inner in value.items():
                if not isinstance(key, str):
                    report.add("policy-type", path, f"the key {key!r} is not a string")
                    sound = False
                elif len(key) > MAX_TEXT:
                    report.add("policy-text-length", path, f"a key is longer than {MAX_TEXT} characters")
                    sound = False
                elif not _is_text(key):
                    report.add("policy-text", path, "a key holds NUL or half of a surrogate pair")
                    sound = False
                else:
                    stack.append((inner, (*path, key)))
        elif isinstance(value, list | tuple):
            stack.extend((inner, (*path, index)) for index, inner in enumerate(value))
        elif isinstance(value, str) and len(value) > MAX_TEXT:
            report.add("policy-text-length", path, f"a text is longer than {MAX_TEXT} characters")
            sound = False
        elif isinstance(value, str) and not _is_text(value):
            report.add("policy-text", path, "the text holds NUL or half of a surrogate pair")
            sound = False
        elif isinstance(value, int) and value not in _INTEGERS:
            report.add("policy-value", path, "a whole number is out of range: it must fit into 64 bits")
            sound = False
    return sound


def _is_text(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def line_numbers(text: str) -> dict[Path, int]:
    """Return the line of every key and array item of a well-formed TOML text."""
    return _Scanner(text).scan()


class _Scanner:
    """One walk over a text that is known to be well-formed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {(): 1}
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.last_item: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self.skip_blank():
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)
        return self.lines

    def skip_blank(self) -> bool:
        """Move over white space, line ends and comments; tell whether anything is left."""
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at < len(self.text)

    def skip_spaces(self) -> None:
        while self.text.startswith((" ", "\t"), self.at):
            self.at += 1

    def note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self.breaks, at - 1) + 1)

    def header(self) -> Path:
        start = self.at
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        parts = self.key()
        self.at += 2 if is_array else 1
        path: Path = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            if is_array and position == len(parts) - 1:
                self.last_item[path] = self.last_item.get(path, -1) + 1
            self.note(path, start)
            if path in self.last_item:
                path = (*path, self.last_item[path])
                self.note(path, start)
        return path

    def pair(self, table: Path) -> None:
        start = self.at
        path = table
        for part in self.key():
            path = (*path, part)
            self.note(path, start)
        self.at += 1  # the equals sign
        self.skip_spaces()
        self.value(path)

    def key(self) -> list[str]:
        """Read a dotted key and the spaces around it."""
        parts = []
        while True:
            self.skip_spaces()
            found = _BARE_KEY.match(self.text, self.at)
            if found:
                self.at = found.end()
                parts.append(found[0])
            else:
                quoted = self.string()
                # Only the parser knows all escapes.
                parts.append(read_toml(f"k={quoted}")[0]["k"] if "\\" in quoted else quoted[1:-1])
            self.skip_spaces()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def string(self) -> str:
        for pattern in _STRINGS:
            found = pattern.match(self.text, self.at)
            if found:
                self.at = found.end()
                return found[0]
        return ""

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.string()
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            found = _BARE_VALUE.match(self.text, self.at)
            self.at = found.end() if found else self.at

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.skip_blank() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.note((*path, index), self.at)
            self.value((*path, index))
            index += 1
        self.at += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while self.skip_blank() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.pair(path)
        self.at += 1
