"""The night in which /dev/shm is full, run where that is the container's own; prints what was told.

Called by `test_night` as `python -m tests.night.full_memory FOLDER`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ratelimit.limiter import Limiter
from ratelimit.worker.upkeep import Upkeep
from tests.cli.running import run
from tests.night.test_night import POLICY, Night, firing, scrape

SHARED = Path("/dev/shm")


def main(folder: Path) -> None:
    """Fill the memory, look, empty it, look again."""
    path, filler = folder / "policy.toml", SHARED / "someone-elses"
    text = POLICY.format(table="", url="", events=folder / "events.ndjson")
    path.write_text(text.replace('memory = ""\n', ""))
    limiter = Limiter(path)
    upkeep = Upkeep(limiter, 0)
    upkeep.tick()
    night = Night(limiter, folder / "events.ndjson")
    others = [Night(limiter, folder / "events.ndjson") for _ in range(3)]
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass  # full
    upkeep.tick()
    begun = scrape(limiter)
    upkeep.tick()
    allowed = [limiter.decide(identities={"account": "a"}, client="203.0.113.9").allowed for _ in range(1001)]
    for each in others:
        each.told()
    full = {
        "alerts": firing(night.before, begun, scrape(limiter), folder),
        "events": [{"event": each["event"], **each["fields"]} for each in night.told()],
        "admitted": sum(allowed),
    }
    doctor = run("doctor", path)
    filler.unlink()
    after = run("doctor", path)
    full |= {"doctor": [doctor.exit_code, doctor.output], "after": [after.exit_code, after.output]}
    limiter.close()
    print(json.dumps(full))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
