"""Acts of operators: those made, those in force, and what they say."""
