from hypersdkd.cli.exits import exit_status


def test_codes_become_exit_statuses() -> None:
    assert exit_status("usage") == 2
    assert exit_status("daemon-unreachable") == 3
    assert exit_status("job-unknown") == 1
    assert exit_status("some-plugin.code") == 1
