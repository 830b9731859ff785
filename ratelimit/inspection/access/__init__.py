"""Access to a running deployment: its memory, its server, its policy in force."""
