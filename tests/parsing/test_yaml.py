"""The one reader of YAML: bounded before a document is built, with the line of what is too much."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.parsing.yaml import MOST_BYTES, MOST_DEPTH, MOST_NODES, YamlError, read_yaml

yaml = pytest.importorskip("yaml")


@pytest.fixture(params=["in C", "in Python"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the reader over each parser that PyYAML may have."""
    if request.param == "in Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    return read_yaml


def block(depth: int) -> str:
    return "".join("  " * level + "a:\n" for level in range(depth)) + "  " * depth + "b: 1\n"


def test_nested_input_is_a_parse_error_beyond_one_depth_and_a_document_up_to_it(reader: Any) -> None:
    assert len(reader("[" * MOST_DEPTH + "]" * MOST_DEPTH)) == 1
    assert len(reader(block(MOST_DEPTH - 1))) == 1
    for text in (
        "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
        "[" * 6_000,
        "{a: " * 6_000,
        "- " * 6_000,
        "? " * 6_000,
    ):
        with pytest.raises(YamlError, match=r"line 1: .*(nested more|nesting)"):
            reader(text)
    with pytest.raises(YamlError, match=f"line {MOST_DEPTH + 1}: .*(nested more|nesting)"):
        reader(block(1_000))


LAUGHS = "a: &a [1, 1]\n" + "".join(
    f"{after}: &{after} [*{before}, *{before}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "line 2: it has aliases"),
        ("base: &base {a: 1}\nother:\n  <<: *base\n", "line 3: it has aliases"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there twice"),
        ("x:\n  - {a: 1, a: 2}\n", "line 2: the key 'a' is there twice"),
        ("a: [1\nb: 2\n", "line 2: no YAML"),
        ("a: \x00", "no YAML"),
        ("\ud800", "no YAML"),
        ("%YAML 9.9\n---\n", "no YAML"),
        ("[" + "1, " * (MOST_NODES + 1) + "]", f"more than {MOST_NODES} values"),
        ("a" * (MOST_BYTES + 1), f"{MOST_BYTES} are the most"),
    ],
)
def test_file_that_is_too_much_or_no_yaml_is_an_error(text: str, says: str) -> None:
    with pytest.raises(YamlError, match=says):
        read_yaml(text)


def test_tag_makes_nothing(reader: Any) -> None:
    (node,) = reader("a: !!python/object/apply:os.system ['exit 1']\n")
    assert node.value[0][1].tag == "tag:yaml.org,2002:python/object/apply:os.system"


BOMBS = {
    "scalar": "a: " + "x" * (MOST_BYTES - 10),
    "quoted": 'a: "' + "\\x41" * (MOST_BYTES // 4 - 10) + '"',
    "folded": "a: >\n" + "  x\n" * (MOST_BYTES // 4 - 10),
    "keys": "".join(f"k{number}: 1\n" for number in range(90_000)),
    "blank": "\n" * (MOST_BYTES - 1),
    "comments": "#\n" * (MOST_BYTES // 2 - 1),
    "documents": "---\n" * 90_000,
    "dashes": "-" * (MOST_BYTES - 1),
    "colons": ":" * (MOST_BYTES - 1),
    "open keys": "? " * 500_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_file_made_to_be_large_takes_bounded_memory(bomb: str) -> None:
    """Time is the test's own limit: quadratic work on a megabyte would take hours."""
    tracemalloc.start()
    try:
        read_yaml(BOMBS[bomb])
    except YamlError:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 400 << 20


@given(st.text(alphabet="ab:-?[]{},&*!|>'\"%@`#\n ", max_size=80))
def test_any_text_is_documents_or_an_error(text: str) -> None:
    try:
        documents = read_yaml(text)
    except YamlError:
        return
    assert all(document is not None for document in documents)
