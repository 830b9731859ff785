"""Limits that ask the application for a step-up in place of a refusal."""
