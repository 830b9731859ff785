"""Logs of every format, and maps, made up by chance: read, or refused in a line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ratelimit.lab.traces import FORMATS
from tests.cli.running import run, write_policy
from tests.cli.test_outside import ODD, members, sound, words
from tests.traces.test_combined import COMBINED_LINE, HEAD
from tests.traces.test_formats import NGINX
from tests.traces.test_formats import ODD as MEMBERS

LINES = (COMBINED_LINE, HEAD, json.dumps(NGINX), json.dumps(MEMBERS))
PLACES = ("/v1/chat", "curl/8", "203.0.113.9", "POST", "2026", "k1", "200")
MAPS = (
    "time=ts",
    "account=a.b",
    "path=x",
    "ip=request",
    "output_tokens=status",
    "account==x",
)


def line(rng: random.Random) -> str:
    text = rng.choice((*LINES, json.dumps(members(rng)), words(rng)))
    for _ in range(rng.randint(0, 2)):
        text = text.replace(rng.choice(PLACES), words(rng), 1)
    if rng.random() < 0.2:
        text = text[: rng.randint(0, len(text))]
    return text


def log(rng: random.Random) -> bytes:
    raw = "\n".join(line(rng) for _ in range(rng.randint(0, 12))).encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        at = rng.randint(0, len(raw))
        raw = raw[:at] + rng.randbytes(rng.randint(0, 40)) + raw[at:]
    return raw


def test_made_up_logs_are_read_or_refused_in_a_line(tmp_path: Path, faults: int) -> None:
    rng = random.Random(8)
    policy = write_policy(tmp_path)
    for _ in range(faults // 8):
        logs = [tmp_path / f"log{number}" for number in range(rng.randint(1, 3))]
        for path in logs:
            path.write_bytes(log(rng))
        options = [option for option in ("--sort", "--json") if rng.random() < 0.5]
        if rng.random() < 0.5:
            options.append(f"--format={rng.choice(FORMATS)}")
        if rng.random() < 0.5:
            options += ["--map", rng.choice((*MAPS, words(rng)))]
        command = rng.choice((["replay", policy], ["diff", policy, policy], ["suggest"]))
        sound(run(*command, *logs, *options), as_json="--json" in options)


@pytest.mark.parametrize("odd", [odd for odd in ODD if "\0" not in odd and odd != "\ud800"], ids=repr)
def test_file_and_option_called_so_are_named_in_visible_characters(tmp_path: Path, odd: str) -> None:
    policy = write_policy(tmp_path)
    for command in ("diff", "suggest"):
        sound(run(command, tmp_path / f"{odd}.toml"))
        sound(run(command, f"--{odd}"))
        sound(run(command, policy, odd, odd, odd))
    sound(run("make", "limits", policy, "--per", odd, "--unit", odd, "--match", odd, "--map", f"{odd}={odd}"))
    trace = tmp_path / "trace"
    trace.write_text(
        "".join(
            json.dumps({"time": at * 30, "method": "GET", "path": "/", "ip": "1.1.1.1"}) + "\n"
            for at in range(9)
        )
    )
    for options in (["--per", odd], ["--unit", odd], ["--match", odd], ["--map", f"account=={odd}"]):
        sound(run("make", "limits", trace, *options))
