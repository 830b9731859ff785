"""`docs/fastapi.md`: its policy and its code run, and requests are answered as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimit.testing import isolated
from tests.pages.page import blocks, run

PAGE = "fastapi.md"
_HEADER = re.compile(r"([a-z-]+): (\S+)")


async def ask(app: Any, line: str) -> None:
    """Send the requests of a line, `METHOD PATH name: value [body] → 200 429`, and compare."""
    asked, _, expected = line.partition(" → ")
    asked, bracket, rest = asked.partition(" [")
    method, path, *_ = asked.split()
    headers = dict(_HEADER.findall(asked))
    body = None
    if bracket:
        body, headers["content-type"] = f"[{rest}", "application/json"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        statuses = [
            str((await client.request(method, path, headers=headers, content=body)).status_code)
            for _ in expected.split()
        ]
    assert statuses == expected.split(), line


async def test_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    ran = {"python": 0, "text": 0}
    with isolated():
        for block in blocks(PAGE):
            if block.language == "toml":
                (tmp_path / "policy.toml").write_text(block.text)
            elif block.language == "python":
                run(block, PAGE, namespace)
            else:
                for line in block.text.splitlines():
                    await ask(namespace["app"], line)
            ran[block.language] = ran.get(block.language, 0) + 1
        namespace["limiter"].close()
    assert ran["python"] >= 12
    assert ran["text"] >= 7
    document = namespace["app"].openapi()
    assert "429" in document["paths"]["/chat"]["post"]["responses"]
