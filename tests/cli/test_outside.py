"""Text that others wrote (requests, policies, traces, metrics, names of files): shown, and never obeyed."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from prometheus_client import CollectorRegistry, generate_latest

from ratelimit.cli import failure, terminal
from ratelimit.cli import top as top_command
from ratelimit.limiter import Limiter
from ratelimit.telemetry import RateLimitCollector
from tests.cli.running import NOW_S, POLICY, post, run, write_policy
from tests.support.wrong_values import SOUND, document, random_wrong

ODD = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\",
    "\x9b2J",
    "\r\n",
    "\n",
    "\x00",
    "\x07",
    "\x08\x08",
    "\x7f",
    "‮evil",
    "⁦",
    "\u2028",
    "﻿",
    "\xa0",
    "\udcff",
    "\ud800",
    "\U000e0041",
    "[red]",
    "[/]",
    "[link=x]",
    ":smile:",
    "\t",
    "é",
    "日本",
    "\U0001f600",
    "%1b",
    "%0a",
    "%00",
    "%c2%9b",
    "%ff",
    "'",
    '"',
    "\\",
    "=",
    "{",
    "}",
    "x" * 5000,
    "",
)
MARKS = {chr(number) for number in (*range(32), *range(127, 160)) if number != 10} | set(
    "‮⁦\u2028\u2029﻿\U000e0041"
)


def sound(result: Result, *, as_json: bool = False) -> None:
    """See that a command ended in words, and that nothing of its output is obeyed by a terminal."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1, 2, 3, 4), result.output
    shown = result.stdout + result.stderr
    assert not MARKS & set(shown), repr(shown)
    assert "Traceback" not in shown
    if as_json and result.stdout:
        json.loads(result.stdout)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_request_with_it_is_explained_in_visible_characters(tmp_path: Path, odd: str) -> None:
    policy = write_policy(tmp_path)
    for request in (
        f"POST /v1/{odd} header:x-api-key={odd}",
        f"{odd} /v1/x ip={odd}",
        f"GET /{odd} account={odd} output_tokens={odd} time={odd}",
        json.dumps({"method": odd, "path": f"/{odd}", "ip": odd, "account": odd, "headers": {odd: odd}}),
        odd,
    ):
        sound(run("explain", policy, "-r", request, "--reveal"))
        sound(run("explain", policy, "-r", request, "--json", "--reveal"), as_json=True)


def test_escape_in_a_path_is_spelled_out(tmp_path: Path) -> None:
    result = run("explain", write_policy(tmp_path), "-r", "POST /v1/%1b%5B31m%0Aerror:%20no account=a")
    assert r"POST /v1/\x1b[31m\nerror: no" in result.stdout


def test_json_has_the_escape_as_json_does(tmp_path: Path) -> None:
    result = run("explain", write_policy(tmp_path), "-r", "POST /v1/%1b%C2%9B account=a", "--json")
    assert json.loads(result.stdout)["path"] == "/v1/\x1b\x9b"


@pytest.mark.parametrize("odd", [odd for odd in ODD if "\0" not in odd and odd != "\ud800"], ids=repr)
def test_file_and_option_called_so_are_named_in_visible_characters(tmp_path: Path, odd: str) -> None:
    for command in ("check", "doctor", "explain", "replay", "top", "serve", "correlator"):
        sound(run(command, tmp_path / f"{odd}.toml"))
        sound(run(command, f"--{odd}"))
        sound(run(command, "policy.toml", odd, odd, odd))
    sound(run(odd))
    for arguments in (
        ("demo", "--seconds", odd),
        ("demo", "--port", odd, "--seed", odd),
        ("demo", "--redis"),
    ):
        sound(run(*arguments))
    sound(run("replay", write_policy(tmp_path), tmp_path / odd, "--decisions", tmp_path / "no" / odd))


def test_argument_that_would_move_the_cursor_is_spelled_out() -> None:
    assert r"\x1b[2J" in run("check", "--\x1b[2J").stderr


def test_limit_called_like_markup_is_called_so(tmp_path: Path) -> None:
    text = POLICY.replace('name = "address"', 'name = "[red]:smile:"').replace("/v1/*", "/[a]/*")
    result = run("check", write_policy(tmp_path, text))
    assert "[red]:smile:" in result.stdout
    assert "/[a]/*" in result.stdout


def test_letters_that_an_encoding_lacks_are_spelled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr("sys.stderr", stream)
    terminal.say(terminal.err(), terminal.Text("✔ é \udcff"))
    stream.flush()
    assert raw.getvalue() == rb"\u2714 \xe9 \udcff" + b"\n"


def test_console_spells_out_what_came_another_way() -> None:
    console = terminal.Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("\x1b[1m")
    table.add_row(Text("\x1b]0;x"))
    table.add_row("\x9b2J\n")
    console.print(table, Text("\x1b[2J", "red"), "\x1b[2J")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert r"\x1b[2J" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b]0" not in shown
    assert "\x9b" not in shown


# -- made up ----------------------------------------------------------------------------------------


def words(rng: random.Random) -> str:
    pieces = (
        *ODD,
        "GET",
        "POST",
        "/",
        "/v1/x",
        " ",
        "ip=",
        "account=",
        "header:",
        "cookie:",
        "time=",
        "203.0.113.9",
        "1",
    )
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, 8)))


def value(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: words(rng),
        lambda: rng.choice((0, -1, 1.5, 1e308, 2**64, 10**30, True, None)),
        lambda: rng.choice(
            (NOW_S, str(NOW_S), "2023-11-14T22:13:20Z", "0001-01-01T00:00:00+23:59", "9999-12-31")
        ),
    ]
    if depth < 3:
        kinds += [
            lambda: [value(rng, depth + 1) for _ in range(rng.randint(0, 3))],
            lambda: {words(rng): value(rng, depth + 1) for _ in range(rng.randint(0, 3))},
        ]
    return rng.choice(kinds)()


def members(rng: random.Random) -> dict[str, Any]:
    names = ("time", "method", "path", "ip", "user_agent", "headers", "account", "client", "output_tokens")
    chosen = {name: value(rng) for name in names if rng.random() < 0.4}
    return {**post(rng.random() * 100), **chosen} if rng.random() < 0.7 else chosen


def test_made_up_requests_are_explained_or_refused_in_a_line(tmp_path: Path, faults: int) -> None:
    rng = random.Random(5)
    policy = write_policy(tmp_path)
    for _ in range(faults // 2):
        request = words(rng) if rng.random() < 0.4 else json.dumps(members(rng))
        if rng.random() < 0.2:
            request = request[: rng.randint(0, len(request))]
        as_json = rng.random() < 0.5
        options = [option for option in ("--reveal", "--repeat=3", "--event=connect") if rng.random() < 0.3]
        sound(
            run("explain", policy, "-r", request, *options, *(["--json"] if as_json else [])), as_json=as_json
        )


def test_made_up_traces_are_replayed_or_refused_in_a_line(tmp_path: Path, faults: int) -> None:
    rng = random.Random(6)
    policy = write_policy(tmp_path)
    combined = '203.0.113.9 - - [14/Nov/2023:22:13:20 +0000] "GET /v1/x HTTP/1.1" 200 5 "-" "agent"'
    for _ in range(faults // 8):
        lines = []
        for _ in range(rng.randint(0, 20)):
            line = rng.choice(
                (json.dumps(members(rng)), combined, combined.replace("agent", words(rng)), words(rng))
            )
            lines.append(line.encode("utf-8", "surrogatepass"))
        raw = b"\n".join(lines)
        if rng.random() < 0.3:
            at = rng.randint(0, len(raw))
            raw = raw[:at] + rng.randbytes(rng.randint(0, 40)) + raw[at:]
        if rng.random() < 0.1:
            raw = b"\x1f\x8b" + raw
        (tmp_path / "trace").write_bytes(raw)
        as_json = rng.random() < 0.5
        options = ["--json"] if as_json else []
        if rng.random() < 0.3:
            options.append(f"--format={rng.choice(('ndjson', 'combined', 'common'))}")
        if rng.random() < 0.5:
            options.append("--reveal")
        sound(run("replay", policy, tmp_path / "trace", *options), as_json=as_json)


def test_made_up_policies_are_checked_in_lines(tmp_path: Path, faults: int) -> None:
    rng = random.Random(7)
    for _ in range(faults // 8):
        key, wrong = random_wrong(rng)
        policy = write_policy(tmp_path, document(SOUND, key, wrong))
        for command in ("check", "doctor", "top", "correlator"):
            as_json = command != "correlator" and rng.random() < 0.5
            sound(run(command, policy, *(["--json"] if as_json else [])), as_json=as_json)


class Page:
    """What an address answers with."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *why: object) -> None: ...

    def read(self, most: int) -> bytes:
        return self._body.read(most)


@pytest.fixture(scope="module")
def exposition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("metrics")
    text = POLICY + f'\n[store]\nkeys = 1000\nmemory = "{folder / "table"}"\n'
    with closing(Limiter(write_policy(folder, text))) as limiter:
        limiter.decide(client="203.0.113.9")
        registry = CollectorRegistry()
        registry.register(RateLimitCollector(limiter))
        yield generate_latest(registry).decode()


FOREIGN = (
    "",
    "# HELP\n",
    "# TYPE x counter\n",
    "x",
    "x 1 2 3 4\n",
    'x{a="b} 1\n',
    "x{a=} 1\n",
    "x{} nan\n",
    "{} 1\n",
    "x{,} 1\n",
    "ratelimit_requests_total 5\n",
    'ratelimit_requests_total{path="/x"} 5\n',
    'ratelimit_decisions_total{limit="x"} 1\n',
    'ratelimit_decisions_total{limit="\x1b[2J",action="allow",mode="enforce"} NaN\n',
    'ratelimit_decisions_total{limit="\x1b[2J\\n‮",action="allow",mode="enforce"} 1e300\n',
    'ratelimit_decision_duration_seconds_bucket{le="x"} 1\n',
    'ratelimit_decision_duration_seconds_bucket{le="NaN"} 1\n',
    "ratelimit_table_capacity +Inf\n",
    "ratelimit_table_capacity -5\n",
    "ratelimit_workers NaN\n",
    "ratelimit_x 1\n",
    'ratelimit_table_entries{state="live"} -1\n',
    'ratelimit_table_entries{state="live"} 1e400\n',
    "\x00\x01\x02",
    "ratelimit_table_capacity " + "9" * 5000 + "\n",
    "ratelimit_table_capacity 1" + "{" * 3000 + "\n",
)


def look(page: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    monkeypatch.setattr(
        top_command, "urlopen", lambda *given, **more: Page(page.encode("utf-8", "surrogatepass"))
    )
    return run("top", "http://127.0.0.1:9/metrics", *options)


@pytest.mark.parametrize("page", FOREIGN, ids=range(len(FOREIGN)))
def test_metrics_of_another_program_are_said_in_a_line(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ((), ("--json",)):
        result = look(page, monkeypatch, *options)
        sound(result, as_json=bool(options))
        assert result.exit_code in (0, failure.DEPLOYMENT)


def test_made_up_metrics_are_shown_or_refused_in_a_line(
    exposition: str, monkeypatch: pytest.MonkeyPatch, faults: int
) -> None:
    rng = random.Random(8)
    lines = exposition.splitlines(keepends=True)
    for _ in range(faults // 4):
        kept = rng.sample(lines, rng.randint(1, 40))
        for _ in range(rng.randint(0, 6)):
            at = rng.randrange(len(kept))
            line = kept[at]
            cut = rng.randint(0, len(line))
            kept[at] = rng.choice(
                (
                    line[:cut],
                    line[:cut] + words(rng) + line[cut:],
                    line.rpartition(" ")[0] + " NaN\n",
                    line * 2,
                    line.rpartition(" ")[0] + " -1e308\n",
                    rng.choice(FOREIGN),
                    line.replace("limit=", "x="),
                    words(rng),
                )
            )
        for options in ((), ("--json",)):
            sound(look("".join(kept), monkeypatch, *options), as_json=bool(options))


def test_half_an_exposition_is_shown_or_refused_in_a_line(
    exposition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cut in range(0, len(exposition), 701):
        sound(look(exposition[:cut], monkeypatch, "--json"), as_json=True)
    assert look(exposition, monkeypatch).exit_code == 0


# -- unforeseen faults ----------------------------------------------------------------------------


def test_fault_of_a_command_is_a_line_and_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **named: object) -> None:
        raise KeyError("\x1b[31m")

    monkeypatch.setattr("ratelimit.cli.explain.load", broken)
    result = run("explain", write_policy(tmp_path), "-r", "GET /")
    assert result.exit_code == failure.FAULT
    assert isinstance(result.exception, SystemExit)
    assert "KeyError" in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr
