"""The files in force: looked at now and then, read again when they change, kept when they cannot be used."""

from __future__ import annotations

import logging
from threading import Event, Thread

from ratelimit.environment.printable import printable
from ratelimit.errors import PolicyError, Problem
from ratelimit.policy.change import fingerprint
from ratelimit.serving.domains.loading import files_of, load_domains
from ratelimit.serving.domains.model import Domains
from ratelimit.serving.domains.statistics import Statistics

log = logging.getLogger("ratelimit")

LOOK_S = 1.0


class DomainFiles:
    """The domains of a file or a folder.

    Args:
        path: the file or the folder.
        merges: whether several files may have parts of one domain.
        statistics: count what was loaded.

    Raises:
        PolicyError: they cannot be used.
    """

    def __init__(self, path: str, *, merges: bool = False, statistics: Statistics | None = None) -> None:
        self._path = path
        self._merges = merges
        self._statistics = Statistics() if statistics is None else statistics
        self._seen = self._look()
        self._domains, warnings = load_domains(path, merges=merges)
        self._statistics.add("config_load_success")
        _say(warnings)
        self._ended = Event()
        self._thread: Thread | None = None

    def current(self) -> Domains:
        """Return the domains in force."""
        return self._domains

    def start(self) -> None:
        """Look at the files from now on, in a thread."""
        self._thread = Thread(target=self._run, name="ratelimit-descriptors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End that."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> bool:
        """Read the files again if they changed; return whether others are in force now."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._domains, warnings = load_domains(self._path, merges=self._merges)
        except PolicyError as error:
            self._statistics.add("config_load_error")
            log.error("the descriptors were not put in force, those before stay: %s", error)
            return False
        self._statistics.add("config_load_success")
        _say(warnings)
        log.info("the descriptors were read again: %d domains", len(self._domains))
        return True

    def _look(self) -> dict[str, tuple[int, ...] | None]:
        return {name: fingerprint(name) for name in files_of(self._path, [])}

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
                self._statistics.leave()
            except Exception:
                log.exception("the descriptors could not be looked at; it is tried again")


def _say(warnings: list[Problem]) -> None:
    for problem in warnings:
        log.warning("%s", printable(str(problem)))
