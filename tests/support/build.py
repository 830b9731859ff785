"""The build under test: was it made from the sources that lie here?"""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
REBUILD = "python setup.py build_ext --inplace"


class StaleBuildError(Exception):
    """The extension is missing, or was built from other sources."""


def source_digest(root: Path = ROOT) -> str:
    """Return the digest of the core's sources, as the build leaves it beside the binaries.

    Keep in step with `setup.py`; a difference shows at once, as a refusal to test.
    """
    digest = hashlib.sha256()
    for path in sorted((root / "ext" / "ratelimit").rglob("*")):
        if path.suffix in {".pyx", ".pxd", ".h"}:
            digest.update(path.relative_to(root / "ext").as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()


def check_build(root: Path = ROOT) -> None:
    """Raise unless the extension is there and fits the sources.

    A test of an installed wheel, away from the sources, has nothing to compare.
    """
    try:
        from ratelimit import core
    except ImportError as error:
        raise StaleBuildError(f"the compiled core cannot be imported ({error}); run: {REBUILD}") from error
    if not (root / "ext" / "ratelimit").is_dir():
        return
    assert core.__file__ is not None
    built = Path(core.__file__).with_name("_digest.txt").read_text().strip()
    if built != source_digest(root):
        raise StaleBuildError(f"the compiled core was built from other sources than ext/; run: {REBUILD}")
