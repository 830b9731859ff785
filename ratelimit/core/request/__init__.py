"""A request's bytes: addresses, fields, identities."""
