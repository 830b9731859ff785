"""What a process does between requests: heartbeats, a look at the policy file, diagnostics."""
