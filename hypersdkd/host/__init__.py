"""Linux and its tools; nothing here knows what a job is."""
