"""Secrets: read only where nobody else could, written so that nobody else can."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from hypersdkd.host.secret_file import expand, is_credential, read_secret, write_secret
from tests.privileges import NOBODY, unprivileged


def test_a_file_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_secret(path, b"12345")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path, 4) == b"1234"
    (tmp_path / "link").symlink_to(path)  # as certificates are renewed
    assert read_secret(tmp_path / "link", 9) == b"12345"
    with pytest.raises(FileExistsError):
        write_secret(path, b"other")
    assert path.read_bytes() == b"12345"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o601, 0o644])
def test_a_file_that_others_could_use(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "s"
    write_secret(path, b"x")
    path.chmod(mode)
    with pytest.raises(PermissionError) as caught:
        read_secret(path, 9)
    assert f"(mode {mode:04o}); run: chmod 600 {path}" in str(caught.value)


def test_a_group_where_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_secret(path, b"x")
    path.chmod(0o640)
    assert read_secret(path, 9, forbidden=0o027) == b"x"
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 640"):
        read_secret(path, 9, forbidden=0o027)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file needs root")
def test_whose_it_may_be() -> None:
    with tempfile.TemporaryDirectory() as directory:  # one that another user may enter
        Path(directory).chmod(0o755)
        whose(Path(directory) / "s")


def whose(path: Path) -> None:
    write_secret(path, b"x")
    os.chown(path, NOBODY, -1)
    with pytest.raises(PermissionError, match=f"belongs to user {NOBODY}"):
        read_secret(path, 9)
    with unprivileged():
        assert read_secret(path, 9) == b"x"
    os.chown(path, 0, -1)
    with unprivileged(), pytest.raises(PermissionError, match="Permission denied"):
        read_secret(path, 9)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name, code in (("fifo", errno.EINVAL), (".", errno.EINVAL), ("none", errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            read_secret(tmp_path / name, 9)
        assert caught.value.errno == code, name


def test_credentials_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("$CREDENTIALS_DIRECTORY/tokens")
    assert is_credential(path)
    assert not is_credential(Path("/x/$CREDENTIALS_DIRECTORY/tokens"))
    assert expand(Path("/x")) == Path("/x")
    assert expand(path, {"CREDENTIALS_DIRECTORY": "/run/c"}) == Path("/run/c/tokens")
    with pytest.raises(FileNotFoundError, match="LoadCredential"):
        expand(path, {})
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="/etc/credstore as tokens, then restart"):
        read_secret(path, 9)
    (tmp_path / "tokens").write_bytes(b"x")
    (tmp_path / "tokens").chmod(0o440)  # how an ACL for the service's user shows
    assert read_secret(path, 9) == b"x"
    for mode in (0o444, 0o460):
        (tmp_path / "tokens").chmod(mode)
        with pytest.raises(PermissionError):
            read_secret(path, 9)
