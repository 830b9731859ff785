"""The correlator's memory and the phases of a rebuild."""
