"""What a nitro block may say: Signatory's keys word for word, ours beside them, clear words for the rest."""

from typing import Any

import pytest
from pydantic import ValidationError

from signatory.config.check import check, fill_from_environment
from vaults.nitro.config import NitroConfig

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BY_ID = {"encryption_key_id": "1234abcd-12ab-34cd-56ef-1234567890ab"}


def config(**values: Any) -> NitroConfig:
    return NitroConfig.model_validate({"encryption_key_id": ARN} | values)


def test_the_defaults_are_signatory_s() -> None:
    found = config()
    assert str(found.enclave) == "vsock://16:2000"
    assert str(found.proxy_local) == "vsock://any:8000"
    assert found.proxy_remote is None
    assert (found.storage.driver, found.storage.config) == ("file", None)


def test_the_file_of_the_issue_loads_word_for_word() -> None:
    found = config(proxy_remote_address="kms.us-west-2.amazonaws.com:443", encryption_key_id="1234abcd")
    assert found.proxy_remote == ("kms.us-west-2.amazonaws.com", 443)
    assert found.region == "us-west-2"


def test_absent_values_come_from_the_environment_and_written_ones_win() -> None:
    env = {
        "ENCLAVE_CID": "42",
        "ENCLAVE_PORT": "2001",
        "ENCRYPTION_KEY_ID": ARN,
        "PROXY_LOCAL_PORT": "8001",
        "PROXY_REMOTE_ADDRESS": "kms.example:443",
        "AWS_REGION": "eu-north-1",
    }
    found = NitroConfig.model_validate(fill_from_environment(NitroConfig, {"enclave_port": 9}, env))
    assert str(found.enclave) == "vsock://42:9"
    assert str(found.proxy_local) == "vsock://any:8001"
    assert found.proxy_remote == ("kms.example", 443)
    assert found.credentials.region == "eu-north-1"


@pytest.mark.parametrize(
    ("values", "region"),
    [
        ({"credentials": {"region": "us-east-1"}}, "eu-west-1"),
        ({"encryption_key_id": "alias/x", "credentials": {"region": "us-east-1"}}, "us-east-1"),
        (
            {"encryption_key_id": "x", "proxy_remote_address": "kms-fips.us-gov-west-1.amazonaws.com:443"},
            "us-gov-west-1",
        ),
        ({"encryption_key_id": "x", "proxy_remote_address": "127.0.0.1:443"}, None),
    ],
)
def test_the_region_is_the_key_s_own_else_the_written_one_else_the_proxy_s(
    values: dict[str, Any], region: str | None
) -> None:
    assert config(**values).region == region


@pytest.mark.parametrize("text", ["unix:/run/enclave.sock", "tcp://127.0.0.1:2000", "vsock://16:2000"])
def test_the_enclave_may_be_anywhere(text: str) -> None:
    assert str(config(enclave_address=text).enclave) == text
    assert str(config(proxy_local_address=text).proxy_local) == text


BAD = {
    "no key": ({"encryption_key_id": None}, "encryption_key_id", "is required"),
    "an empty key": ({"encryption_key_id": ""}, "encryption_key_id", "must not be empty"),
    "a cid of text": ({"enclave_cid": "x"}, "enclave_cid", "integer"),
    "a cid too large": ({"enclave_cid": 2**32}, "enclave_cid", "less than"),
    "a store of later": (
        {"storage": {"driver": "aws"}},
        "storage.driver",
        "`aws` comes with a later",
    ),
    "one more of later": (
        {"storage": {"driver": "dynamodb", "config": {"table": "x"}}},
        "storage.driver",
        "with a later release",
    ),
    "a store of nobody": ({"storage": {"driver": "floppy"}}, "storage.driver", "must be 'file'"),
    "a store with a mapping": (
        {"storage": {"driver": "file", "config": {"a": 1}}},
        "storage.config",
        "takes a path",
    ),
    "a key without its secret": ({"credentials": {"access_key_id": "AKID"}}, "credentials", "come together"),
    "a token alone": ({"credentials": {"session_token": "t"}}, "credentials", "of no use"),
    "no port": ({"proxy_remote_address": "kms"}, "proxy_remote_address", "expected HOST:PORT"),
    "port 0": ({"proxy_remote_address": "kms:0"}, "proxy_remote_address", "expected HOST:PORT"),
    "an address of nobody": ({"enclave_address": "http://x"}, "enclave_address", "use vsock://CID:PORT"),
    "no time": ({"timeout": 0}, "timeout", "greater than 0"),
    "an unknown key": ({"enclave_id": 16}, "enclave_id", "unknown key"),
}


@pytest.mark.parametrize(("values", "place", "words"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named_with_its_place(values: dict[str, Any], place: str, words: str) -> None:
    found = check(NitroConfig, {"encryption_key_id": ARN} | values)
    (problem,) = found.problems
    assert ".".join(map(str, problem.path)) == place
    assert words in problem.text


def test_no_secret_is_in_a_repr_or_an_error() -> None:
    secret = "wJalrXUtnFEMI"
    found = config(
        credentials={"access_key_id": "AKID", "secret_access_key": secret, "session_token": secret}
    )
    assert secret not in repr(found)
    with pytest.raises(ValidationError) as caught:
        config(credentials={"access_key_id": 5, "secret_access_key": secret, "what": secret})
    assert secret not in str(caught.value)
