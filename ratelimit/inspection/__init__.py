"""Inspection of a decision, of the actor that an account belongs to, and of an installation."""
