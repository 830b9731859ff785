"""Files that are made to break what reads them: an ordinary error of the command, and bounded memory."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.lab.traces import FREE_BYTES, LineSource
from tests.cli.running import POLICY, post, run, write_policy

GOOD = json.dumps(post(0)).encode()
NESTED = (
    b'{"time": 1700000000, "method": "POST", "path": "/v1/chat", "x": ' + b"[" * 1_100 + b"]" * 1_100 + b"}"
)
LINES = {
    "member": NESTED,
    "headers": b'{"time": 1, "method": "GET", "path": "/", "headers": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "unclosed": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "long number": b'{"time": ' + b"9" * 5_000 + b', "method": "GET", "path": "/"}',
    "large cost": b'{"time": 1, "method": "GET", "path": "/", "output_tokens": ' + b"9" * 400 + b"}",
    "not a number": b'{"time": NaN, "method": "GET", "path": "/"}',
    "infinite": b'{"time": 1e999, "method": "GET", "path": "/"}',
    "half a pair": b'{"time": 1, "method": "GET", "path": "\\ud800"}',
    "long line": b'{"path": "' + b"a" * 3_000_000 + b'"}',
    "NUL": b"\0" * 100_000,
    "quotes": b'"' * 100_000,
    "commas": b"," * 100_000,
}


class Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError("a pipe has no place")


COMMANDS = {
    "replay": lambda policy, trace: ("replay", policy, trace, "--json"),
    "suggest": lambda policy, trace: ("make", "limits", trace, "--json"),
    "diff": lambda policy, trace: ("diff", policy, policy, trace, "--json"),
}


def ended_well(done: Result) -> bool:
    """Return whether a command ended as it means to: with what it found, or an error of the input."""
    return done.exit_code in (0, 1, 3, 4) and "fault of ratelimit" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", LINES)
def test_nested_input_and_other_hostile_lines_are_counted_as_unreadable(
    tmp_path: Path, command: str, kind: str
) -> None:
    policy, trace = write_policy(tmp_path), tmp_path / "trace.ndjson"
    goods = [json.dumps(post(20 * number)).encode() for number in range(20)]
    trace.write_bytes(b"\n".join([*goods[:10], LINES[kind], *goods[10:]]))
    done = run(*COMMANDS[command](policy, trace))
    assert done.exit_code == 0, done.stderr
    assert done.stdout
    alone = tmp_path / "alone.ndjson"
    alone.write_bytes(LINES[kind])
    done = run(*COMMANDS[command](policy, alone))
    assert ended_well(done), done.stderr
    assert done.exit_code != 0 or kind in {"large cost", "half a pair"}


def test_nested_line_is_one_unreadable_line_with_its_number(tmp_path: Path) -> None:
    trace = tmp_path / "trace.ndjson"
    trace.write_bytes(b"\n".join([GOOD, NESTED, GOOD]))
    done = run("replay", write_policy(tmp_path), trace, "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert "2" in json.dumps(report["unreadable"])
    done = run("replay", write_policy(tmp_path), trace)
    assert "nested more than 64 deep" in done.stdout + done.stderr


@pytest.mark.parametrize("format", ["ndjson", "nginx-json", "combined", "common"])
def test_nested_line_ends_no_format(tmp_path: Path, format: str) -> None:
    trace = tmp_path / "trace"
    trace.write_bytes(b"\n".join([NESTED, b"{" * 5_000, NESTED]))
    done = run("replay", write_policy(tmp_path), trace, "--format", format)
    assert ended_well(done), done.stderr


def test_nested_request_of_the_command_line_is_an_error_of_the_input(tmp_path: Path) -> None:
    done = run(
        "explain", write_policy(tmp_path), "-r", '{"path": "/", "x": ' + "[" * 1_100 + "]" * 1_100 + "}"
    )
    assert done.exit_code not in (0, 70)
    assert "nested more than 64 deep" in done.stderr


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5_000, POLICY + "x = " + "{a = " * 5_000, "a." * 50_000 + "a = 1"]
)
@pytest.mark.parametrize("command", ["check", "explain", "replay"])
def test_nested_policy_is_an_error_of_the_policy(tmp_path: Path, command: str, text: str) -> None:
    policy = write_policy(tmp_path, text)
    trace = tmp_path / "trace.ndjson"
    trace.write_bytes(GOOD)
    more = {"check": (), "explain": ("-r", "GET /"), "replay": (trace,)}[command]
    done = run(command, policy, *more)
    assert done.exit_code not in (0, 70), done.stderr
    assert "nested more than 16 deep" in done.stdout + done.stderr


def test_compressed_line_without_end_takes_bounded_memory(tmp_path: Path) -> None:
    trace, chance = tmp_path / "trace.ndjson.gz", random.Random(0)
    packer = zlib.compressobj(wbits=31)
    with trace.open("wb") as file:
        file.write(packer.compress(GOOD + b'\n{"path": "'))
        for _ in range(40):  # of letters by chance: what repeats itself is told by its ratio
            file.write(packer.compress(base64.b64encode(chance.randbytes(1 << 14)) * 64))
        file.write(packer.compress(b'"}\n' + GOOD + b"\n") + packer.flush())
    tracemalloc.start()
    try:
        done = run("replay", write_policy(tmp_path), trace, "--json")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["requests"] == 2
    assert most < 32 << 20


@pytest.mark.parametrize("part", [b"[\n", b"\n", b"{}\n", b"a"])
@pytest.mark.parametrize("by", ["name", "standard input"])
def test_compressed_file_that_stands_for_far_more_than_it_is_breaks_off(
    tmp_path: Path, part: bytes, by: str
) -> None:
    trace = tmp_path / "trace.ndjson.gz"
    much = part * ((1 << 20) // len(part))
    packer = zlib.compressobj(wbits=31)
    with trace.open("wb") as file:
        file.write(packer.compress(GOOD + b"\n"))
        for _ in range(60):
            file.write(packer.compress(much))
        file.write(packer.flush())
    source = LineSource(str(trace)) if by == "name" else LineSource("-", stdin=Pipe(trace.read_bytes()))
    read = sum(len(chunk) for _, chunk in source)
    assert read < 45 << 20, "of 60"
    assert source.broken == "it unpacks to more than 250 times its size"


def test_compressed_log_is_read_to_its_end(tmp_path: Path) -> None:
    trace = tmp_path / "trace.ndjson.gz"
    lines = b"".join(
        json.dumps(post(number, f"user {number % 997}")).encode() + b"\n" for number in range(200_000)
    )
    trace.write_bytes(gzip.compress(lines))
    source = LineSource(str(trace))
    assert sum(len(chunk) for _, chunk in source) == len(lines) > FREE_BYTES
    assert source.broken is None


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([*LINES.values()][:5]), max_size=12), st.booleans())
def test_any_bytes_are_a_trace_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], is_packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    content = b"\n".join([*parts, GOOD])
    (folder / "trace").write_bytes(gzip.compress(content) if is_packed else content)
    done = run("replay", write_policy(folder), folder / "trace")
    assert ended_well(done), done.stderr
