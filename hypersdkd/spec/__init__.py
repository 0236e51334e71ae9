"""All that a plugin author reads: hooks, declarations, ports."""
