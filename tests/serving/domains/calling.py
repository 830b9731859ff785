"""Calls of a service of domains, in the protocol's bytes, under a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from envoy.service.ratelimit.v3 import rls_pb2

from ratelimit import Limiter, ManualClock, Policy
from ratelimit.serving.domains.counting import Counting
from ratelimit.serving.domains.files import DomainFiles
from ratelimit.serving.domains.service import DomainService
from ratelimit.serving.domains.settings import Settings
from ratelimit.serving.envoy import ByDomains, DirectService

OK, OVER = rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT
START_S = 1_700_000_040
"""The beginning of a minute."""
Entries = tuple[tuple[str, str], ...]


class Waiting:
    """A call whose proxy still waits."""

    def is_active(self) -> bool:
        return True


@dataclass
class Service:
    """A service under test."""

    direct: DirectService
    clock: ManualClock
    domains: DomainService
    files: DomainFiles
    place: Path
    domain: str

    def put(self, text: str) -> None:
        """Write another file, and put it in force."""
        self.place.write_text(text)
        assert self.files.look()

    def call(
        self,
        *descriptors: Entries,
        hits: int = 0,
        own: dict[int, int] | None = None,
        limits: dict[int, tuple[int, int]] | None = None,
        domain: str | None = None,
    ) -> Any:
        """Return the answer to a call; `own` and `limits` belong to the descriptors of these numbers."""
        request = rls_pb2.RateLimitRequest(domain=domain or self.domain, hits_addend=hits)
        for at, entries in enumerate(descriptors):
            made = request.descriptors.add()
            for key, value in entries:
                made.entries.add(key=key, value=value)
            if own is not None and at in own:
                made.hits_addend.value = own[at]
            if limits is not None and at in limits:
                made.limit.requests_per_unit, made.limit.unit = limits[at]
        answered = self.direct.ShouldRateLimit(request.SerializeToString(), Waiting())  # type: ignore[arg-type]
        return rls_pb2.RateLimitResponse.FromString(answered)

    def codes(self, times: int, *descriptors: Entries, **more: Any) -> str:
        """Return what so many calls are answered: a dot for one that is allowed, x for one over it."""
        return "".join(".x"[self.call(*descriptors, **more).overall_code == OVER] for _ in range(times))

    @property
    def series(self) -> dict[str, list[int]]:
        """The statistics by their names."""
        return self.domains.statistics._series


@contextmanager
def serving(
    folder: Path, configuration: str | dict[str, Any], *, settings: Settings | None = None, policy: str = ""
) -> Iterator[Service]:
    """Serve a configuration, with a policy on top where one is given."""
    text = configuration if isinstance(configuration, str) else yaml.safe_dump(configuration, sort_keys=False)
    place = folder / "ratelimit.yaml"
    place.write_text(text)
    files = DomainFiles(str(place))
    clock = ManualClock(START_S * 10**9)
    limiter = Limiter(Policy.from_toml(policy or "version = 1"), clock=clock)
    service = DomainService(files.current, Counting(limiter), settings)
    answering = ByDomains(limiter, service, is_topped=bool(policy))
    name = yaml.safe_load(text)["domain"]
    try:
        yield Service(DirectService(limiter, answering), clock, service, files, place, name)
    finally:
        limiter.close()
