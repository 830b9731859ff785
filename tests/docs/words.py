"""The words of the documentation: `python -m tests.docs.words [PAGE]`.

Without a page: words of each page outside the reference, and the share of sentences in four stiff forms.
With one: the sentences that have such a form. A low share is no aim by itself; a page has to read well aloud.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = set(
    re.findall(
        r'= "([\w-]+\.md)"',
        (ROOT / "zensical.toml").read_text("utf-8").partition('"Look it up"')[2].partition("] }")[0],
    )
)
"""Pages that are looked up: a part of the site's navigation."""
FORMS = {
    "opens with a relative or an inversion": re.compile(
        r"^(What|Whatever|Who|Whoever|Whose|Nor|Of (?:a|an|the|all|each)|Counted|Called|Held)\b(?!.*\?$)"
    ),
    "told, says, asked": re.compile(r"\b(told|tells?|says?|said|asked|known of)\b", re.IGNORECASE),
    "nothing, none, neither": re.compile(r"\b(nothing|none|neither|nor|nobody|no other)\b", re.IGNORECASE),
    "hardly, else, likewise": re.compile(
        r"\b(hardly|else|likewise|all the same|as any other|is none)\b", re.IGNORECASE
    ),
}


def pages() -> list[Path]:
    """Return README and every page that is no reference."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(path for path in docs if path.name not in REFERENCE)]


def sentences(path: Path) -> Iterator[str]:
    """Yield the sentences of a page, without code; a cell of a table is one."""
    text = re.sub(r"^( *)```.*?^\1```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^(?: {4}|#).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "X", text)
    for part in re.split(r"\n\s*\n|\n(?=[-*|#\d])|\|", text):
        flat = re.sub(r"^[-*#>\d.]+ ", "", " ".join(part.split()).strip("*_ "))
        for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z*])", flat):
            if len(sentence.split()) > 2:
                yield sentence.strip("*_ ")


def main() -> None:
    """Print what the command line wants."""
    if len(sys.argv) > 1:
        for sentence in sentences(ROOT / sys.argv[1]):
            if any(form.search(sentence) for form in FORMS.values()):
                print(sentence)
        return
    whole, found, total = 0, dict.fromkeys(FORMS, 0), 0
    for path in pages():
        lines = list(sentences(path))
        hits = [sum(bool(form.search(line)) for line in lines) for form in FORMS.values()]
        words = len(path.read_text("utf-8").split())
        print(f"{words:6}  {len(lines):5}  {hits}  {path.relative_to(ROOT)}")
        whole, total = whole + words, total + len(lines)
        for form, count in zip(FORMS, hits, strict=True):
            found[form] += count
    print(f"{whole:6} words, {total} sentences")
    for form, count in found.items():
        print(f"{100 * count / total:5.2f} %  {form}")


if __name__ == "__main__":
    main()
