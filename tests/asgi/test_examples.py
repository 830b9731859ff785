"""The examples run, and do what their first lines say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.asgi.driver import Client, key

EXAMPLES = Path(__file__).absolute().parents[2] / "examples"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # Litestar looks its handlers' modules up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["with_starlette", "with_fastapi", "with_litestar"])
async def test_example_application_admits_five_a_minute(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(load(name, monkeypatch).app)
    answers = [await client("POST", "/v1/chat", key(name)) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert b"as many words" in answers[0].body
    # Six words were settled before the headers were sent; real time passes here, so one less may show.
    told = answers[0].headers["ratelimit"].partition('"output tokens";r=')[2]
    assert told.partition(";")[0] in ("994", "993")


def test_example_without_asgi_admits_five_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = load("without_asgi", monkeypatch).main()
    assert [line.partition(",")[0] for line in lines[:5]] == [f"{n}: allowed" for n in range(1, 6)]
    assert [line.partition(",")[0] for line in lines[5:]] == [f"{n}: refused by 'requests'" for n in (6, 7)]
