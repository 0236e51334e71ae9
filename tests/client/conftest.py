"""The server of the web tests, for a client in a thread of its own."""

from tests.web.conftest import server, unix, url, workflow

__all__ = ["server", "unix", "url", "workflow"]
