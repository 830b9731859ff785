"""The arithmetic of allowances, pure."""
