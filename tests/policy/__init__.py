"""The policy file: every rule of it, and every way to get it wrong."""
