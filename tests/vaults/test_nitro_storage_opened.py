"""Which store a configuration opens, and whose credentials reach it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_aws import Answer, Scripted, scripted
from sealed_samples import reference

from signatory.errors import ConfigError
from signatory.net.aws import AwsCredentials
from vaults.nitro.config import StorageConfig
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.record import Stock
from vaults.nitro.storage.table import DRIVERS, open_store

MISSING = Answer({"__type": "x#ResourceNotFoundException", "message": "as scripted"}, 400)


@pytest.fixture
def aws() -> Iterator[Scripted]:
    with scripted() as script:
        script.play(MISSING)
        yield script


def tables(aws: Scripted, **more: Any) -> StorageConfig:
    return StorageConfig.model_validate({"driver": "dynamodb", "config": {"endpoint": aws.endpoint, **more}})


async def test_files_are_in_the_base_folder_unless_a_path_is_given(tmp_path: Path) -> None:
    for config, path in (
        ({}, tmp_path / "base" / "enclave_keys.json"),
        ({"config": "${BASE_DIR}/deep/mine.json"}, tmp_path / "base" / "deep" / "mine.json"),
        ({"driver": "file", "config": str(tmp_path / "x.json")}, tmp_path / "x.json"),
    ):
        FileStore(path).add(reference())
        store = await open_store(StorageConfig.model_validate(config), tmp_path / "base", "nitro")
        assert [key.id for key in (await store.load()).keys] == [reference().id]
        await store.close()


async def test_two_vaults_ask_with_their_own_credentials_and_the_environment_stays_as_it_is(
    aws: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    before = dict(os.environ)
    written = {"access_key_id": "AKIDSECTION", "secret_access_key": "y", "region": "eu-central-1"}
    vault = AwsCredentials("AKIDVAULT", "z", "token")
    rows = [
        (tables(aws, **written), vault, "eu-west-1", "AKIDSECTION", "eu-central-1"),
        (tables(aws), vault, "eu-west-1", "AKIDVAULT", "eu-west-1"),
        (tables(aws), None, "eu-west-3", "AKIDENVIRONMENT", "eu-west-3"),
        (tables(aws), None, None, "AKIDENVIRONMENT", "us-east-1"),
    ]
    opened = [
        await open_store(config, tmp_path, "nitro", credentials=credentials, region=region)
        for config, credentials, region, *_ in rows
    ]
    for store, (*_, identity, region) in zip(opened, rows, strict=True):
        aws.play(MISSING)
        assert await store.load() == Stock()
        for headers in aws.headers:
            assert f"Credential={identity}/" in headers["Authorization"]
            assert f"/{region}/dynamodb/" in headers["Authorization"]
            assert ("X-Amz-Security-Token" in headers) is (identity == "AKIDVAULT")
    for store in opened:
        await store.close()
        await store.close()
    assert dict(os.environ) == before


async def test_the_tables_have_signatory_s_name_and_ours_unless_told(aws: Scripted, tmp_path: Path) -> None:
    for more, names in (
        ({}, ["encrypted_keys", "sealed_keys"]),
        ({"table": "mine", "sealed_table": "ours"}, ["mine", "ours"]),
    ):
        aws.play(MISSING)
        credentials = AwsCredentials("a", "b")
        store = await open_store(
            tables(aws, **more), tmp_path, "nitro", credentials=credentials, region="eu-west-1"
        )
        assert [body["TableName"] for _, body in aws.asked] == names
        await store.close()


async def test_where_no_region_is_known_it_is_said(aws: Scripted, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(ConfigError, match="no AWS region is known"):
            await open_store(tables(aws), tmp_path, "nitro", credentials=AwsCredentials("a", "b"))


def test_every_driver_of_a_configuration_has_a_store() -> None:
    for name in ("file", "aws", "dynamodb"):
        assert StorageConfig.model_validate({"driver": name}).driver in DRIVERS
