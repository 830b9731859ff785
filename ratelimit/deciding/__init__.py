"""The way from a request's facts to a decision: the bound policy, the decider, a route's plan, the charge."""
