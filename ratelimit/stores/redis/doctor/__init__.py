"""A policy's servers examined: reachable, fit for limits, permitted."""
