"""Domains and descriptors of Envoy's own rate-limit service: its files, decisions and numbers."""
