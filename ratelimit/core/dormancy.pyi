"""Principals that were silent for long: remembered, and no burden to a rebuild."""

from ratelimit.core.fitting import Fitting

class Dormancy(Fitting):
    """Lets principals be dormant; they wake by being seen."""

    def lull(self, start: int, stop: int, silent_s: int) -> None:
        """Let principals in a range be dormant that were silent for so long, but those ruled upon."""
    def sleepers(self, start: int, stop: int, counts: list[int]) -> None:
        """Add a range's dormant members to `counts`, by label; not those seen last six half-lives ago."""
    def wait(self, label: int, waits: bool) -> None:
        """Say whether a cluster's members are dormant but for a few, who then stay in it."""
