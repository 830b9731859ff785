"""Refuses an sdist or wheel that lacks what users need or carries what was generated."""

from __future__ import annotations

import sys
import tarfile
import zipfile

GENERATED = (".c", ".html", ".pyc", ".o")
IN_BOTH = (
    "ratelimit/py.typed",
    "ratelimit/core/engine.pyi",
    "ratelimit/core/table.pyi",
    "ratelimit/core/hashing.pyi",
    "ratelimit/asgi/gate.pyi",
)
IN_SDIST = (
    "ext/ratelimit/core/engine.pyx",
    "ext/ratelimit/core/atomic.h",
    "LICENSE",
    "SECURITY.md",
    "README.md",
    "setup.py",
)


def names(path: str) -> list[str]:
    """Return the files of an archive, an sdist's without its top folder."""
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel:
            return wheel.namelist()
    with tarfile.open(path) as sdist:
        return [member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()]


def complaints(path: str) -> list[str]:
    """Return what is wrong with an archive."""
    found = names(path)
    wanted = IN_BOTH + (() if path.endswith(".whl") else IN_SDIST)
    wrong = [f"{path}: lacks {name}" for name in wanted if name not in found]
    wrong += [f"{path}: carries {name}" for name in found if name.endswith(GENERATED)]
    if path.endswith(".whl"):
        wrong += [
            f"{path}: lacks the compiled {m}"
            for m in ("core/engine", "core/table", "core/hashing", "asgi/gate")
            if not any(n.startswith(f"ratelimit/{m}.") and n.endswith((".so", ".pyd")) for n in found)
        ]
    else:
        wrong += [f"{path}: carries {name}" for name in found if name.endswith(".so")]
    return wrong


if __name__ == "__main__":
    problems = [line for path in sys.argv[1:] for line in complaints(path)]
    print("\n".join(problems) or f"{len(sys.argv) - 1} archives are complete and clean")
    sys.exit(bool(problems))
