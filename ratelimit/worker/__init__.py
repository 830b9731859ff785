"""Work of a process between requests: heartbeats, a look at the policy file, diagnostics."""
