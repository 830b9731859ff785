"""The script's text, as it is put together from the files of its algorithms."""

from __future__ import annotations

import re

import msgspec
import pytest

from ratelimit.algorithms import ALGORITHMS
from ratelimit.stores.redis.decision.script import SCRIPT, SHARED, parts_of, rule_texts

CODE = re.sub(r" *--.*", "", SCRIPT.decode())
SCRIPTS = sorted({record.script for record in ALGORITHMS.values() if record.script is not None})


def test_common_way_makes_no_function() -> None:
    # A server makes a script's functions anew with each call, which took longer than to decide.
    seldom = re.search(r"^ *if not begin and .* then\n(.|\n)*?^  end\n", CODE, re.MULTILINE)
    assert seldom is not None
    assert "begin = function" in seldom[0]
    assert "function" not in CODE.replace(seldom[0], "")


@pytest.mark.parametrize("script", [*SCRIPTS, SHARED])
def test_parts_that_a_part_names_are_put_in(script: str) -> None:
    assert not [name for name, text in parts_of(script).items() if "--<" in text]


def test_what_one_part_computes_is_written_once() -> None:
    parts = parts_of("sliding")
    for line in parts["roll"].strip().splitlines():
        assert line.strip() in parts["ask"]
        assert line.strip() in parts["seldom"]


def test_parts_are_indented_as_their_places_are() -> None:
    text = parts_of("fixed")["seldom"]
    assert "\n  local period, starts = rule[3], rule[4]\n" in text


def test_rules_are_texts_whatever_bytes_they_have() -> None:
    # A list that a server reads grows value by value, which took longer than the limit's own decision.
    rules: list[list[object]] = [[1, 1 << 40, 200, False], [2, [1 << 31] * 100], [3]]
    at = 0
    found: list[object] = []
    text = rule_texts(rules)
    while at < len(text):
        assert text[at] == 0xDA
        end = at + 3 + int.from_bytes(text[at + 1 : at + 3])
        decoder = msgspec.msgpack.Decoder()
        count = len(rules[len(found)])
        found.append(decoder.decode(bytes([0x90 + count]) + text[at + 3 : end]))
        at = end
    assert found == rules
