"""A decision made by the server: the script, the plan, limits in several slots, transfers."""
