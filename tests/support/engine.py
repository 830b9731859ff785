"""A real small model, served by llama.cpp's own server, where `make gateway` has installed it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).absolute().parents[2] / "examples" / "llm-api"
ENGINE = Path(sys.prefix) / "engine"
"""Where the engine is, if it is installed."""


@contextmanager
def engine(log: Path) -> Iterator[str]:
    """Run the engine on a port of the kernel's choice; yield its address."""
    command = [sys.executable, str(FOLDER / "engine.py"), "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ENGINE)}, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline().decode()
            address = re.search(r"http://\S+", said)
            assert address is not None, log.read_text()[-2000:]
            yield address[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
