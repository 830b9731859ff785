"""A check of contents: refuses an sdist or wheel that lacks needed files or carries generated ones."""

from __future__ import annotations

import sys
import tarfile
import zipfile

import sbom

GENERATED = (".c", ".html", ".pyc", ".o")
IN_BOTH = (
    "ratelimit/py.typed",
    "ratelimit/core/decision/engine.pyi",
    "ratelimit/core/memory/table.pyi",
    "ratelimit/core/memory/hashing.pyi",
    "ratelimit/asgi/gate.pyi",
    "ratelimit/usage/reader.pyi",
    "ratelimit/console/templates/base.jinja",
    "ratelimit/console/assets/console.css",
    "ratelimit/console/assets/console.js",
    "ratelimit/console/assets/icon.svg",
)
IN_SDIST = (
    "ext/ratelimit/core/decision/engine.pyx",
    "ext/ratelimit/core/memory/atomic.h",
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
            f"{path}: lacks {name}"
            for name in (f"/{sbom.NAME}", "/licenses/LICENSE")
            if not any(n.partition(".dist-info")[2] == name for n in found)
        ]
        wrong += [
            f"{path}: lacks the compiled {m}"
            for m in (
                "core/decision/engine",
                "core/memory/table",
                "core/memory/hashing",
                "asgi/gate",
                "usage/reader",
            )
            if not any(n.startswith(f"ratelimit/{m}.") and n.endswith((".so", ".pyd")) for n in found)
        ]
    else:
        wrong += [f"{path}: carries {name}" for name in found if name.endswith(".so")]
    return wrong


if __name__ == "__main__":
    problems = [line for path in sys.argv[1:] for line in complaints(path)]
    print("\n".join(problems) or f"{len(sys.argv) - 1} archives are complete and clean")
    sys.exit(bool(problems))
