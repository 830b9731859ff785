"""Callers, resolved from what a person names, with all that binds and refused them."""
