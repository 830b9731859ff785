"""Strikes, persistence and rises as numbers: pure, time is an argument."""
