"""Correlation across hosts: each host's agent, and the global leader that correlates for all of them."""
