"""Limits with other numbers for each of a customer's plans."""
