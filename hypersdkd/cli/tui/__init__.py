"""``hyperctl tui``: the queue and its jobs on the whole screen. Only ``command`` is imported from outside."""
