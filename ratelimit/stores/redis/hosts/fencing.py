"""The correlators' scripts: the lease, and writes that only its holder's term may do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

Word = str | bytes | int


class Script:
    """One script by its name: sent once, called by its digest after that.

    Args:
        name: of a file in `scripts`, without its ending.
    """

    def __init__(self, name: str) -> None:
        self.text = (files(__package__) / "scripts" / f"{name}.lua").read_bytes()
        # What the server calls it by, which is no matter of security.
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    async def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Word]) -> Any:
        """Call it; a server that does not know it was restarted, and is told once.

        A call that was refused for that reason has not run, so this repeats nothing.
        """
        words = (len(keys), *keys, *arguments)
        try:
            return await client.execute_command("EVALSHA", self.digest, *words)
        except NoScriptError:
            return await client.execute_command("EVAL", self.text, *words)


LEASE = Script("lease")
RELEASE = Script("release")
PUBLISH = Script("publish")
CHUNK = Script("chunk")
SEAL = Script("seal")
REPORT = Script("report")
REPORTS = Script("reports")
ACT = Script("act")
CONDUCT = Script("conduct")
RECORDS = Script("records")
JOURNAL = Script("journal")
LOAD = Script("load")
