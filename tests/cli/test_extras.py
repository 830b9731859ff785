"""What the program says to install is what its distribution asks for."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from ratelimit.environment import extras

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize(
    ("extra", "name"),
    [("redis", "redis"), ("demo", "uvicorn"), ("import", "pyyaml"), ("prices", "genai-prices")],
)
def test_requirement_is_the_distributions_own(extra: str, name: str) -> None:
    assert [extras.requirement(name)] == PROJECT["optional-dependencies"][extra]
    assert extras.how_to_install(name) == f"pip install '{extras.requirement(name)}'"


def test_of_others_and_without_an_installation_it_is_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    assert extras.requirement("red") == "red"
    monkeypatch.setattr(extras, "requires", requires)
    assert extras.requirement("redis") == "redis"
