"""The algorithms of limits: state in one word, or in a block."""
