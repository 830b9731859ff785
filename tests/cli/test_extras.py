"""Advice of the program on what to install: the same as the extras of its distribution."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from ratelimit.environment import extras

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize(
    ("extra", "name"),
    [("redis", "redis"), ("demo", "uvicorn"), ("prices", "genai-prices")],
)
def test_requirement_is_the_distributions_own(extra: str, name: str) -> None:
    assert [extras.requirement(name)] == PROJECT["optional-dependencies"][extra]
    assert extras.how_to_install(name) == f"pip install '{extras.requirement(name)}'"


@pytest.mark.parametrize(
    ("module", "lacking", "words"),
    [
        ("ratelimit.integrations.limits", "limits", "this needs limits: pip install 'limits>=5.8'"),
        ("ratelimit.grpc", "grpc", "this needs grpc: pip install 'grpcio>=1.60'"),
        ("ratelimit.console", "jinja2", "this needs jinja2: pip install 'jinja2>=3.1'"),
    ],
)
def test_import_without_its_package_says_what_to_install(module: str, lacking: str, words: str) -> None:
    code = f"""
import sys
sys.modules[{lacking!r}] = None
try:
    import {module}
except ModuleNotFoundError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == words


@pytest.mark.parametrize("name", ["limit", "limits", "exempt"])
def test_what_belongs_to_a_framework_says_where_it_is(name: str) -> None:
    with pytest.raises(ImportError, match=f"from ratelimit.integrations.fastapi import {name}; also"):
        exec(f"from ratelimit import {name}")


def test_of_others_and_without_an_installation_it_is_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    assert extras.requirement("red") == "red"
    monkeypatch.setattr(extras, "requires", requires)
    assert extras.requirement("redis") == "redis"
