"""Failed attempts are counted by address, in a window, and in bounded memory."""

from __future__ import annotations

from hypersdkd.web.attempts import ADDRESSES, LIMIT, WINDOW, Attempts


def test_a_window_ends():
    now = [1000.0]
    attempts = Attempts(lambda: now[0])
    counts = [attempts.failed("192.0.2.1") for _ in range(LIMIT + 1)]
    assert counts == [(number + 1, WINDOW) for number in range(LIMIT + 1)]
    now[0] += WINDOW - 1
    assert attempts.failed("192.0.2.1") == (LIMIT + 2, 1.0)
    assert attempts.failed("192.0.2.2") == (1, WINDOW)
    now[0] += 1
    assert attempts.failed("192.0.2.1") == (1, WINDOW)


def test_addresses_of_one_ipv6_network_count_as_one():
    attempts = Attempts(lambda: 0.0)
    assert attempts.failed("2001:db8::1")[0] == 1
    assert attempts.failed("2001:db8::ffff:1")[0] == 2
    assert attempts.failed("2001:db8:0:1::1")[0] == 1
    assert attempts.failed("fe80::1%eth0")[0] == 1
    assert attempts.failed("gone")[0] == 1


def test_memory_is_bounded_and_who_goes_on_is_remembered():
    attempts = Attempts(lambda: 0.0)
    attempts.failed("192.0.2.1")
    for number in range(ADDRESSES + 10):
        attempts.failed(f"10.0.{number >> 8}.{number & 255}")
        attempts.failed("192.0.2.1")
    assert attempts.failed("192.0.2.1")[0] > ADDRESSES
    assert len(attempts._counts) == ADDRESSES
    assert attempts.failed("10.0.0.0")[0] == 1
