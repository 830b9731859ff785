"""One decision over several limits: plans, outcomes, meters."""
