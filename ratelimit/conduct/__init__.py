"""Limits that fall with strikes, the steps they take before they refuse, and steep rises."""
