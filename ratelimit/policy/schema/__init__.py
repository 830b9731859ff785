"""The policy file as text and as types: the tables, their values, their problems."""
