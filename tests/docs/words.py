"""Counts what makes prose hard to read: pronouns that a reader has to solve, and long sentences.

    python -m tests.docs.words                 lower the numbers in words.toml to what is counted
    python -m tests.docs.words ratelimit/cli   show each place of a room, to mend it

Counted is prose: Markdown without code, docstrings, comments. Code in backticks is one word.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASELINE = Path(__file__).with_name("words.toml")
COMMAND = "python -m tests.docs.words"
MOST_WORDS = 25
TREES = ("docs", "ratelimit", "ext", "tests", "benchmarks", "examples")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
SUFFIXES = {".md", ".py", ".pyi", ".pyx", ".pxd", ".lua", ".toml"}

PRONOUN = re.compile(
    r"\b(who|whom|whose|whoever|whomever|nobody|somebody|everybody|anybody|no one|someone|everyone|anyone)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S*\w\S*")
_SENTENCE_END = re.compile(r"[.!?][\"')*_]*\s+(?=[\"'(*_\[]*[A-Z`0-9\[])")
_STARTS_ANEW = re.compile(r"\s*(?:[-*] |\d+\. |#|\||>|[\w*.]+(?:, [\w*.]+)*: |\S+(?: \S+)?  +\S)")
_CODE = re.compile(r"`+[^`]*`+")
_LINK = re.compile(r"\]\([^)]*\)")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n)\n(?: {4}[^\n]*\n)+")
"""Code of a page that is set off by its indent alone."""
_MARKUP = re.compile(r"<!--.*?-->|<a id=[^>]*>", re.DOTALL)
# In this order: what begins first is what it is. A docstring begins its line; a text in code does not.
_PYTHON = re.compile(
    r'^[ \t]*[rRuU]?"""(?P<doc>.*?)"""'
    r'|[a-zA-Z]{0,2}""".*?"""'
    r"|[a-zA-Z]{0,2}'''.*?'''"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
    r"|#(?P<comment>[^\n]*)",
    re.MULTILINE | re.DOTALL,
)
_LUA = re.compile(r"--(?P<comment>[^\n]*)")
_NO_PROSE = re.compile(r"^[!:]?\s*(?:type:|noqa|pragma:|cython:|distutils:|cspell|fmt:|ruff:|mypy:)")


@dataclass(frozen=True, slots=True)
class Place:
    """A sentence that is counted, and where it stands."""

    file: str
    kind: str
    text: str


def room_of(path: Path) -> str:
    """Return the room of a file: its folder, at most two below the tree's top; of the pages, the page."""
    parts = path.relative_to(ROOT).parts
    if len(parts) == 1:
        return parts[0]
    return "/".join(parts[:-1][: 3 if parts[0] == "ext" else 2])


def files() -> Iterator[Path]:
    """Yield every file with prose that is ours."""
    yield from (ROOT / page for page in PAGES if (ROOT / page).exists())
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*")):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
            if path.suffix in SUFFIXES and path != BASELINE and not hidden:
                yield path


def prose(path: Path) -> Iterator[str]:
    """Yield each text of a file: a page's whole, or its docstrings and its blocks of comments.

    A comment behind code begins a text of its own: the fields of a struct are no sentence.
    """
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        yield _MARKUP.sub("", _INDENTED.sub("\n", _FENCE.sub("", text)))
        return
    block: list[str] = []
    last = -2
    for found in (_LUA if path.suffix == ".lua" else _PYTHON).finditer(text):
        line = text.count("\n", 0, found.start())
        comment = found["comment"]
        behind_code = comment is not None and bool(
            text[text.rfind("\n", 0, found.start()) + 1 : found.start()].strip()
        )
        if block and (comment is None or line != last + 1 or behind_code):
            yield "\n".join(block)
            block = []
        if comment is not None and not _NO_PROSE.match(comment.strip()):
            block.append(comment.strip())
            last = line
        elif found.groupdict().get("doc") is not None:
            yield found["doc"]
    if block:
        yield "\n".join(block)


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text; a list's item, a table's cell and an indented line begin anew."""
    for paragraph in _paragraphs(text):
        for cell in re.split(r"(?<!\\)\|", paragraph) if paragraph.lstrip().startswith("|") else [paragraph]:
            plain = " ".join(_LINK.sub("]", _CODE.sub("`code`", cell)).split())
            yield from (sentence for sentence in _SENTENCE_END.split(plain) if sentence)


def _paragraphs(text: str) -> Iterator[str]:
    lines: list[str] = []
    indent = 0
    for line in text.splitlines():
        mine = len(line) - len(line.lstrip())
        if lines and (not line.strip() or _STARTS_ANEW.match(line) or mine > indent + 2):
            yield "\n".join(lines)
            lines = []
        if line.strip():
            lines.append(line)
            indent = mine
    if lines:
        yield "\n".join(lines)


def places(path: Path) -> Iterator[Place]:
    """Yield what is counted in a file: a sentence once for each of its pronouns, and once if it is long."""
    name = path.relative_to(ROOT).as_posix()
    for text in prose(path):
        for sentence in sentences(text):
            for _ in PRONOUN.findall(sentence):
                yield Place(name, "pronouns", sentence)
            if len(_WORD.findall(sentence)) > MOST_WORDS:
                yield Place(name, "long", sentence)


def counted() -> dict[str, Counter[str]]:
    """Return for each room how many pronouns and long sentences it has."""
    rooms: dict[str, Counter[str]] = {}
    for path in files():
        found = Counter(place.kind for place in places(path))
        rooms.setdefault(room_of(path), Counter()).update(found)
    return rooms


def allowed() -> dict[str, dict[str, int]]:
    """Return what the baseline allows each room; what it does not name may have none."""
    return tomllib.loads(BASELINE.read_text("utf-8")) if BASELINE.exists() else {}


def total(rooms: dict[str, Counter[str]] | dict[str, dict[str, int]], kind: str) -> int:
    """Return the sum of one kind over all rooms."""
    return sum(room.get(kind, 0) for room in rooms.values())


def written(rooms: dict[str, Counter[str]]) -> str:
    """Return the baseline that allows exactly this."""
    lines = [
        "# Most pronouns (who, whose, nobody, …) and sentences above 25 words that each room may have.",
        f"# The numbers only go down. `{COMMAND}` lowers them to what is there.",
    ]
    for room in sorted(rooms):
        found = rooms[room]
        if any(found.values()):
            lines.append(f'"{room}" = {{ pronouns = {found["pronouns"]}, long = {found["long"]} }}')
    return "\n".join(lines) + "\n"


def lower() -> int:
    """Write the baseline anew unless its sums would rise; rooms may be moved and split."""
    rooms, before = counted(), allowed()
    for kind in ("pronouns", "long"):
        if before and total(rooms, kind) > total(before, kind):
            print(f"{kind}: {total(before, kind)} are allowed, {total(rooms, kind)} are there.")
            return 1
    BASELINE.write_text(written(rooms), "utf-8")
    print(", ".join(f"{kind}: {total(rooms, kind)}" for kind in ("pronouns", "long")))
    return 0


def show(rooms: list[str]) -> int:
    """Print each place of some rooms or files."""
    for path in files():
        if room_of(path) in rooms or path.relative_to(ROOT).as_posix() in rooms:
            for place in places(path):
                print(f"{place.file}: {place.kind}: {place.text}")
    return 0


if __name__ == "__main__":
    sys.exit(show(sys.argv[1:]) if sys.argv[1:] else lower())
