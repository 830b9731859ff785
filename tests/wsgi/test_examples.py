"""The Flask example runs, and does what its first lines say."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).absolute().parents[2] / "examples" / "with_flask.py"


def test_example_admits_five_a_minute() -> None:
    client = runpy.run_path(str(EXAMPLE))["app"].test_client()
    answers = [client.post("/v1/chat", headers={"x-api-key": "of the Flask example"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert "as many words" in answers[0].text
    told = answers[0].headers["ratelimit"].partition('"output tokens";r=')[2]
    assert told.partition(";")[0] in ("994", "993")
