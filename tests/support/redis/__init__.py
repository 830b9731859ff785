"""Redis and Valkey servers for tests: single, cluster, Sentinel, and a proxy that breaks connections."""
