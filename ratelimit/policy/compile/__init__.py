"""The compiler of policies, from the file's types: names resolved, numbers checked."""
