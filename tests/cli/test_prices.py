"""`ratelimit make prices import` writes tables that a policy takes as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ratelimit.policy import Policy
from ratelimit.usage.pricing import bands_of
from tests.cli.running import run, write_policy

MONEY = """\
version = 1

[[limit]]
name = "spend"
per = "ip"
unit = "usd"
rate = "5/day"
usage = "auto"
"""


def test_tables_are_a_policy_s() -> None:
    result = run("make", "prices", "import", "gpt-4o-mini", "claude-sonnet-4-5", "gpt-4o-mini")
    assert result.exit_code == 0
    prices = Policy.from_toml(MONEY + result.stdout).file.prices
    assert list(prices) == ["gpt-4o-mini", "claude-sonnet-4-5"]
    assert all(0 < price.input < price.output for bands in prices.values() for price in bands_of(bands))
    # Anthropic charges for writing to its cache, and tells how long inputs cost more.
    first, *_ = bands_of(prices["claude-sonnet-4-5"])
    assert first.writes[0] > first.input


def test_steps_of_long_inputs_and_sounds_are_written() -> None:
    result = run("make", "prices", "import", "gemini-2.5-pro", "gpt-realtime")
    prices = Policy.from_toml(MONEY + result.stdout).file.prices
    first, step = bands_of(prices["gemini-2.5-pro"])
    assert step.above == 200_000
    assert step.input > first.input
    assert step.output > first.output
    (spoken,) = bands_of(prices["gpt-realtime"])
    assert isinstance(spoken.audio_input, list)
    fresh, again = spoken.audio_input
    assert fresh > spoken.input > again


def test_into_a_policy_once(tmp_path: Path) -> None:
    path = write_policy(tmp_path, MONEY)
    assert run("make", "prices", "import", "gpt-4o-mini", "--into", path).exit_code == 0
    assert run("make", "prices", "import", "gpt-4o", "--into", path).exit_code == 0
    written = path.read_text("utf-8")
    assert written.startswith(MONEY.rstrip())
    assert list(Policy.load(path).file.prices) == ["gpt-4o-mini", "gpt-4o"]
    again = run("make", "prices", "import", "gpt-4o-mini", "--into", path)
    assert again.exit_code == 2
    assert "has a price for gpt-4o-mini already" in again.stderr
    assert path.read_text("utf-8") == written


def test_unknown_model_is_a_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    path = write_policy(tmp_path, MONEY)
    result = run("make", "prices", "import", "gpt-4o-mini", "no-such-model", "--into", path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no-such-model" in result.stderr
    assert path.read_text("utf-8") == MONEY


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    result = run("make", "prices", "import", "gpt-4o-mini")
    assert result.exit_code == 2
    assert "pip install 'genai-prices" in result.stderr


def test_package_is_not_imported_by_anything_else() -> None:
    """Prices are there at edit time; a server has none of it."""
    root = Path(__file__).parents[2] / "ratelimit"
    named = {path.name for path in root.rglob("*.py") if "genai_prices" in path.read_text("utf-8")}
    assert named == {"make.py"}
    assert "genai" not in (root / "usage" / "prices.pyi").read_text("utf-8")
