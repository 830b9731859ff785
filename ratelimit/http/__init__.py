"""Limits in HTTP responses: fields and problem documents, for any framework."""
