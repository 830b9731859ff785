"""Identities and addresses that are always allowed, or always denied."""
