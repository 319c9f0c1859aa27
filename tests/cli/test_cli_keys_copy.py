"""`keys copy`: every kind of key between every two stores, twice, and never over what is there."""

import asyncio
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from dynamodb import CREDENTIALS, REGION, Emulated, emulated
from sealed_samples import EVERY, record, reference

from cli import admin
from signatory.errors import MalformedError, UnavailableError
from vaults.nitro.storage import copying
from vaults.nitro.storage.dynamodb import DynamoStore
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.record import SealedKey, Stock
from vaults.nitro.storage.store import FilesInThreads, Store

BORN = sum(key.birth is not None for key in EVERY.values())


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Emulated]:
    with emulated() as running:
        yield running


@pytest.fixture
def tables() -> tuple[str, str]:
    word = uuid.uuid4().hex[:12]
    return f"encrypted-{word}", f"sealed-{word}"


@pytest.fixture
def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run `signatory-cli keys copy --from A --to B` in this process; `files` and `other` are vaults."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signatory.observe.log.configure", lambda *_, **__: None)

    def start(source: str, target: str, *words: str) -> Done:
        line = ["-c", "signatory.yaml", "keys", "copy", "--from", source, "--to", target, *words]
        monkeypatch.setattr("sys.argv", ["signatory-cli", *line])
        return Done(admin.main(), *capsys.readouterr())

    return start


@pytest.fixture
def configured(tmp_path: Path, dynamodb: Emulated, tables: tuple[str, str]) -> Path:
    """Vaults on files in `base`, on `other.json`, and on tables; no enclave is anywhere."""
    nitro = {"driver": "nitro", "encryption_key_id": "arn:aws:kms:eu-west-1:111122223333:key/x"}

    def vault(**storage: object) -> dict[str, object]:
        return {"driver": "nitro", "config": {"encryption_key_id": nitro["encryption_key_id"], **storage}}

    keys = {"access_key_id": CREDENTIALS.access_key_id, "secret_access_key": CREDENTIALS.secret_access_key}
    where = {"endpoint": dynamodb.endpoint, "table": tables[0], "sealed_table": tables[1]}
    found = {
        "base_dir": str(tmp_path / "base"),
        "vaults": {
            "files": vault(),
            "other": vault(storage={"driver": "file", "config": str(tmp_path / "other.json")}),
            "tables": vault(
                storage={"driver": "dynamodb", "config": where}, credentials={**keys, "region": REGION}
            ),
            "m": {"driver": "mem", "config": []},
        },
    }
    (tmp_path / "signatory.yaml").write_text(json.dumps(found))
    return tmp_path


def fill(path: Path, *keys: SealedKey) -> None:
    FileStore(path).add_many(keys)


def held(path: Path) -> Stock:
    return FileStore(path).load()


async def in_tables(where: Emulated, tables: tuple[str, str]) -> Stock:
    store = await DynamoStore.open(where.settings(tables[0]), where.settings(tables[1]))
    try:
        return await store.load()
    finally:
        await store.close()


def test_every_key_and_birth_goes_from_files_to_tables_and_back_as_it_is(
    run: Run, configured: Path, dynamodb: Emulated, tables: tuple[str, str]
) -> None:
    fill(configured / "base" / "enclave_keys.json", *EVERY.values())
    before = held(configured / "base" / "enclave_keys.json")
    assert run("files", "tables") == Done(0, f"{len(EVERY)} copied, 0 there already, 0 left out\n", "")
    stock = asyncio.run(in_tables(dynamodb, tables))
    assert stock.problems == ()
    assert set(stock.keys) == set(before.keys)
    assert sum(key.birth is not None for key in stock.keys) == BORN
    assert run("tables", "other").returncode == 0
    assert set(held(configured / "other.json").keys) == set(before.keys)
    for source, target in (("files", "tables"), ("tables", "files"), ("other", "files"), ("files", "files")):
        assert run(source, target) == Done(0, f"0 copied, {len(EVERY)} there already, 0 left out\n", "")


def test_stores_can_be_written_out_and_need_no_configuration(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "a" / "enclave_keys.json", *EVERY.values())
    assert not (tmp_path / "signatory.yaml").exists()
    done = run("file:a/enclave_keys.json", f"file:{tmp_path}/b/enclave_keys.json")
    assert done == Done(0, f"{len(EVERY)} copied, 0 there already, 0 left out\n", "")
    assert held(tmp_path / "b" / "enclave_keys.json") == held(tmp_path / "a" / "enclave_keys.json")


def test_tables_that_are_written_out_are_reached_by_aws_s_own_variables(
    run: Run, tmp_path: Path, dynamodb: Emulated, tables: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret_access_key)
    before = dict(os.environ)
    fill(tmp_path / "enclave_keys.json", reference(1, born=True), record(2))
    done = run("file:enclave_keys.json", f"dynamodb:{REGION}/{tables[0]}/{tables[1]}")
    assert done == Done(0, "2 copied, 0 there already, 0 left out\n", "")
    assert len(asyncio.run(in_tables(dynamodb, tables)).keys) == 2
    assert dict(os.environ) == before


def test_a_dry_run_says_what_would_be_copied_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "a" / "enclave_keys.json"
    fill(source, reference(1), record(2))
    FileStore(source).remember_extended()
    fill(tmp_path / "b" / "enclave_keys.json", reference(1, blob=b"another"))
    before = {file: file.read_bytes() for file in (tmp_path / "b").iterdir()}
    done = run("file:a/enclave_keys.json", "file:b/enclave_keys.json", "--dry-run")
    assert done.returncode == 1
    assert done.stdout == "1 would be copied, 0 there already, 1 left out\n"
    assert "would be remembered" in done.stderr
    assert {file: file.read_bytes() for file in (tmp_path / "b").iterdir()} == before
    assert run("file:a/enclave_keys.json", "file:c/enclave_keys.json", "--dry-run").returncode == 0
    assert not (tmp_path / "c").exists()


def test_what_differs_is_named_left_as_it_is_and_the_rest_is_copied(run: Run, tmp_path: Path) -> None:
    born = reference(3, born=True)
    fill(tmp_path / "a.json", reference(1), record(2), born, record(4), reference(5))
    there = [reference(1), record(2), replace(born, birth=None), record(6)]
    fill(tmp_path / "b.json", *there)
    done = run("file:a.json", "file:b.json")
    assert done.returncode == 1
    assert done.stdout == "2 copied, 0 there already, 3 left out\n"
    assert sorted(done.stderr.splitlines()) == sorted(
        [
            f"left out: {reference(1).id}: another sealed key of this id is there",
            f"left out: {record(2).id}: another sealed key of this id is there",
            f"left out: {born.id}: the same key is there without its birth",
        ]
    )
    after = {key.id: key for key in held(tmp_path / "b.json").keys}
    assert {key.id: after[key.id] for key in there} == {key.id: key for key in there}
    assert len(after) == 6


def test_a_key_that_has_its_birth_only_in_the_target_is_there_already(run: Run, tmp_path: Path) -> None:
    born = reference(3, born=True)
    fill(tmp_path / "a.json", replace(born, birth=None))
    fill(tmp_path / "b.json", born)
    assert run("file:a.json", "file:b.json").stdout == "0 copied, 1 there already, 0 left out\n"


def test_a_record_that_cannot_be_read_is_told_and_the_others_are_copied(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "a.json", reference(1))
    text = (tmp_path / "a.json").read_text().replace("[", '[{"public_key_hash": "tz1Bad"}, ', 1)
    (tmp_path / "a.json").write_text(text)
    done = run("file:a.json", "file:b.json")
    assert (done.returncode, done.stdout) == (1, "1 copied, 0 there already, 1 left out\n")
    assert done.stderr.startswith("left out: record 0 (tz1Bad) of a.json is left out: encrypted_private_key")


def test_a_name_that_a_bad_record_of_the_target_has_is_left_out_alone(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "a.json", reference(1), reference(2), reference(3))
    (tmp_path / "b.json").write_text(json.dumps([{"public_key_hash": reference(2).id}]))
    done = run("file:a.json", "file:b.json")
    assert (done.returncode, done.stdout) == (1, "2 copied, 0 there already, 1 left out\n")
    assert f"left out: {reference(2).id}: {reference(2).id} is already in" in done.stderr


def test_that_a_vault_spoke_the_extended_protocol_is_copied_and_told_once(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "a.json", reference(1))
    FileStore(tmp_path / "a.json").remember_extended()
    assert "is now remembered in the target too" in run("file:a.json", "file:b.json").stderr
    assert FileStore(tmp_path / "b.json").is_extended()
    assert run("file:a.json", "file:b.json") == Done(0, "0 copied, 1 there already, 0 left out\n", "")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("file:nowhere/keys.json", "file:nowhere/keys.json holds no keys"),
        ("nobody", "there is no vault nobody"),
        ("m", "vault m has no key store"),
        ("file:", "file: names no store"),
        ("dynamodb:", "dynamodb: names no store: must be an AWS region"),
        ("dynamodb:eu-west-1/one", "dynamodb:eu-west-1/one names no store"),
        ("dynamodb:eu-west-1/one/x!", "names no store: must be 3 to 255 letters"),
        ("dynamodb:eu-west-1/same/same", "names no store: table and sealed_table must be two tables"),
    ],
)
def test_what_names_no_store_is_said_before_anything_is_written(
    run: Run, configured: Path, source: str, words: str
) -> None:
    done = run(source, "files")
    assert done.returncode == 1
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert not (configured / "base" / "enclave_keys.json").exists()


@pytest.mark.parametrize("name", ["sealed_keys.json", "sealed_keys.2.json", "key_births.json"])
def test_one_file_of_a_store_is_answered_with_the_name_of_the_store(
    run: Run, tmp_path: Path, name: str
) -> None:
    fill(tmp_path / "a" / "enclave_keys.json", record(1), record(2))
    for pair in ((f"file:a/{name}", "file:b.json"), ("file:a/enclave_keys.json", f"file:b/{name}")):
        done = run(*pair)
        assert (done.returncode, done.stdout) == (1, "")
        error, hint = done.stderr.splitlines()
        assert error.endswith(f"/{name} is one file of a store")
        assert "/enclave_keys.json, even where that file is not there" in hint
    assert not (tmp_path / "b").exists()
    assert run("file:a/enclave_keys.json", "file:b.json").stdout.startswith("2 copied")


@pytest.mark.parametrize("text", ["bogus:x", "nitro"])
def test_without_a_configuration_the_forms_of_a_store_are_told(run: Run, text: str) -> None:
    for pair in ((text, "file:b.json"), ("file:a.json", text)):
        error, hint = run(*pair).stderr.splitlines()
        assert error == f"Error: {text} names no store"
        assert all(word in hint for word in ("file:PATH", "dynamodb:REGION", "-c FILE", "signatory.yaml"))


def test_a_torn_target_is_refused_and_left_as_it_is(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "a.json", reference(1))
    (tmp_path / "b.json").write_text("[{")
    done = run("file:a.json", "file:b.json")
    assert done.returncode == 1
    assert "is not a JSON array; it is left as it is" in done.stderr
    assert (tmp_path / "b.json").read_text() == "[{"


def test_a_disk_that_fills_tells_how_far_the_copy_came(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaults.nitro.storage.copying.TOGETHER", 2)
    fill(tmp_path / "a.json", *(reference(seed) for seed in range(5)))
    add, done_before = FileStore.add_many, list[int]()

    def until_full(self: FileStore, keys: list[SealedKey]) -> None:
        if len(done_before) == 1:
            raise UnavailableError("cannot write b.json: No space left on device")
        done_before.append(len(keys))
        add(self, keys)

    monkeypatch.setattr(FileStore, "add_many", until_full)
    done = run("file:a.json", "file:b.json")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "2 of 5 keys were gone through before; copy again" in done.stderr
    assert len(held(tmp_path / "b.json").keys) == 2


async def test_who_was_faster_with_the_same_key_has_not_lost_it_for_us(tmp_path: Path) -> None:
    same, other = reference(1), reference(2)

    class Raced(FilesInThreads):
        async def add_many(self, keys: Sequence[SealedKey]) -> None:
            raise MalformedError(f"somebody was faster with one of {len(keys)}")

    store: Store = Raced(FileStore(tmp_path / "b.json"))
    fill(tmp_path / "b.json", same, replace(other, blob=b"another"))
    left_out = await copying.copy([same, other, reference(3)], store, lambda _: None)
    assert [sentence.split(":")[0] for sentence in left_out] == [other.id]
    assert len(held(tmp_path / "b.json").keys) == 3
