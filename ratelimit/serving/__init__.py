"""Decisions for other programs: Envoy's rate-limit service (RLS v3) and a check over HTTP."""
