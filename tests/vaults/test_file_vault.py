"""The file driver: octez-client's file, its passwords, bad records, and a file that changes."""

import contextlib
import hashlib
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary
from nacl.secret import SecretBox
from rigs import CALL, SECRETS, Opened, Rig, base58check, context

from signatory.crypto.curves import SigningVersion
from signatory.errors import ConfigError
from vaults.file import Content, FileVault, _parse


def encrypted(password: str, seed: bytes = b"\x55" * 32) -> str:
    """An `edesk` as octez-client makes it."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), b"saltsalt", 32768, 32)
    return base58check("075a3cb329", b"saltsalt" + SecretBox(key).encrypt(seed, bytes(24)).ciphertext)


def rig(folder: Path, records: Any, password: Any = None, **config: Any) -> Rig:
    path = folder / "keys.json"
    path.write_text(json.dumps(records))
    path.chmod(0o600)
    made = FileVault.Config.model_validate({"file": str(path), **config} if config else str(path))
    return Rig("file", FileVault, made, context(folder, password) if password else context(folder))


def plain(index: int, name: str = "alice") -> dict[str, str]:
    return {"name": name, "value": f"unencrypted:{SECRETS[index]}"}


async def test_an_encrypted_key_is_unlocked_with_signatory_s_prompt(tmp_path: Path, opened: Opened) -> None:
    asked = []

    def password(prompt: str) -> str:
        asked.append(prompt)
        return "open"

    records = [{"name": "bob", "value": f"encrypted:{encrypted('open')}"}]
    vault = await opened(rig(tmp_path, records, password))
    (key,) = await vault.list()
    assert asked == ["(File): Enter password to unlock key `bob': "]
    assert len(await vault.sign(key, b"\x03", SigningVersion.LATEST, CALL)) == 64


async def test_a_password_file_answers_in_the_operator_s_place(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    records = [{"name": "bob", "value": f"encrypted:{encrypted('open sesame')}"}]
    made = rig(tmp_path, records, password_file="${BASE_DIR}/password")
    assert len(await (await opened(made)).list()) == 1
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigError, match="password file"):
        await made.open()


async def test_a_file_with_no_one_to_ask_is_a_configuration_error(tmp_path: Path) -> None:
    records = [plain(0), {"name": "bob", "value": f"encrypted:{encrypted('open')}"}]
    with pytest.raises(ConfigError, match=r"nobody can be asked: .*`bob'"):
        await rig(tmp_path, records).open()


async def test_a_wrong_password_names_the_file_that_it_came_from(tmp_path: Path) -> None:
    made = rig(tmp_path, [{"name": "bob", "value": encrypted("open")}], password_file="${BASE_DIR}/password")
    (tmp_path / "password").write_text("wrong\n")
    with pytest.raises(ConfigError, match=f"the password is wrong.*{tmp_path}/password"):
        await made.open()
    (tmp_path / "password").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="password is not UTF-8 text"):
        await made.open()


BAD = {
    "a wrong password": {"name": "bob", "value": f"encrypted:{encrypted('open')}"},
    "a broken checksum": {"name": "bob", "value": "unencrypted:" + SECRETS[0][:-1] + "1"},
    "a ledger": {"name": "bob", "value": "ledger://a-b-c-d/ed25519/0h"},
    "a public key": {"name": "bob", "value": "edpkujLb5ZCZ2gprnRzE9aVHKZfx9A8EtWu2xxkwYSjBUJbesJ9rWE"},
    "no value": {"name": "bob"},
    "a number": {"name": "bob", "value": 5},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_record_is_named_and_left_out(
    tmp_path: Path, opened: Opened, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    vault = await opened(rig(tmp_path, [plain(0), bad, plain(1)], lambda _prompt: "wrong"))
    assert len(await vault.list()) == 2
    state = vault.readiness()
    assert state.ready
    assert state.reason.startswith("record 1 `bob' is left out: ")
    assert "record 1 `bob' is left out" in caplog.text
    assert SECRETS[0][:-1] not in caplog.text
    with pytest.raises(ConfigError, match="holds no key that can be used"):
        await rig(tmp_path, [bad], lambda _prompt: "wrong").open()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000])
async def test_a_file_of_another_form_says_what_is_expected(tmp_path: Path, content: bytes) -> None:
    made = rig(tmp_path, [])
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(ConfigError, match="is not a list of secret keys") as caught:
        await made.open()
    assert "unencrypted:edsk" in (caught.value.hint or "")


@given(binary(max_size=300))
def test_any_file_is_content_or_a_configuration_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        path.write_bytes(data)
        with contextlib.suppress(ConfigError):
            assert isinstance(_parse(path, lambda _prompt: "", {}), Content)


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    made = FileVault.Config.model_validate({"file": "$BASE_DIR/none"})
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/none: No such file"):
        await FileVault.open(made, context(tmp_path))  # type: ignore[arg-type]  # Config is the seam's type
    made = FileVault.Config.model_validate("$NO_SUCH_VARIABLE/none")
    with pytest.raises(ConfigError, match="needs the variable NO_SUCH_VARIABLE"):
        await FileVault.open(made, context(tmp_path))  # type: ignore[arg-type]  # Config is the seam's type


async def test_a_file_that_others_can_read_is_told_once(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    made = rig(tmp_path, [plain(0)])
    (tmp_path / "keys.json").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        vault = await opened(made)
        await vault.list()
    assert caplog.text.count("make it mode 0600") == 1


async def test_a_changed_file_is_read_again_and_a_broken_one_leaves_the_keys(
    tmp_path: Path, opened: Opened
) -> None:
    asked = []

    def password(prompt: str) -> str:
        asked.append(prompt)
        return "open"

    first = {"name": "bob", "value": f"encrypted:{encrypted('open')}"}
    vault = await opened(rig(tmp_path, [first], password))
    rig(tmp_path, [first, plain(0)])
    keys = await vault.list()
    assert len(keys) == 2
    assert len(asked) == 1
    (tmp_path / "keys.json").write_text("[")
    assert list(await vault.list()) == list(keys)
    assert "is not a list of secret keys" in vault.readiness().reason
