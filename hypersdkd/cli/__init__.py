"""The terminal: hyperctl."""
