"""The user that docs/redis.md makes for limits: one that may do that and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs" / "redis.md").read_text("utf-8")
USER = "ratelimit"
SECRET = "a-secret-of-tests"


def documented(prefix: str = "ratelimit") -> list[str]:
    """Return the words of the user's rights, as the document has them, for a prefix."""
    (words,) = re.findall(rf"^ACL SETUSER {USER} (.*)$", PAGE, re.M)
    return words.replace(">PASSWORD", f">{SECRET}").replace("ratelimit", prefix).split()
