"""What a nitro block may say: Signatory's keys word for word, ours beside them, clear words for the rest."""

from typing import Any

import pytest
from pydantic import ValidationError

from signatory.config.check import check, fill_from_environment
from signatory.net.aws import AwsCredentials
from vaults.nitro.config import NitroConfig
from vaults.nitro.negotiation import Protocol

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
HEX = "a1" * 48
PCRS = {"0": HEX, "1": HEX.upper(), "2": HEX}
BY_ID = {"encryption_key_id": "1234abcd-12ab-34cd-56ef-1234567890ab"}


def config(**values: Any) -> NitroConfig:
    return NitroConfig.model_validate({"encryption_key_id": ARN} | values)


def test_the_defaults_are_signatory_s() -> None:
    found = config()
    assert str(found.enclave) == "vsock://16:2000"
    assert str(found.proxy_local) == "vsock://any:8000"
    assert found.proxy_remote is None
    assert (found.storage.driver, found.storage.path, found.storage.tables) == ("file", None, None)
    assert (found.protocol, found.sealing, found.allow_debug) == (Protocol.AUTO, None, False)


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


def test_registers_are_read_in_either_case_and_imply_the_extended_protocol() -> None:
    found = config(expected_pcrs=PCRS)
    assert found.expected_pcrs == {0: b"\xa1" * 48, 1: b"\xa1" * 48, 2: b"\xa1" * 48}
    assert found.protocol is Protocol.EXTENDED
    assert config(manifest="releases.json").protocol is Protocol.EXTENDED
    assert config(expected_pcrs=None).expected_pcrs is None
    zero = config(expected_pcrs=dict.fromkeys(range(3), "0" * 96), allow_debug=True)
    assert zero.expected_pcrs == dict.fromkeys(range(3), bytes(48))


@pytest.mark.parametrize("name", ["aws", "dynamodb"])
def test_tables_are_signatory_s_and_one_of_ours_with_their_own_credentials_or_the_vault_s(name: str) -> None:
    vault = AwsCredentials("AKIDVAULT", "vault's")
    usual = config(storage={"driver": name}).storage
    assert usual.driver == "aws"
    assert usual.tables is not None
    first, second = usual.tables.settings(vault)
    assert (first.table, second.table) == ("encrypted_keys", "sealed_keys")
    assert first.credentials == second.credentials == vault

    own = {"access_key_id": "AKIDOWN", "secret_access_key": "own", "region": "eu-west-1", "table": "keys"}
    written = config(storage={"driver": name, "config": own | {"create_table": False}}).storage.tables
    assert written is not None
    first, second = written.settings(vault)
    assert (first.table, first.region, first.create) == ("keys", "eu-west-1", False)
    assert first.credentials == AwsCredentials("AKIDOWN", "own")


BAD = {
    "no key": ({"encryption_key_id": None}, "encryption_key_id", "is required"),
    "an empty key": ({"encryption_key_id": ""}, "encryption_key_id", "must not be empty"),
    "a cid of text": ({"enclave_cid": "x"}, "enclave_cid", "integer"),
    "a cid too large": ({"enclave_cid": 2**32}, "enclave_cid", "less than"),
    "a store of nobody": ({"storage": {"driver": "floppy"}}, "storage.driver", "must be 'file'"),
    "a path for tables": ({"storage": {"driver": "aws", "config": "x"}}, "storage.config", "mapping"),
    "one table for both": (
        {"storage": {"driver": "aws", "config": {"table": "abc", "sealed_table": "abc"}}},
        "storage.config",
        "must be two tables",
    ),
    "a table of no name": (
        {"storage": {"driver": "dynamodb", "config": {"table": "x"}}},
        "storage.config.table",
        "3 to 255 letters",
    ),
    "a store with a mapping": (
        {"storage": {"driver": "file", "config": {"a": 1}}},
        "storage.config",
        "takes a path",
    ),
    "a protocol of nobody": ({"enclave_protocol": "v2"}, "enclave_protocol", "'auto', 'reference'"),
    "a scheme of nobody": ({"sealing": "kms-gdk-v2"}, "sealing", "'kms-gdk-v1'"),
    "registers in a list": ({"expected_pcrs": []}, "expected_pcrs", "must be a mapping of register numbers"),
    "a register too short": (
        {"expected_pcrs": PCRS | {"1": "ab"}},
        "expected_pcrs.1",
        "must be 96 hex digits",
    ),
    "a register as a number": ({"expected_pcrs": PCRS | {"1": 10**95}}, "expected_pcrs.1", "in quotes"),
    "a register of no number": ({"expected_pcrs": PCRS | {"32": HEX}}, "expected_pcrs.32", "from 0 to 31"),
    "a register twice": ({"expected_pcrs": PCRS | {0: HEX}}, "expected_pcrs.0", "each once"),
    "a register of a word": ({"expected_pcrs": PCRS | {"²": HEX}}, "expected_pcrs.²", "number of a register"),
    "no register": ({"expected_pcrs": {}}, "expected_pcrs", "lacks PCR0, PCR1, PCR2"),
    "the signer's alone": ({"expected_pcrs": {"8": HEX}}, "expected_pcrs", "together name one image"),
    "a register of debug": (
        {"expected_pcrs": PCRS | {"8": "0" * 96}},
        "expected_pcrs.8",
        "zeros are the register of any debug enclave",
    ),
    "two words for an image": ({"expected_pcrs": PCRS, "manifest": "m.json"}, "", "write one"),
    "registers over the reference protocol": (
        {"expected_pcrs": PCRS, "enclave_protocol": "reference"},
        "",
        "expected_pcrs cannot be checked over the reference protocol",
    ),
    "a manifest over it": (
        {"manifest": "m.json", "enclave_protocol": "reference"},
        "",
        "manifest cannot be checked over the reference protocol",
    ),
    "a scheme over it": (
        {"sealing": "kms-gdk-v1", "enclave_protocol": "reference"},
        "",
        "the reference protocol seals by kms-encrypt-v0 only",
    ),
    "a region with a way out": (
        {"credentials": {"region": "us-east-1.evil"}},
        "credentials.region",
        "must be an AWS region",
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
