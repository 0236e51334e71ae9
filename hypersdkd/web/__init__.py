"""HTTP: the aiohttp application and its error replies."""
