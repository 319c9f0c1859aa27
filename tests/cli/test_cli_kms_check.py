"""`signatory-cli kms-check` against a KMS emulator and a real enclave program: what must fail does fail."""

import base64
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulators import ACCESS, KEY_ARN, KEY_ID, short_folder
from kms_cloud import GATEWAY, Cloud, check, failed, rows


@pytest.fixture(scope="module")
def running() -> Iterator[Cloud]:
    with short_folder() as folder, Cloud(folder).running() as cloud:
        cloud.start_enclave()
        yield cloud


@pytest.fixture
def cloud(running: Cloud) -> Cloud:
    running.tell("kms", do="clear")
    running.build_policy()
    return running


@pytest.fixture
def probe(cloud: Cloud, tmp_path: Path) -> Path:
    """A ciphertext that happy-path left."""
    file = tmp_path / "probe.json"
    done = check("happy-path", "--save-ciphertext", str(file), config=cloud.config())
    assert done.returncode == 0, done
    return file


@pytest.fixture
def credentials(tmp_path: Path) -> dict[str, str]:
    """Files with the credentials of the gateway and of the enclave's role."""
    found = {}
    for name, key in (("gateway", GATEWAY), ("role", ACCESS)):
        file = tmp_path / f"{name}.json"
        keys = {
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
            "SessionToken": key.session_token,
        }
        file.write_text(json.dumps({"Credentials": keys} if name == "role" else keys))
        found[name] = str(file)
    return found


def test_the_happy_path_seals_and_opens_and_leaves_nothing_behind(cloud: Cloud, probe: Path) -> None:
    found = json.loads(probe.read_text())
    assert found["kms_key_arn"] == KEY_ARN
    assert [*found["context"]] == ["key_id"]
    assert len(base64.b64decode(found["ciphertext"], validate=True)) > 32
    assert not [path for path in (cloud.folder / "base").rglob("*") if path.name.endswith("keys.json")]


def test_a_tenants_key_is_tried_too(cloud: Cloud) -> None:
    words = ("--context-keys", "user_id,key_id")
    done = check("happy-path", *words, config=cloud.config())
    assert (done.returncode, len(rows(done)), failed(done)) == (0, 5, [])
    cloud.build_policy(context_keys=["user_id"])
    done = check("happy-path", *words, config=cloud.config())
    assert done.returncode == 1
    assert failed(done) == ["the enclave seals a throw-away key, context {key_id}"]
    assert "AccessDenied" in done.stdout


def test_an_enclave_that_the_policy_does_not_know_fails(cloud: Cloud) -> None:
    cloud.build_policy(images=[{index: bytes([index + 1]) * 48 for index in (0, 1, 2)}])
    done = check("happy-path", config=cloud.config())
    assert done.returncode == 1
    assert failed(done) == ["the enclave seals a throw-away key, context {key_id}"]


def test_kms_that_answers_in_clear_fails(cloud: Cloud) -> None:
    cloud.tell("kms", do="plaintext", operation="GenerateDataKey", times=9)
    done = check("happy-path", config=cloud.config())
    assert (done.returncode, len(failed(done))) == (1, 1)


def test_an_enclave_that_is_not_there_fails(cloud: Cloud) -> None:
    done = check("happy-path", config=cloud.config(enclave_address=f"unix:{cloud.folder}/nobody.sock"))
    assert (done.returncode, len(failed(done)), len(rows(done))) == (1, 1, 1)


def test_a_key_that_is_not_the_one_expected_fails(cloud: Cloud) -> None:
    other = KEY_ARN.replace("1234", "4321")
    done = check("happy-path", "--key", other, config=cloud.config())
    assert done.returncode == 1


def test_the_gateway_is_kept_out(cloud: Cloud, probe: Path, credentials: dict[str, str]) -> None:
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint)
    done = check("gateway-iam", *words, "--credentials-file", credentials["gateway"])
    assert (done.returncode, failed(done)) == (0, [])
    assert [call for _, call in rows(done)] == [
        "Decrypt without Recipient",
        "GenerateDataKey without Recipient",
        "Encrypt",
    ]
    policy = cloud.build_policy()
    open_to_all = {"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    cloud.state.add_key(KEY_ID, policy | {"Statement": [*policy["Statement"], open_to_all]})
    done = check("gateway-iam", *words, "--credentials-file", credentials["gateway"])
    assert (done.returncode, failed(done)) == (1, ["Encrypt"])


def test_the_parent_is_refused_by_the_keys_policy(
    cloud: Cloud, probe: Path, credentials: dict[str, str]
) -> None:
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint)
    done = check("nitro-host-parent", *words, "--credentials-file", credentials["role"])
    assert (done.returncode, failed(done), len(rows(done))) == (0, [], 9)
    # The vault's own credentials are the same role's.
    done = check("nitro-host-parent", *words, "--vault", "nitro", config=cloud.config())
    assert done.returncode == 0


def test_a_refusal_that_is_not_by_the_keys_policy_is_not_enough(
    cloud: Cloud, probe: Path, credentials: dict[str, str]
) -> None:
    policy = cloud.build_policy()
    lax = [each for each in policy["Statement"] if each["Sid"] != "DenyWithoutRecipient"]
    cloud.state.add_key(KEY_ID, policy | {"Statement": lax})
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint)
    done = check("nitro-host-parent", *words, "--credentials-file", credentials["role"])
    assert done.returncode == 1
    assert failed(done) == ["Decrypt without Recipient", "GenerateDataKey without Recipient"]


def test_encrypt_for_the_reference_scheme_is_expected_where_told(
    cloud: Cloud, probe: Path, credentials: dict[str, str]
) -> None:
    cloud.build_policy(kms_encrypt_v0=True)
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint)
    words = (*words, "--credentials-file", credentials["role"])
    assert failed(check("nitro-host-parent", *words)) == ["Encrypt"]
    assert check("nitro-host-parent", *words, "--kms-encrypt-v0").returncode == 0


@pytest.mark.parametrize("names", ["key_id", "user_id", "key_id,user_id"])
@pytest.mark.parametrize("sealing", ["kms-gdk-v1", "kms-envelope-v1"])
def test_a_context_that_was_edited_opens_nothing(cloud: Cloud, names: str, sealing: str) -> None:
    cloud.build_policy(context_keys=names.split(","))
    words = ("--vault", "nitro", "--context-keys", names, *cloud.endpoint)
    done = check("encryption-context", *words, config=cloud.config(sealing=sealing))
    assert (done.returncode, failed(done)) == (0, []), done.stdout
    assert any("context edited" in call for _, call in rows(done))
    assert "InvalidCiphertextException" in done.stdout or names == "key_id"


def test_keys_that_must_not_open_are_not_logged_as_lost(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    driver = logging.getLogger("vaults.nitro.loading")
    driver.addHandler(caplog.handler)
    try:
        done = check("encryption-context", "--vault", "nitro", *cloud.endpoint, config=cloud.config())
        assert (done.returncode, caplog.messages) == (0, [])
        driver.error("A key is left out: of somebody else")
        assert len(caplog.messages) > 0
    finally:
        driver.removeHandler(caplog.handler)


def test_a_scheme_without_a_context_fails(cloud: Cloud) -> None:
    cloud.build_policy(kms_encrypt_v0=True)
    config = cloud.config(sealing="kms-encrypt-v0")
    done = check("encryption-context", "--vault", "nitro", *cloud.endpoint, config=config)
    assert done.returncode == 1
    assert "the context is bound" in failed(done)


def test_without_an_enclave_the_context_is_tried_from_outside(
    cloud: Cloud, probe: Path, credentials: dict[str, str]
) -> None:
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint)
    done = check("encryption-context", *words, "--credentials-file", credentials["role"])
    assert (done.returncode, len(rows(done))) == (0, 4)


def test_a_network_that_is_down_is_no_refusal(cloud: Cloud, probe: Path, credentials: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"https://localhost:{closed.getsockname()[1]}"
        words = ("--key", KEY_ARN, "--ciphertext", str(probe), "--endpoint", nobody)
        done = check("gateway-iam", *words, "--credentials-file", credentials["gateway"])
    assert (done.returncode, len(failed(done))) == (1, 3)
    assert "no answer" in done.stdout


def test_a_certificate_of_somebody_else_is_no_refusal(
    cloud: Cloud, probe: Path, credentials: dict[str, str]
) -> None:
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint[:2])
    done = check("gateway-iam", *words, "--credentials-file", credentials["gateway"])
    assert (done.returncode, len(failed(done))) == (1, 3)


@pytest.mark.parametrize("name", ["ExpiredTokenException", "ThrottlingException", "KMSInternalException"])
def test_an_answer_that_is_no_refusal_of_the_call_fails(
    cloud: Cloud, probe: Path, credentials: dict[str, str], name: str
) -> None:
    cloud.tell("kms", do="fail", operation="Encrypt", error=name, times=9)
    words = ("--key", KEY_ARN, "--ciphertext", str(probe), *cloud.endpoint)
    done = check("gateway-iam", *words, "--credentials-file", credentials["gateway"])
    assert (done.returncode, failed(done)) == (1, ["Encrypt"])


def test_a_ciphertext_that_kms_does_not_know_shows_nothing(
    cloud: Cloud, tmp_path: Path, credentials: dict[str, str]
) -> None:
    file = tmp_path / "blob"
    file.write_bytes(b"no ciphertext at all")
    words = ("--key", KEY_ARN, "--ciphertext", str(file), *cloud.endpoint)
    done = check("gateway-iam", *words, "--credentials-file", credentials["gateway"])
    assert (done.returncode, failed(done)) == (1, ["Decrypt without Recipient"])


def test_what_is_missing_is_said_and_nothing_passes(
    cloud: Cloud, tmp_path: Path, credentials: dict[str, str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"AccessKeyId": "x", "SecretAccessKey": "do-not-print"')
    role = ("--credentials-file", credentials["role"])
    for words, told in (
        ((*role,), "--key ARN"),
        (("--key", KEY_ARN, *role), "no ciphertext"),
        (("--key", "alias/x", *role), "not the ARN"),
        (("--key", KEY_ARN, "--ciphertext", str(bad), "--credentials-file", str(bad)), "bad.json"),
        (("--vault", "m"), "has no enclave"),
        (("--vault", "none"), "vault none is not found"),
    ):
        done = check("nitro-host-parent", *words, config=cloud.config())
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
        assert "do-not-print" not in done.stderr
        assert "import" not in done.stderr
