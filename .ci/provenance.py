"""Where archives come from: `SHA256SUMS`, and a statement of in-toto with SLSA's provenance, beside them.

`make dist` writes both, unsigned: whoever builds may sign them. Released archives have signed ones, which the
release's workflow makes (`.github/workflows/release.yml`).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).absolute().parents[1]
SUMS = "SHA256SUMS"
STATEMENT = "provenance.intoto.json"
TOOLS = ("build", "cython", *(("auditwheel",) if sys.platform == "linux" else ()))


def git(*words: str) -> str:
    """Return what git says of the sources, or an empty text where they are no checkout."""
    done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def statement(sums: dict[str, str], commit: str, changed: bool, source: str) -> dict[str, Any]:
    """Return the statement.

    Args:
        sums: digests of archives, by the names of their files.
        commit: the sources' commit, or an empty text.
        changed: whether the working tree differs from it.
        source: the project's address, or an empty text.
    """
    dependencies = (
        [{"uri": f"git+{source}" if source else "git", "digest": {"gitCommit": commit}}] if commit else []
    )
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(sums.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:kinlimit:make-dist",
                "externalParameters": {"command": "make dist"},
                "internalParameters": {"uncommitted": changed},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {
                    "id": "urn:kinlimit:local",
                    "version": {"python": sys.version.split()[0], **{name: version(name) for name in TOOLS}},
                }
            },
        },
    }


def write(out: Path, source: str) -> None:
    """Write both files beside the archives of a folder."""
    archives = sorted(each for each in out.iterdir() if each.name.endswith((".whl", ".tar.gz")))
    sums = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in archives}
    (out / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()), "utf-8")
    made = statement(sums, git("rev-parse", "HEAD"), bool(git("status", "--porcelain")), source)
    (out / STATEMENT).write_text(json.dumps(made, indent=1) + "\n", "utf-8")
