"""From the file's types to a compiled policy: names resolved, numbers checked."""
