"""What an application says of its own routes, and whether the policy's limits cover them."""
