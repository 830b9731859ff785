"""Routes as an application declares them, and whether the policy's limits cover them."""
