"""Parquet is read row by row as JSON is, and what cannot be read is said."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ratelimit.traces import Fields
from ratelimit.traces.lines import TraceUnreadable
from ratelimit.traces.reader import open_reader
from ratelimit.traces.shape import FieldMap
from ratelimit.traces.sorting import in_order

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
BEGIN_NS = int(BEGIN.timestamp()) * 10**9
ROWS = 3_000


def written(path: Path, times: Any, rows: int = ROWS) -> str:
    columns = {
        "at": times,
        "method": ["POST"] * rows,
        "path": [f"/v1/{number}" for number in range(rows)],
        "ip": [f"192.0.2.{number % 200}" for number in range(rows)],
        "bytes": [b"\xff"] * rows,
    }
    parquet.write_table(pyarrow.table(columns), path, row_group_size=700)
    return str(path)


def seconds(unit: str, zone: str | None) -> Any:
    naive = [BEGIN.replace(tzinfo=None) + timedelta(seconds=number) for number in range(ROWS)]
    return pyarrow.array(naive, pyarrow.timestamp("us")).cast(pyarrow.timestamp(unit, zone))


TIMES = {
    "numbers": lambda: [BEGIN.timestamp() + number for number in range(ROWS)],
    "texts": lambda: [(BEGIN + timedelta(seconds=number)).isoformat() for number in range(ROWS)],
    "milliseconds": lambda: seconds("ms", "UTC"),
    "nanoseconds": lambda: seconds("ns", "UTC"),
    "without zone": lambda: seconds("ns", None),
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("sort", [False, True])
def test_rows_are_requests(tmp_path: Path, kind: str, sort: bool) -> None:
    reader = open_reader(
        written(tmp_path / "use.parquet", TIMES[kind]()), Fields(), mapping=FieldMap.parse(["time=at"])
    )
    batches = list(in_order(reader) if sort else reader)
    assert [record.path for batch in batches for record in batch.records] == [
        f"/v1/{number}" for number in range(ROWS)
    ]
    times = [time for batch in batches for time in batch.times_ns]
    assert times == [BEGIN_NS + number * 10**9 for number in range(ROWS)]
    assert reader.source.size is None


def test_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "use.parquet"
    written(path, TIMES["numbers"]())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceUnreadable, match="it is no Parquet file"):
        open_reader(str(path), Fields())


def test_rows_that_are_damaged_end_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "use.parquet"
    written(path, TIMES["numbers"]())
    whole = bytearray(path.read_bytes())
    half = len(whole) // 2
    whole[half : half + 400] = b"\xff" * 400
    path.write_bytes(whole)
    reader = open_reader(str(path), Fields(), mapping=FieldMap.parse(["time=at"]))
    read = sum(len(batch.records) for batch in reader)
    assert read < ROWS
    assert reader.source.broken is not None


def test_pipe_is_refused_in_words(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    body = Path(written(tmp_path / "use.parquet", TIMES["numbers"]())).read_bytes()
    with pytest.raises(TraceUnreadable, match="give the file's name"):
        open_reader("-", Fields(), stdin=Pipe(body))


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["pyarrow"] = None
from ratelimit.traces import Fields
from ratelimit.traces.reader import open_reader
open_reader({written(tmp_path / "use.parquet", TIMES["numbers"]())!r}, Fields())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'pyarrow>=17'" in done.stderr
