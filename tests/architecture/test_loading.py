"""Costs of an import: each name loads what it needs, and `import ratelimit` nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ratelimit

LOADED = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(code: str) -> list[str]:
    """Return the modules that a fresh interpreter loads for some code."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED.format(code=code)], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_import_loads_nothing_but_itself() -> None:
    # 139 modules and 130 ms once.
    assert [name for name in loaded_by("import ratelimit") if name.startswith("ratelimit")] == ["ratelimit"]
    assert len(loaded_by("import ratelimit")) <= 10


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("Limiter", ("starlette", "anyio", "click", "rich", "redis", "prometheus_client", "ratelimit.asgi")),
        ("Policy", ("starlette", "click", "rich", "redis", "ratelimit.limiter", "ratelimit.asgi")),
        ("Decision", ("starlette", "ratelimit.core", "ratelimit.policy", "ratelimit.stores")),
        ("ManualClock", ("starlette", "ratelimit.core", "ratelimit.policy", "ratelimit.stores")),
        ("EmbeddedStore", ("starlette", "ratelimit.policy", "ratelimit.limiter", "redis")),
        ("RateLimitMiddleware", ("click", "rich", "redis", "prometheus_client", "ratelimit.cli")),
    ],
)
def test_name_loads_no_more_than_it_needs(name: str, unwanted: tuple[str, ...]) -> None:
    found = loaded_by(f"from ratelimit import {name}")
    assert not [each for each in found if each.startswith(unwanted)]


def test_every_public_name_can_be_had() -> None:
    for name in ratelimit.__all__:
        assert getattr(ratelimit, name).__name__ == name
    assert set(ratelimit.__all__) <= set(dir(ratelimit))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ratelimit.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_first_screen_loads_neither_policies_nor_what_shows_results(asked: str) -> None:
    # 350 modules and 400 ms once.
    code = f"from ratelimit.cli.main import main; main(['{asked}'], standalone_mode=False)"
    found = loaded_by(f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {code}")
    unwanted = (
        "rich",
        "msgspec",
        "asyncio",
        "ratelimit.policy",
        "ratelimit.core",
        "ratelimit.inspection.explain",
    )
    assert not [each for each in found if each.startswith(unwanted)]
