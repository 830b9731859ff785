"""Request targets as no client writes them: paths that are served, bent at random by a seeded hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

BASES = (
    "/v1/chat",
    "/users/7",
    "/pair/a/b",
    "/files/a/b",
    "/sub/v1/chat",
    "/sub/a/b",
    "/sub/deep/v1/chat",
    "/sub/deep/x/y/z",
    "/V1/Chat",
)
FORMS = ("http://x", "x:", "v1:", "//x", "http://x:80/", "http://[", "x", "%20", "%09", ";", "a;b", ".", "*")
ENDS = (
    "%0A",
    "%0a%0A",
    "/",
    "//",
    "/.",
    "/..",
    ";v=1",
    "%20",
    "%00",
    "?q=/v1/chat",
    "%3Fq",
    "#f",
    "/%2E",
    ".",
)
LETTERS = {"s": "%C5%BF", "k": "%E2%84%AA", "i": "%C4%B1"}
"""Letters that ignoring case makes of others: long s, the Kelvin sign, i without a dot."""

Hand = random.Random
Change = Callable[[Hand, str, Sequence[str]], str]


def _at(hand: Hand, text: str, what: str, instead: str) -> str:
    """Replace one of the places where a text has something."""
    places = [at for at in range(len(text)) if text.startswith(what, at)]
    if not places:
        return text
    at = hand.choice(places)
    return text[:at] + instead + text[at + len(what) :]


def _double_slash(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return _at(hand, text, "/", "/" * hand.randint(2, 3))


def _encoded_slash(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return _at(hand, text, "/", hand.choice(("%2F", "%2f", "%252F", "%5C")))


def _no_slash(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return _at(hand, text, "/", "")


def _dots(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return _at(hand, text, "/", hand.choice(("/./", "/../", "/x/../", "/%2e/", "/v1/%2E%2e/")))


def _encoded_letter(hand: Hand, text: str, roots: Sequence[str]) -> str:
    at = hand.randrange(len(text)) if text else 0
    return f"{text[:at]}%{ord(text[at]):02X}{text[at + 1 :]}" if text else text


def _other_letter(hand: Hand, text: str, roots: Sequence[str]) -> str:
    letter = hand.choice(tuple(LETTERS))
    return _at(hand, text, letter, LETTERS[letter])


def _upper(hand: Hand, text: str, roots: Sequence[str]) -> str:
    if hand.random() < 0.3:
        return text.upper()
    at = hand.randrange(len(text)) if text else 0
    return text[:at] + text[at : at + 1].swapcase() + text[at + 1 :]


def _form(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return hand.choice(FORMS) + (text if hand.random() < 0.8 else text.lstrip("/"))


def _end(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return text + hand.choice(ENDS)


def _root(hand: Hand, text: str, roots: Sequence[str]) -> str:
    root = hand.choice(roots) if roots else "/sub"
    return hand.choice((root, root, "/x" + root, root + root, root.rstrip("/"), root + "x")) + text


def _root_within(hand: Hand, text: str, roots: Sequence[str]) -> str:
    return _at(hand, text, "/", hand.choice(tuple(roots) or ("/sub",)) + "/")


def _repeated(hand: Hand, text: str, roots: Sequence[str]) -> str:
    """Repeat the first segments: what comes of mounts that hand on the whole path."""
    first = text.split("/", 2)[:2]
    return "/".join(first) + text


CHANGES: tuple[Change, ...] = (
    _double_slash,
    _encoded_slash,
    _no_slash,
    _dots,
    _encoded_letter,
    _other_letter,
    _upper,
    _form,
    _end,
    _end,
    _root,
    _root,
    _root_within,
    _repeated,
)


def targets(seed: object, count: int, roots: Sequence[str]) -> Iterator[str]:
    """Yield targets, the plain ones first; the same for the same seed."""
    hand = random.Random(str(seed))
    yield from BASES
    yield from (root + base for root in roots for base in BASES)
    for _ in range(count):
        text = hand.choice(BASES)
        for _ in range(hand.choice((1, 1, 2, 2, 3, 4))):
            text = hand.choice(CHANGES)(hand, text, roots)
        if text and " " not in text:
            yield text
