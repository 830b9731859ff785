"""From a request's facts to a decision: the bound policy, the decider, the plan of a route, the charge."""
