"""The first key of an empty store: told once, readable to its owner only, and made though a former start died."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.bootstrap import BOOTSTRAP_KEY_FILE, bootstrap
from service.settings import Settings
from tsugiki.storage.tenants import Tenants


@pytest.mark.parametrize("died_before", [False, True])
def test_the_first_key_is_told_once_and_kept_for_its_owner(
    tenants: Tenants, tmp_path: Path, capsys: pytest.CaptureFixture[str], died_before: bool
) -> None:
    if died_before:
        tenants.create("default", operator=True)
        (tmp_path / BOOTSTRAP_KEY_FILE).touch(0o600)
    settings = Settings(home=tmp_path)  # pyright: ignore[reportCallIssue]  # the rest has defaults
    for _ in range(2):  # the second start finds it done
        bootstrap(settings, tenants)
    path = tmp_path / BOOTSTRAP_KEY_FILE
    secret = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().err.count(secret) == 1
    (tenant,) = tenants.list().data
    assert (tenant.name, tenant.operator) == ("default", True)
    (key,) = tenants.keys(tenant.id).data
    principal = tenants.authenticate(secret)
    assert principal is not None
    assert (principal.key, key.scopes) == (key, ("admin",))


def test_a_key_that_was_brought_along_is_neither_told_nor_written(
    tenants: Tenants, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap(Settings(home=tmp_path, bootstrap_key="tsk_brought-along-by-the-operator"), tenants)  # pyright: ignore[reportCallIssue]
    assert tenants.authenticate("tsk_brought-along-by-the-operator") is not None
    assert not (tmp_path / BOOTSTRAP_KEY_FILE).exists()
    assert capsys.readouterr().err == ""
