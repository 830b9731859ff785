"""Lines of a policy's own, above its first table."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

HEAD = "version = 1\n"
_FOLDER = TemporaryDirectory(prefix="tuning-")


def at_top(text: str, *lines: str) -> str:
    """Return a policy with more keys of the whole file."""
    assert HEAD in text
    return text.replace(HEAD, HEAD + "".join(f"{line}\n" for line in lines), 1)


def events_to(text: str, file: object) -> str:
    """Return a policy whose events go to a file alone."""
    return at_top(text, f'events = ["file:{file}"]')


def tuning_line(numbers: str) -> str:
    """Return the line that names a file of tuning, which lasts as long as this process."""
    folder = Path(_FOLDER.name)
    path = folder / f"{sha256(numbers.encode()).hexdigest()[:16]}.toml"
    path.write_text(numbers, "utf-8")
    return f'tuning = "{path}"'


def tuned(text: str, numbers: str) -> str:
    """Return a policy with a file of tuning."""
    return at_top(text, tuning_line(numbers))
