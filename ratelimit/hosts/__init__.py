"""Correlation across hosts: each host's bridge to a server, and the one correlator of all."""
