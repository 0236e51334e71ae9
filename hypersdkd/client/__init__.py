"""Readers of a daemon: over HTTP, or straight from the queue's directories."""
