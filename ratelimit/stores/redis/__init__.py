"""Limits kept by a Redis or Valkey that many hosts share."""
