"""Hosts of a deployment at one moment: what their limits do, whom these refuse, and how they are set up."""
