"""Files that are made to break what reads them: an ordinary error of the command, and bounded memory."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.traces.lines import FREE_BYTES, LineSource
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


@pytest.mark.parametrize(
    "format", ["ndjson", "nginx-json", "caddy", "envoy-json", "csv", "combined", "envoy"]
)
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


PARQUET = """
import sys, pyarrow, pyarrow.parquet
kind, path = sys.argv[1:]
one = {"time": [1700000000, 1700000001], "method": ["POST"] * 2, "path": ["/v1/chat"] * 2}
more, how = {
    "good": ([1, 2], {}),
    "a large text": (["a" * 100_000_000, "b"], {}),
    "a huge text": (["a" * 200_000_000, "b"], {}),
    "texts of one dictionary": (pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 20_000, pyarrow.int32()), pyarrow.array(["a" * 1_000_000])), {}),
    "texts with one prefix": (["a" * 900_000] * 300, {"use_dictionary": False,
        "column_encoding": {"more": "DELTA_BYTE_ARRAY"}}),
    "rows of nothing": (pyarrow.nulls(2_000_000, pyarrow.string()), {}),
}[kind]
table = pyarrow.table({"more": more})
if len(table) == 2:
    table = pyarrow.table({**one, "more": more})
pyarrow.parquet.write_table(table, path, compression="zstd", **how)
"""
MOST_KIB = (768 << 10) + (128 << 10)
MEASURED = """
import pathlib, resource, sys
from ratelimit.cli.main import main
try:
    main()
finally:
    # Of this process what it had since it began; the other measure goes on from the one that started it.
    own = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, own.split()[1], file=sys.stderr)
"""
OUTCOMES = {
    "good": (0, ""),
    "a large text": (0, "longer than a megabyte"),
    "a huge text": (3, "broke off before any request: a page or a row of it takes more than 768 MiB"),
    "texts of one dictionary": (3, "it stands for more than 2000 times its size"),
    "texts with one prefix": (3, "no known format"),
    "rows of nothing": (3, "no known format"),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it")
@pytest.mark.parametrize("kind", OUTCOMES)
def test_huge_or_compressed_parquet_takes_bounded_memory(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("pyarrow")
    trace = tmp_path / "trace.parquet"
    subprocess.run([sys.executable, "-c", PARQUET, kind, trace], check=True)
    assert trace.stat().st_size < 200_000
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "replay", write_policy(tmp_path), trace],
        capture_output=True,
        text=True,
    )
    code, says = OUTCOMES[kind]
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
    most, own = map(int, done.stderr.split()[-2:])
    assert most < MOST_KIB
    assert own < 200 << 10, "the command itself holds lines, and no file"


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_any_damage_to_a_parquet_file_is_an_error_or_a_shorter_trace(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("damage")
    rows = 300
    parquet.write_table(
        pyarrow.table(
            {
                "time": list(range(rows)),
                "method": ["GET"] * rows,
                "path": [f"/{each}" for each in range(rows)],
            }
        ),
        folder / "trace.parquet",
    )
    whole = bytearray((folder / "trace.parquet").read_bytes())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(4, len(whole) - 4)
        whole[at : at + chance.randint(1, 8)] = chance.randbytes(chance.randint(1, 8))
    (folder / "trace.parquet").write_bytes(whole)
    done = run("replay", write_policy(folder), folder / "trace.parquet")
    assert ended_well(done), done.stderr


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
