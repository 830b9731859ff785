"""The readers of JSON, TOML and YAML: one for each format, bounded in depth, time and memory."""
