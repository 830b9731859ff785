"""Small campaigns, honest groups that look like one, and poisoning, through the shipped policy.

A row has the published aim, what was measured at this size, and the bound it is held
to: the aim itself where that is met with margin. Where it is missed, the bound is
looser and says so; it still fails for a limiter that correlates nothing. The worlds
are fifty times smaller than the benchmark's, and harder: less background to tell a
campaign from, and a single account is already 0.07 % of everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from benchmarks.correlation.campaigns import CAMPAIGNS
from benchmarks.correlation.negatives import NEGATIVES
from benchmarks.correlation.poison import POISON
from tests.correlation.trial import SEED, replayed, verdicts, written


@dataclass(frozen=True, slots=True)
class Row:
    """A bound on one number of a scenario."""

    scenario: str
    number: str
    aim: float
    bound: float
    measured: float
    seed: int = SEED

    def __str__(self) -> str:
        missed = "" if self.bound <= self.aim else ", aim missed"
        return f"{self.scenario}/{self.seed}: {self.number}{missed}"


HOUR, SIX, BEYOND = "amplification after 1 h", "amplification after 6 h", "hours beyond"

CONTAINED = [
    #   scenario                   number  aim   bound  measured
    Row("lazy", HOUR, 1.2, 1.2, 1),
    Row("lazy", BEYOND, 1.0, 1, 0.0545),
    Row("base", HOUR, 1.2, 1.2, 0.97),
    Row("base", BEYOND, 1.0, 1, 0.329),
    Row("slow", BEYOND, 12.0, 12, 2.54),
    Row("synchronised", HOUR, 1.2, 1.2, 0.852),
    Row("synchronised", BEYOND, 1.0, 1, 0),
    Row("churning", HOUR, 1.2, 1.2, 1),
    Row("churning", BEYOND, 1.0, 1, 0.491),
    Row("card-each-residential", SIX, 1.2, 1.2, 0.804),
    Row("card-each-residential", BEYOND, 6.0, 6, 2.28),
    Row("mobile", SIX, 1.2, 1.2, 0.816),
    Row("mobile", BEYOND, 6.0, 6, 2.36),
    Row("cloud-functions", SIX, 1.2, 1.2, 0.989),
    Row("cloud-functions", BEYOND, 6.0, 6, 0.258),
    Row("several-on-one-provider", SIX, 1.2, 1.2, 1),
    Row("several-on-one-provider", BEYOND, 6.0, 6, 0.492),
    Row("reseller-mix", SIX, 1.2, 1.2, 0.994),
    Row("reseller-mix", BEYOND, 6.0, 6, 0.494),
    Row("new-model", HOUR, 1.2, 1.2, 0.988),
    Row("new-model", BEYOND, 1.0, 1, 0.45),
    Row("small", "amplification", 3.0, 3, 1.15),
    Row("data-centre", HOUR, 1.2, 1.2, 0.988),
    Row("data-centre", BEYOND, 1.0, 1, 0.282),
    # 0.26 to 0.47, by who is beside it.
    *(Row(f"{name}+base", BEYOND, 1.0, 1.0, 0.47) for name in NEGATIVES),
    *(
        Row(name, HOUR, 1.2, 1.2, measured)
        for name, measured in (
            ("touches-victims-address", 0.974),
            ("campus-24", 1.01),
            ("copies-tenant-client", 0.99),
            ("bridges-two-companies", 0.977),
            ("stolen-card", 1.02),
        )
    ),
]

REFUSED, EVER = "honest refused", "honest ever refused"
WORST, VICTIMS = "worst class refused", "victims refused"
USUAL = {REFUSED: 0.0005, EVER: 0.005, WORST: 0.01, VICTIMS: 0.01}
"""What collateral is held to here unless a row says otherwise; the aims are 0.0001, 0.001 and 0.01."""

SPARED = [
    Row("base", REFUSED, 0.0001, 0.0001, 0),
    Row("base", EVER, 0.001, 0.001, 0),
    Row("slow", REFUSED, 0.0001, 0.0001, 0),
    Row("slow", EVER, 0.001, 0.001, 0),
    Row("slow", WORST, 0.01, 0.01, 0),
    Row("card-each-residential", REFUSED, 0.0001, 0.0001, 4.33e-05),
    Row("card-each-residential", EVER, 0.001, 0.001, 0.000854),
    Row("card-each-residential", WORST, 0.01, 0.01, 0.000426),
    Row("mobile", REFUSED, 0.0001, 0.0001, 0),
    Row("mobile", EVER, 0.001, 0.001, 0),
    Row("cloud-functions", REFUSED, 0.0001, 0.0001, 0),
    Row("cloud-functions", EVER, 0.001, 0.001, 0),
    Row("cloud-functions", WORST, 0.01, 0.01, 0),
    Row("new-model", EVER, 0.001, 0.001, 0),
    Row("small", REFUSED, 0.0001, 0.0001, 0),
    Row("small", EVER, 0.001, 0.001, 0),
    Row("small", WORST, 0.01, 0.01, 0),
    # Poisoning, also where it goes worst of the first three seeds.
    Row("bridges-two-companies", EVER, 0.001, 0.001, 0),
    Row("bridges-two-companies", VICTIMS, 0.01, 0.01, 0, seed=2),
    Row("stolen-card", REFUSED, 0.0001, 0.0001, 1.05e-05),
    Row("stolen-card", EVER, 0.001, 0.001, 0.000818),
    Row("stolen-card", WORST, 0.01, 0.01, 0.000149),
    Row("stolen-card", VICTIMS, 0.01, 0.01, 0.000207),
    Row("stolen-card", VICTIMS, 0.01, 0.01, 0.000235, seed=2),
    Row("copies-tenant-client", VICTIMS, 0.01, 0.01, 0, seed=3),
    # A flood is half of everybody, and what honest people share looks the rarer for it.
    Row("floods-fresh-identifiers", EVER, 0.001, 0.001, 0, seed=3),
]

BESIDE = tuple(f"{name}+base" for name in NEGATIVES)
EVERYWHERE = (*CAMPAIGNS, *BESIDE, *POISON)


def test_every_campaign_has_its_row() -> None:
    # One asks for less than its budget at this size, the other shows nothing twice.
    elsewhere = {"ramp", "full-mimic"}
    assert {row.scenario for row in CONTAINED} >= set(CAMPAIGNS) - elsewhere | set(BESIDE)


@pytest.mark.parametrize("row", CONTAINED, ids=str)
def test_campaigns_are_contained(row: Row) -> None:
    found, without = verdicts(row.scenario, row.seed)
    assert found.numbers[row.number] <= row.bound
    assert without.numbers[row.number] > row.bound, "a limiter that correlates nothing would pass"


def test_replacements_are_known_by_their_third_request() -> None:
    found, _ = verdicts("churning")
    assert found.numbers["to attach, replacements, median"] <= 3


def test_a_growing_campaign_is_followed() -> None:
    # It asks for half of its budget here, so there is nothing to contain: but it is known for what it is.
    found, _ = verdicts("ramp")
    assert found.numbers["pairwise recall"] >= 0.5
    assert found.numbers["to attach, replacements, median"] <= 5


def test_several_campaigns_on_one_provider_stay_apart() -> None:
    found, _ = verdicts("several-on-one-provider")
    assert 2.5 <= found.numbers["clusters"] <= 4


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_honest_are_left_alone(name: str) -> None:
    found, _ = verdicts(name)
    bounds = USUAL | {row.number: row.bound for row in SPARED if (row.scenario, row.seed) == (name, SEED)}
    over = {
        number: (found.numbers[number], bound)
        for number, bound in bounds.items()
        if found.numbers.get(number, 0.0) > bound
    }
    assert not over


@pytest.mark.parametrize("row", [row for row in SPARED if row.seed != SEED], ids=str)
def test_poisoning_that_does_harm_does_no_more(row: Row) -> None:
    found, _ = verdicts(row.scenario, row.seed)
    assert found.numbers[row.number] <= row.bound


@pytest.mark.parametrize("name", ["honest", *NEGATIVES])
def test_nobody_is_clustered_where_there_is_no_campaign(name: str) -> None:
    found, _ = verdicts(name)
    assert found.numbers["clusters"] == 0
    assert found.numbers[REFUSED] == 0


@pytest.mark.parametrize("name", ["full-mimic", "floods-fresh-identifiers"])
def test_what_cannot_be_seen_is_harmless(name: str) -> None:
    # Aim missed: a mimic is to be contained by half in 72 hours, and all of it is admitted. Nobody suffers.
    found, _ = verdicts(name)
    assert found.numbers["admitted"] <= 1.0
    assert found.numbers[REFUSED] == 0
    assert found.numbers["false clusters"] == 0


def test_without_correlation_the_campaign_is_admitted_whole() -> None:
    trace, text = written("base")
    decisions, _ = replayed(text, correlates=False)
    campaign = (trace.campaign >= 0).tolist()
    refused = [
        line for line, is_bad in zip(decisions, campaign, strict=True) if is_bad and b'"refuse"' in line
    ]
    assert not refused
    assert not any(b'"cluster": "' in line for line in decisions)
