"""The examples run, and do what their first lines say."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from ratelimit.testing import isolated
from tests.asgi.driver import Answer, Client, Message, key

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


async def test_streaming_example_is_charged_what_its_stream_says(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(load("with_streaming", monkeypatch).app)
    account = f"with_streaming {time.time_ns()}"  # what another run used is in the shared memory still
    headers = [*key(account), (b"content-type", b"application/json"), (b"content-length", b"19")]
    for left in (800, 794):
        answer = Answer()
        messages = [{"type": "http.request", "body": b'{"max_tokens": 200}'}, {"type": "http.disconnect"}]

        async def receive(messages: list[Message] = messages) -> Message:
            return messages.pop(0)

        async def send(message: Message, answer: Answer = answer) -> None:
            answer.messages.append(message)

        await client.app(client.scope("POST", "/v1/chat", headers), receive, send)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        # 200 are reserved while it runs, and 6 stay; real time passes here, so one more may show.
        told = answer.headers["ratelimit"].partition('"output tokens";r=')[2].partition(";")[0]
        assert int(told) in (left, left + 1)


def test_example_without_asgi_admits_five_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = load("without_asgi", monkeypatch).main()
    assert [line.partition(",")[0] for line in lines[:5]] == [f"{n}: allowed" for n in range(1, 6)]
    assert [line.partition(",")[0] for line in lines[5:]] == [f"{n}: refused by 'requests'" for n in (6, 7)]


async def test_example_of_routes_has_one_budget_at_costs_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    with isolated():
        client = Client(load("with_routes", monkeypatch).app)
        assert await client.statuses(5, "POST", "/films", key("a")) == [200] * 4 + [429]
        assert await client.statuses(1, "POST", "/thumbnails", key("a")) == [429]
        assert await client.statuses(1, "POST", "/thumbnails", key("b")) == [200]
        assert await client.statuses(6, "GET", "/search", key("a")) == [200] * 5 + [429]
        assert await client.statuses(2, "GET", "/search") == [401] * 2


async def test_example_of_streaming_reserves_first_and_gives_back_what_was_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with isolated():
        client = Client(load("with_reserved_tokens", monkeypatch).app)
        told = []
        for _ in range(2):
            answer = await client("POST", "/chat", key("a"), query_string=b"max_tokens=60")
            assert answer.body == b"as many words as it takes "
            told.append(answer.headers["ratelimit"])
        # Fields are sent before the answer is: the second sees that six of the first's sixty were taken.
        assert [field.partition('"tokens";r=')[2].partition(";")[0] for field in told] == ["99940", "99934"]
        for bad in (b"max_tokens=-5", b"max_tokens=x"):
            assert (await client("POST", "/chat", key("b"), query_string=bad)).status == 422
