"""The table itself."""

from __future__ import annotations

import pytest

from hypersdkd.web.endpoint import Endpoint
from hypersdkd.web.endpoints import ENDPOINTS
from hypersdkd.web.state import healthy


def test_each_address_and_each_answer_stands_once():
    assert len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert len({endpoint.answer for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_what_changes_nothing_is_a_get():
    changing = {"cancel", "retry", "pause", "resume", "submit"}
    for endpoint in ENDPOINTS:
        last = endpoint.path.rpartition("/")[2]
        assert (endpoint.method == "POST") == (last in changing | {"validate", "generate"}), endpoint.path


def test_an_id_is_anything_but_a_slash():
    assert Endpoint("GET", "/x/{id}/y", "", healthy).route == "/x/{id:[^/]+}/y"
    with pytest.raises(AttributeError):
        ENDPOINTS[0].path = "/"
