"""The journal of a deployment, and what follows from it alone: outages, losses, rejected files."""
