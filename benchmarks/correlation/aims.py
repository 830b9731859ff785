"""Aims, as data: the table that the correlator is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.correlation.campaigns import CAMPAIGNS
from benchmarks.correlation.negatives import NEGATIVES
from benchmarks.correlation.poison import POISON

QUICK = ("base", "lazy", "churning", "data-centre")
"""Campaigns that are to be contained within an hour."""
ALIKE = ("synchronised", "new-model", "ramp")
"""Those the published aims do not name; easier than some of `QUICK`, so held to the same."""
SIX_HOURS = ("card-each-residential", "mobile", "cloud-functions", "several-on-one-provider")
MIXED = ("reseller-mix",)
"""Not named either; as diluted as `SIX_HOURS`."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound on one number.

    Args:
        number: its name in a verdict.
        bound: at most that; at least, with `at_least`.
        scenarios: where it applies.
        of: which row of the published aims it is.
        or_harmless: whether to do nothing at all will do, as long as no honest account notices.
    """

    number: str
    bound: float
    scenarios: tuple[str, ...]
    of: str
    at_least: bool = False
    or_harmless: bool = False

    def met(self, value: float) -> bool:
        """Return whether a value keeps it."""
        return value >= self.bound if self.at_least else value <= self.bound

    @property
    def text(self) -> str:
        """The bound, as people write it."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


HARM = ("honest refused", "honest ever refused", "worst class refused", "false clusters")
"""What all has to be nothing at all for a result to be harmless: stricter than the aims that bound it."""
_BESIDE = tuple(f"{name}+base" for name in NEGATIVES)
_EVERYWHERE = ("honest", *CAMPAIGNS, *NEGATIVES, *_BESIDE, *POISON)

AIMS = (
    Aim("amplification after 1 h", 1.2, QUICK + ALIKE, "admitted after the first hour"),
    Aim("amplification after 6 h", 1.2, SIX_HOURS + MIXED, "admitted after its six hours"),
    Aim("hours beyond", 1.0, QUICK + ALIKE, "time to contain"),
    Aim("to attach, replacements, median", 3.0, QUICK + ALIKE, "requests to attach a replacement"),
    Aim("hours beyond", 6.0, SIX_HOURS + MIXED, "time to contain"),
    Aim("hours beyond", 12.0, ("slow",), "time to contain"),
    Aim("amplification", 3.0, ("small",), "small campaign"),
    Aim(
        "admitted",
        0.5,
        ("full-mimic",),
        "full mimic contained by half, or inert and harmless",
        or_harmless=True,
    ),
    Aim("hours beyond", 1.0, _BESIDE, "time to contain, beside a hard negative"),
    Aim("honest refused", 0.0001, _EVERYWHERE, "honest requests refused"),
    Aim("honest ever refused", 0.001, _EVERYWHERE, "honest accounts ever refused"),
    Aim("worst class refused", 0.01, _EVERYWHERE, "no class of the honest above 1 %"),
    Aim("victims refused", 0.01, tuple(POISON), "poisoning leaves the victims' service intact"),
    Aim("pairwise precision", 0.999, _EVERYWHERE, "pairwise precision", at_least=True),
)
"""Speed and memory have benchmarks of their own; a replay's seconds stand beside the results."""
