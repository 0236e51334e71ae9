"""Frozen data without I/O: manifests, jobs, events, reports, problems."""
