"""Which sources are read: a table of formats and variants, each row tested by a conversion in the real worker."""
