"""The programs of `.ci`, imported as modules: they are no part of the package."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

CI = Path(__file__).parents[2] / ".ci"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    """Return the module that the test's parameter names."""
    monkeypatch.syspath_prepend(str(CI))
    return importlib.import_module(request.param)
