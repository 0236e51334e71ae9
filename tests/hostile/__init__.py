"""Inputs made to harm the host: each is data, what it does to a bare tool, and the problem that it has to end with."""
