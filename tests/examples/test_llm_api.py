"""The LLM API of the examples, under uvicorn, as the official clients of OpenAI and Anthropic find it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from click.testing import CliRunner

from ratelimit.cli.main import main
from ratelimit.policy import Policy
from ratelimit.policy.routing.classes import wait_rank_of
from ratelimit.waiting.compile import queue_of
from tests.servers.serving import serving

FOLDER = Path(__file__).absolute().parents[2] / "examples" / "llm-api"
FREE, PRO, LARGE = 1000, 20_000, 20_000
"""Output tokens that the policies of the tests allow a free account, one that pays, and the large one."""
STREAMS, WORDS = 500, 400
WARM = ("warm-1", "warm-2", "warm-3")
MOST_BYTES = 1 << 20
CUT = "The token budget of this account is used up; the answer was cut."
REFUSED = "Error code: 429 - Too many requests; try again in … s."
USED_UP = r"The budget is used up; try again in \d+ d \d+ h\."


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the application's policy, with budgets that do not refill meanwhile."""
    folder = tmp_path_factory.mktemp("llm-api")
    text = (FOLDER / "app-policy.toml").read_text()
    tokens = {"4000/hour": FREE, "20000/hour": PRO, "100000/hour": LARGE}
    money = {"1/day": 1, "20/day": 1}
    for rate, budget in {**tokens, **money}.items():
        assert f'rate = "{rate}"\n' in text
        # Full at first. After an hour one token comes back, or a hundred millionths of a dollar.
        period = "hour" if rate in tokens else "year"
        text = text.replace(f'rate = "{rate}"\n', f'rate = "1/{period}"\nburst = {budget}\n')
    path = folder / "policy.toml"
    path.write_text(f'{text}\n[store]\nmemory = "{folder / "store"}"\n')
    return path


def account(name: str, plan: str) -> dict[str, object]:
    """Return what the application knows of an account behind the key `sk-NAME`."""
    return {
        "account": f"acct-{name}",
        "organisation": f"org-{name}",
        "plan": plan,
        "payment": f"pm-{name}",
        "age_days": 90,
    }


@pytest.fixture(scope="module")
def url(policy: Path) -> Iterator[str]:
    patch = pytest.MonkeyPatch()
    patch.setenv("LLM_API_POLICY", str(policy))
    names = {"large": "enterprise", **dict.fromkeys(WARM, "enterprise")}
    names |= dict.fromkeys(("settles", "pays", "breaks", "openai", "anthropic", "busy"), "free")
    # What cannot be read reserves as much as a free plan has for an hour, until its answer has ended.
    names["wrong"] = "pro"
    names["spender"] = "pro"
    known = policy.with_name("accounts.json")
    known.write_text(json.dumps({f"sk-{name}": account(name, plan) for name, plan in names.items()}))
    patch.setenv("LLM_API_ACCOUNTS", str(known))
    patch.setenv("MOCK_TOKENS_PER_S", "400")
    options = ["--app-dir", str(FOLDER)]
    with serving("uvicorn", policy, workers=1, app="app:app", options=options) as port:
        yield f"http://127.0.0.1:{port}"
    patch.undo()
    log = (policy.parent / "uvicorn.log").read_text()
    assert "Traceback" not in log


def gpt(url: str, name: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=f"sk-{name}", max_retries=0)


def claude(url: str, name: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=f"sk-{name}", max_retries=0)


def prompt(text: str) -> Any:
    return [{"role": "user", "content": text}]


def know_route(url: str, route: str) -> None:
    """Let a route answer three accounts shortly: little is charged at first for what declares no maximum."""
    body = {"model": "mock-small", "max_tokens": 2, "messages": prompt("say 2 words")}
    with httpx.Client(timeout=60) as client:
        for turn in range(60):
            headers = {"x-api-key": f"sk-{WARM[turn % len(WARM)]}"}
            assert client.post(f"{url}/v1/{route}", json=body, headers=headers).status_code == 200


def left(url: str, name: str, limit: str = "output tokens") -> int:
    """Return what a limit has left, as an answer's fields tell: of a request that takes one token."""
    body = {"model": "mock-small", "max_tokens": 1, "messages": prompt("hello")}
    got = httpx.post(f"{url}/v1/messages", json=body, headers={"x-api-key": f"sk-{name}"}, timeout=60)
    found = re.search(rf'"{limit}";r=(\d+)', got.headers["ratelimit"])
    assert found is not None, got.headers["ratelimit"]
    return int(found[1])


def test_batch_is_answered_and_waits_behind_people(url: str, policy: Path) -> None:
    before = left(url, "settles")
    body = {"model": "mock-small", "max_tokens": 50, "messages": prompt("say 7 words")}
    got = httpx.post(f"{url}/v1/batch", json=body, headers={"x-api-key": "sk-settles"}, timeout=60)
    assert got.json()["usage"]["completion_tokens"] == 7
    assert left(url, "settles") == before - 8  # and one for looking
    spec = queue_of(Policy.load(policy).compiled)
    assert spec is not None
    ranks = [
        wait_rank_of(spec.classes, "POST", f"/v1/{name}")
        for name in ("chat/completions", "messages", "batch")
    ]
    assert ranks == [0, 0, 1]


def test_streams_and_whole_answers_settle_exactly(url: str) -> None:
    before = left(url, "settles")
    # Each is told its usage, and says the words it was asked for.
    asked: dict[str, Any] = {"model": "mock-small", "messages": prompt("say 30 words")}
    with gpt(url, "settles") as client:
        chat = client.chat.completions.create(max_tokens=200, **asked)
        assert chat.usage is not None
        assert (chat.usage.completion_tokens, chat.choices[0].finish_reason) == (30, "stop")
        assert len((chat.choices[0].message.content or "").split()) == 30
        chunks = list(
            client.chat.completions.create(
                max_tokens=200, stream=True, stream_options={"include_usage": True}, **asked
            )
        )
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 30
        response = client.responses.create(model="mock-small", input="say 30 words", max_output_tokens=200)
        assert response.usage is not None
        assert (response.usage.output_tokens, len(response.output_text.split())) == (30, 30)
        with client.responses.stream(
            model="mock-small", input="say 30 words", max_output_tokens=200
        ) as events:
            assert [event.type for event in events][-1] == "response.completed"
            assert len(events.get_final_response().output_text.split()) == 30
    with claude(url, "settles") as other:
        message = other.messages.create(max_tokens=20, **asked)
        assert (message.usage.output_tokens, message.stop_reason) == (20, "max_tokens")
        with other.messages.stream(max_tokens=200, **asked) as stream:
            assert len(stream.get_final_text().split()) == 30
            assert stream.get_final_message().usage.output_tokens == 30
    # 170 in six answers, and the one token of the request that asked before.
    assert before - left(url, "settles") == 5 * 30 + 20 + 1


def test_money_is_charged_by_what_was_used(url: str) -> None:
    before = left(url, "pays", "spend")
    with claude(url, "pays") as client:
        client.messages.create(model="mock-large", max_tokens=40, messages=prompt("say 40 words"))
    # 3 tokens in at 50 dollars a million, 40 out at 250. One token more costs far less.
    assert before - left(url, "pays", "spend") == pytest.approx(3 * 50 + 40 * 250, rel=0.05)


async def test_account_without_money_is_answered_shortly_by_the_small_model(url: str) -> None:
    asked: dict[str, Any] = {"model": "mock-large", "max_tokens": 300, "messages": prompt("say 300 words")}
    async with anthropic.AsyncAnthropic(api_key="sk-spender", base_url=url, max_retries=0) as client:
        first = await client.messages.create(**asked)
        # Seven and a half cents each, of a dollar a day.
        await asyncio.gather(*(client.messages.create(**asked) for _ in range(14)))
        last = await client.messages.create(**asked)
    assert (first.model, first.usage.output_tokens) == ("mock-large", 300)
    assert (last.model, last.usage.output_tokens) == ("mock-small", 200)


async def test_more_than_eight_answers_at_once_wait_for_one_to_end(url: str) -> None:
    asked: dict[str, Any] = {"model": "mock-small", "max_tokens": 40, "messages": prompt("say 40 words")}
    async with openai.AsyncOpenAI(api_key="sk-busy", base_url=f"{url}/v1", max_retries=0) as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**asked) for _ in range(16)))
    assert [each.usage and each.usage.completion_tokens for each in answers] == [40] * 16


def test_stream_that_breaks_off_is_an_error_of_its_client(url: str) -> None:
    asked: dict[str, Any] = {"model": "mock-broken", "messages": prompt("say 30 words"), "max_tokens": 30}
    with gpt(url, "breaks") as client:
        with pytest.raises(openai.APIError, match=r"^The model broke off\.$"):
            list(client.chat.completions.create(stream=True, **asked))
        with pytest.raises(openai.InternalServerError, match="The model broke off"):
            client.chat.completions.create(**asked)
        events = list(
            client.responses.create(
                model="mock-broken", input="say 30 words", max_output_tokens=30, stream=True
            )
        )
        assert (events[-1].type, events[-1].message) == ("error", "The model broke off.")  # type: ignore[union-attr]
    with claude(url, "breaks") as other:
        with pytest.raises(anthropic.APIStatusError, match=r"The model broke off\.") as raised:
            list(other.messages.create(stream=True, **asked))
        assert raised.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]
        with pytest.raises(anthropic.APIStatusError, match="The model broke off"):
            other.messages.create(**asked)


def test_errors_have_the_form_of_their_api(url: str) -> None:
    before = left(url, "wrong")
    asked: dict[str, Any] = {"model": "mock-small", "messages": prompt("hello")}
    with gpt(url, "wrong") as client, pytest.raises(openai.NotFoundError, match="mock-small") as told:
        client.chat.completions.create(max_tokens=5, **asked | {"model": "gpt-9"})
    assert told.value.code == "model_not_found"
    with gpt(url, "wrong") as client, pytest.raises(openai.BadRequestError, match="max_tokens"):
        client.chat.completions.create(**asked, max_tokens=0)
    with gpt(url, "wrong") as client, pytest.raises(openai.APIStatusError, match="larger than"):
        client.chat.completions.create(**asked | {"messages": prompt("x" * MOST_BYTES)})
    with gpt(url, "unknown") as client, pytest.raises(openai.AuthenticationError, match="API key"):
        client.chat.completions.create(**asked)
    with claude(url, "wrong") as other, pytest.raises(anthropic.NotFoundError, match="mock-small"):
        other.messages.create(max_tokens=5, **asked | {"model": "claude-9"})
    with claude(url, "unknown") as other, pytest.raises(anthropic.AuthenticationError, match="API key"):
        other.messages.create(max_tokens=5, **asked)
    pieces = httpx.post(
        f"{url}/v1/messages", content=iter([b"{}"]), headers={"x-api-key": "sk-wrong"}, timeout=60
    )
    assert (pieces.status_code, pieces.json()["error"]["type"]) == (411, "invalid_request_error")
    # None of it reached the model, and none is charged.
    assert left(url, "wrong") == before - 1


def test_what_clients_send_and_ask_beside_it_is_understood(url: str) -> None:
    """Text in pieces, the list of models, and a path that is not there."""
    pieces: Any = [{"role": "user", "content": [{"type": "text", "text": "say 3 words"}]}]
    with gpt(url, "wrong") as client:
        chat = client.chat.completions.create(model="mock-small", max_tokens=9, messages=pieces)
        said = client.responses.create(model="mock-small", max_output_tokens=9, input=pieces)
        assert (len((chat.choices[0].message.content or "").split()), len(said.output_text.split())) == (3, 3)
        assert "mock-large" in [model.id for model in client.models.list()]
        with pytest.raises(openai.NotFoundError, match="README"):
            client.embeddings.create(model="mock-small", input="hello")
    with claude(url, "wrong") as other:
        message = other.messages.create(model="mock-small", max_tokens=9, messages=pieces)
        assert message.usage.output_tokens == 3


def test_budget_that_ends_cuts_the_stream_of_openai_s_client(url: str, policy: Path) -> None:
    said = []
    with gpt(url, "openai") as client:
        know_route(url, "chat/completions")
        long: dict[str, Any] = {"model": "mock-small", "messages": prompt("say 4096 words")}
        with pytest.raises(openai.APIError, match=CUT) as raised:  # noqa: PT012
            for chunk in client.chat.completions.create(stream=True, **long):
                said.append(chunk.choices[0].delta.content or "")
        assert raised.value.code == "rate_limit_exceeded"
        assert FREE - 10 <= len("".join(said).split()) <= FREE + 10
        with pytest.raises(openai.RateLimitError, match=USED_UP) as told:
            client.chat.completions.create(**long)
        assert told.value.code == "insufficient_quota"
        assert int(told.value.response.headers["retry-after"]) >= 1
    assert refusing(policy, "acct-openai") == ["output tokens"]


def test_budget_that_ends_cuts_the_stream_of_anthropic_s_client(url: str, policy: Path) -> None:
    said = []
    with claude(url, "anthropic") as client:
        # Here clients have to declare a maximum. Far above what the route ever said, it counts as little.
        know_route(url, "messages")
        long: dict[str, Any] = {"model": "mock-small", "messages": prompt("say 4096 words")}
        with pytest.raises(anthropic.APIStatusError, match=CUT) as raised:  # noqa: PT012
            for event in client.messages.create(stream=True, max_tokens=4096, **long):
                if event.type == "content_block_delta":
                    said.append(event.delta.text)  # type: ignore[union-attr]
        assert raised.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
        assert FREE - 10 <= len("".join(said).split()) <= FREE + 10
        with pytest.raises(anthropic.RateLimitError, match=USED_UP) as told:
            client.messages.create(max_tokens=100, **long)
        assert int(told.value.response.headers["retry-after"]) >= 1
    assert refusing(policy, "acct-anthropic") == ["output tokens"]


async def test_five_hundred_streams_at_once_hold_the_budget(url: str, policy: Path) -> None:
    """Each asks for 400 words and declares nothing; together they would be ten budgets."""
    ends: Counter[str] = Counter()
    produced = 0

    async def ask(client: openai.AsyncOpenAI) -> None:
        nonlocal produced
        try:
            stream = await client.chat.completions.create(
                model="mock-small", messages=prompt(f"say {WORDS} words"), stream=True
            )
            async for chunk in stream:
                if chunk.choices:
                    produced += len((chunk.choices[0].delta.content or "").split())
            ends["finished"] += 1
        except openai.APIError as error:
            ends[re.sub(r"\d+ s", "… s", error.message)] += 1

    know_route(url, "chat/completions")
    key = {"api_key": "sk-large", "base_url": f"{url}/v1"}
    async with openai.AsyncOpenAI(max_retries=0, timeout=120, **key) as client:
        await asyncio.gather(*(ask(client) for _ in range(STREAMS)))
    assert set(ends) - {"finished"} <= {CUT, REFUSED}
    assert ends.total() == STREAMS
    assert 0.95 * LARGE <= produced <= 1.1 * LARGE, ends
    assert refusing(policy, "acct-large", "enterprise") == ["output tokens"]


def refusing(policy: Path, account: str, plan: str = "free") -> list[str]:
    """Return the limits that `ratelimit explain --live` names to the operator."""
    request = f"POST /v1/messages account={account} plan={plan} ip=127.0.0.1 output_tokens=100"
    done = CliRunner().invoke(main, ["explain", str(policy), "--live", "-r", request, "--json"])
    assert done.exit_code == 0, done.output
    limits = json.loads(done.stdout)["limits"]
    return [limit["limit"] for limit in limits if limit["applies"] and not limit["allowed"]]
