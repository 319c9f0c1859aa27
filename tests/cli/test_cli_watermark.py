"""`watermark show | export | import | raise`: nothing is lowered, and nothing is half read."""

import asyncio
import contextlib
import io
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dynamodb import CREDENTIALS, REGION, Emulated, emulated
from hypothesis import given
from hypothesis.strategies import binary, builds, dictionaries, integers, none, sampled_from

from cli import admin, marks_document, marks_plan
from cli.watermarks import store_of
from signatory.config import load as config
from signatory.errors import ConfigError, MalformedError, WatermarkError
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark
from signatory.watermark.store import Marks

CHAIN, OTHER_CHAIN = "NetXdQprcVkpaWU", "NetXsqzbfFenSTS"
BAKER, WALLET = "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf", "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
VALUE_HASH = "vh2THNfr1pU3TjJyJkw7BKq19suqMX1W9PXRVAgpueELhGTAuhSx"
LAST = 2**31 - 1
SIGNATORYS = f"""\
{{
    "{BAKER}": {{
        "block": {{
            "level": 20,
            "round": 1,
            "hash": "{VALUE_HASH}"
        }}
    }}
}}"""
"""A file as Signatory writes it."""


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base folder, and a configuration for it whose vaults can neither be judged nor opened."""
    (tmp_path / "base").mkdir()
    (tmp_path / "signatory.yaml").write_text(
        f"base_dir: {tmp_path}/base\nvaults: {{gone: {{driver: no-such-driver, config: {{x: 1}}}}}}\n"
    )
    return tmp_path / "base"


@pytest.fixture
def run(base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `signatory-cli watermark` in this process, with a pipe for standard input."""
    monkeypatch.chdir(base.parent)
    monkeypatch.setattr("signatory.observe.log.configure", lambda *_, **__: None)

    def start(*words: str, stdin: str = "") -> Done:
        monkeypatch.setattr("sys.argv", ["signatory-cli", "-c", "signatory.yaml", "watermark", *words])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        return Done(admin.main(), *capsys.readouterr())

    return start


@contextlib.asynccontextmanager
async def opened(base: Path, **options: Any) -> AsyncIterator[FileStore]:
    store = FileStore(base, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def sign(base: Path, *rows: tuple[str, str, str, Mark]) -> None:
    """What a daemon would leave after these signatures."""

    async def advance() -> None:
        async with opened(base) as store:
            for chain, key, kind, mark in rows:
                await store.advance(chain, key, kind, mark)

    asyncio.run(advance())


def refuses(base: Path, chain: str, key: str, kind: str, mark: Mark) -> bool:
    """Whether a daemon on this folder would not sign there."""

    async def try_it() -> bool:
        async with opened(base) as store:
            try:
                await store.advance(chain, key, kind, mark)
            except WatermarkError:
                return True
            return False

    return asyncio.run(try_it())


def stored(base: Path) -> Marks:
    return asyncio.run(FileStore(base).inspect())


@pytest.fixture
def marked(base: Path) -> Path:
    """Three marks of two keys on two chains."""
    sign(
        base,
        (CHAIN, BAKER, "block", Mark(20, 1, bytes(32))),
        (CHAIN, BAKER, "attestation", Mark(21, 0, b"\1" * 32)),
        (OTHER_CHAIN, WALLET, "block", Mark(5, 0, b"\2" * 32)),
    )
    return base


def test_show_prints_a_table_of_every_mark(run: Run, marked: Path) -> None:
    done = run("show")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = [line.split() for line in done.stdout.splitlines()]
    assert head == ["CHAIN", "KEY", "KIND", "LEVEL", "ROUND", "HASH"]
    assert [line[:5] for line in lines] == [
        [CHAIN, BAKER, "attestation", "21", "0"],
        [CHAIN, BAKER, "block", "20", "1"],
        [OTHER_CHAIN, WALLET, "block", "5", "0"],
    ]
    assert all(line[5].startswith("vh") for line in lines)
    columns = {line.index("vh") for line in done.stdout.splitlines()[1:]}
    assert columns == {done.stdout.splitlines()[0].index("HASH")}


def test_show_can_be_narrowed_and_print_json(run: Run, marked: Path) -> None:
    assert [line.split()[1] for line in run("show", "--key", WALLET).stdout.splitlines()[1:]] == [WALLET]
    document = json.loads(run("show", "--chain", CHAIN, "--json").stdout)
    assert document["chains"].keys() == {CHAIN}
    assert document["chains"][CHAIN][BAKER]["block"]["level"] == 20
    done = run("show", "--chain", CHAIN, "--key", WALLET)
    assert done == (0, "", "there are no such marks\n")


@pytest.mark.parametrize(
    "words", [("--chain", "NetX"), ("--chain", BAKER), ("--key", CHAIN), ("--key", "tz1")]
)
def test_a_mistyped_chain_or_key_is_refused_everywhere(
    run: Run, marked: Path, words: tuple[str, str]
) -> None:
    for command in (["show"], ["raise", "--level", "30", "--yes"]):
        done = run(*command, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"Invalid value for '{words[0]}'" in done.stderr


def test_the_export_has_signatorys_rows(run: Run, base: Path) -> None:
    (base / "watermark_v2").mkdir()
    (base / "watermark_v2" / f"{CHAIN}.json").write_text(SIGNATORYS)
    document = json.loads(run("export").stdout)
    assert document == {
        "format": "signatory-watermarks",
        "version": 1,
        "chains": {CHAIN: json.loads(SIGNATORYS)},
    }


def dated(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_show_and_export_change_no_file_and_work_while_a_daemon_holds_the_folder(
    run: Run, marked: Path
) -> None:
    async def while_held() -> tuple[Done, Done]:
        async with opened(marked) as store:
            await store.advance(CHAIN, BAKER, "block", Mark(22, 0, bytes(32)))
            before = dated(marked)
            shown = await asyncio.to_thread(run, "show"), await asyncio.to_thread(run, "export")
            assert dated(marked) == before
            return shown

    shown, exported = asyncio.run(while_held())
    assert [CHAIN, BAKER, "block", "22", "0"] in [line.split()[:5] for line in shown.stdout.splitlines()]
    assert json.loads(exported.stdout)["chains"][CHAIN][BAKER]["block"]["level"] == 22


def test_an_export_to_a_file_is_private_and_overwrites_only_when_forced(run: Run, marked: Path) -> None:
    file = marked.parent / "marks.json"
    done = run("export", "marks.json")
    assert done == (0, "", "3 marks written\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == run("export").stdout
    file.write_text("precious")
    done = run("export", "marks.json")
    assert done.returncode == 1
    assert "Error: marks.json is there already\nhint: " in done.stderr
    assert file.read_text() == "precious"
    assert run("export", "marks.json", "--force").returncode == 0
    assert json.loads(file.read_text())["version"] == 1
    assert run("export", "none/marks.json").returncode == 1
    assert sorted(path.name for path in marked.parent.iterdir()) == ["base", "marks.json", "signatory.yaml"]


def test_an_import_raises_and_never_lowers(run: Run, marked: Path) -> None:
    exported = run("export").stdout
    sign(marked, (CHAIN, BAKER, "block", Mark(30, 0, bytes(32))))
    document = json.loads(exported)
    document["chains"][CHAIN][BAKER]["attestation"].update(level=25, hash=None)
    document["chains"][OTHER_CHAIN][WALLET]["preattestation"] = {"level": 6, "round": 0, "hash": None}
    done = run("import", "-", stdin=json.dumps(document))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{CHAIN} {BAKER} attestation: level 21 round 0 -> level 25 round 0",
        f"{OTHER_CHAIN} {WALLET} preattestation: no mark -> level 6 round 0",
        "2 marks raised",
    ]
    now = stored(marked)
    assert now[CHAIN][BAKER]["block"] == Mark(30, 0, bytes(32))
    assert now[CHAIN][BAKER]["attestation"] == Mark(25, 0)
    assert now[OTHER_CHAIN][WALLET] == {"block": Mark(5, 0, b"\2" * 32), "preattestation": Mark(6, 0)}
    assert run("import", "-", stdin=exported) == (0, "0 marks raised\n", "no mark would rise\n")
    assert refuses(marked, CHAIN, BAKER, "attestation_with_dal", Mark(25, 0, bytes(32)))


def test_what_was_exported_is_imported_elsewhere_whole(run: Run, marked: Path) -> None:
    (marked.parent / "marks.json").write_text(run("export").stdout)
    new = marked.parent / "new"
    new.mkdir()
    done = run("import", "marks.json", "--base-dir", str(new))
    assert done.stdout.endswith("3 marks raised\n")
    assert stored(new) == stored(marked)


def test_a_file_of_signatory_is_imported_with_its_chain(run: Run, base: Path) -> None:
    file = base.parent / f"{CHAIN}.json"
    file.write_text(SIGNATORYS)
    done = run("import", str(file))
    assert done.returncode == 1
    assert "name its chain with --chain" in done.stderr
    assert run("import", str(file), "--chain", CHAIN).stdout.endswith("1 mark raised\n")
    assert (base / "watermark_v2" / f"{CHAIN}.json").read_text() == SIGNATORYS
    assert refuses(base, CHAIN, BAKER, "block", Mark(20, 1, bytes(32)))
    exported = run("export").stdout
    assert "leave out --chain" in run("import", "-", "--chain", CHAIN, stdin=exported).stderr


def test_marks_under_old_names_protect_under_the_new_ones(run: Run, base: Path) -> None:
    rows = {
        "endorsement": {"level": 9, "round": 0, "hash": VALUE_HASH},
        "attestation": {"level": 9, "round": 0, "hash": None},
        "preendorsement": {"level": 8, "round": 2},
    }
    done = run("import", "-", "--chain", CHAIN, stdin=json.dumps({BAKER: rows}))
    assert done.returncode == 0
    assert stored(base) == {CHAIN: {BAKER: {"attestation": Mark(9, 0), "preattestation": Mark(8, 2)}}}
    rows = {"endorsement": {"level": 30}, "attestation": {"level": 10, "hash": VALUE_HASH}}
    assert run("import", "-", "--chain", CHAIN, stdin=json.dumps({BAKER: rows})).returncode == 0
    assert stored(base)[CHAIN][BAKER]["attestation"] == Mark(30, 0)


@pytest.mark.parametrize("words", [("import", "-"), ("raise", "--level", "99", "--yes")])
def test_a_dry_run_shows_and_changes_nothing(run: Run, marked: Path, words: tuple[str, ...]) -> None:
    higher = json.dumps(
        {"format": "signatory-watermarks", "version": 1, "chains": {CHAIN: json.loads(SIGNATORYS)}}
    ).replace("20", "99")
    before = stored(marked)
    done = run(*words, "--dry-run", stdin=higher)
    assert done.returncode == 0
    assert f"{CHAIN} {BAKER} block: level 20 round 1 -> level 99 round " in done.stdout
    assert "raised" not in done.stdout
    assert stored(marked) == before


def bad_documents() -> Iterator[tuple[str, str]]:
    good = {"format": "signatory-watermarks", "version": 1, "chains": {CHAIN: json.loads(SIGNATORYS)}}
    row = {"level": 1, "round": 0, "hash": None}
    yield "", "not JSON"
    yield SIGNATORYS[:-1], "not JSON"
    yield "[]", "not an object"
    yield "[" * 100_000, "not JSON"
    yield SIGNATORYS, "not a document of the format"
    yield json.dumps({**good, "version": 2}), "another version"
    yield json.dumps({**good, "version": True}), "another version"
    yield json.dumps({**good, "more": 1}), "unknown field more"
    yield json.dumps({**good, "chains": []}), "`chains` is not an object"
    yield json.dumps({**good, "chains": None}), "`chains` is not an object"
    yield json.dumps({**good, "chains": {"NetX": {}}}), "not a chain id"
    yield json.dumps({**good, "chains": {BAKER: {}}}), "not a chain id"
    yield json.dumps({**good, "chains": {CHAIN: {"tz1": {}}}}), "not a public key hash"
    yield json.dumps({**good, "chains": {CHAIN: {BAKER: {"generic": row}}}}), "generic has no marks"
    yield json.dumps({**good, "chains": {CHAIN: {BAKER: {"block": {**row, "x": 1}}}}}), "unknown field"
    for level in (-1, 2**31, "1", 1.0, None, True):
        yield json.dumps({**good, "chains": {CHAIN: {BAKER: {"block": {**row, "level": level}}}}}), "number"
    for text in ("vh2", VALUE_HASH[:-1] + "y", BAKER, 7):
        yield json.dumps({**good, "chains": {CHAIN: {BAKER: {"block": {**row, "hash": text}}}}}), "Error: -: "
    yield json.dumps(good).replace('"version"', '"format": "x", "version"'), "twice"
    yield json.dumps(good).replace('"block"', '"block": {}, "block"'), "twice"


@pytest.mark.parametrize(("document", "told"), list(bad_documents()))
def test_a_document_that_is_not_whole_changes_nothing(
    run: Run, marked: Path, document: str, told: str
) -> None:
    before = stored(marked)
    done = run("import", "-", "--yes", stdin=document)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "internal error" not in done.stderr
    assert stored(marked) == before


def test_a_missing_file_is_said(run: Run, base: Path) -> None:
    assert "Error: cannot read the marks from none: No such file" in run("import", "none").stderr


def test_raise_closes_a_level_for_every_mark_that_matches(run: Run, marked: Path) -> None:
    done = run("raise", "--level", "40", "--chain", CHAIN, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{CHAIN} {BAKER} attestation: level 21 round 0 -> level 40 round {LAST}",
        f"{CHAIN} {BAKER} block: level 20 round 1 -> level 40 round {LAST}",
        "2 marks raised",
    ]
    assert stored(marked)[OTHER_CHAIN][WALLET]["block"] == Mark(5, 0, b"\2" * 32)
    assert refuses(marked, CHAIN, BAKER, "block", Mark(40, 9, bytes(32)))
    assert refuses(marked, CHAIN, BAKER, "attestation_with_dal", Mark(40, 0, bytes(32)))
    assert not refuses(marked, CHAIN, BAKER, "block", Mark(41, 0, bytes(32)))


def test_raise_to_a_round_leaves_the_rounds_above(run: Run, marked: Path) -> None:
    assert run("raise", "--level", "40", "--round", "2", "--kind", "block", "--yes").returncode == 0
    assert refuses(marked, CHAIN, BAKER, "block", Mark(40, 2, bytes(32)))
    assert not refuses(marked, CHAIN, BAKER, "block", Mark(40, 3, bytes(32)))
    assert stored(marked)[CHAIN][BAKER]["attestation"].level == 21


def test_raise_never_lowers(run: Run, marked: Path) -> None:
    before = stored(marked)
    done = run("raise", "--level", "3", "--yes")
    assert done == (0, "0 marks raised\n", "no mark would rise\n")
    assert stored(marked) == before


def test_a_mark_that_is_not_there_is_made_only_when_named_in_full(run: Run, marked: Path) -> None:
    done = run("raise", "--level", "40", "--key", WALLET, "--kind", "attestation", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: there is no such mark\nhint: name --chain, --key and --kind" in done.stderr
    words = ("--level", "7", "--chain", OTHER_CHAIN, "--key", WALLET, "--kind", "attestation")
    done = run("raise", *words, "--yes")
    assert done.stdout.startswith(f"{OTHER_CHAIN} {WALLET} attestation: no mark -> level 7 round {LAST}\n")
    assert refuses(marked, OTHER_CHAIN, WALLET, "attestation", Mark(7, 0, bytes(32)))


@pytest.mark.parametrize("number", ["-1", str(2**31), "x", "1.5", ""])
@pytest.mark.parametrize("option", ["--level", "--round"])
def test_numbers_that_no_chain_has_are_refused(run: Run, marked: Path, option: str, number: str) -> None:
    words = ["--level", number] if option == "--level" else ["--level", "50", "--round", number]
    before = stored(marked)
    assert run("raise", *words, "--yes").returncode == 1
    assert stored(marked) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("raise", "--level", "30"), "Error: there is no terminal to ask at"),
        (("raise", "--level", str(21 + 100_001)), "Error: a mark would rise by 100"),
        (
            ("raise", "--level", "9000000", "--chain", CHAIN, "--key", WALLET, "--kind", "block"),
            "Error: a mark would rise by 8999979 levels",
        ),
    ],
)
def test_raise_without_a_yes_changes_nothing(
    run: Run, marked: Path, words: tuple[str, ...], told: str
) -> None:
    before = stored(marked)
    done = run(*words)
    assert done.returncode == 1
    assert told in done.stderr
    assert "--yes" in done.stderr
    assert "->" in done.stdout  # what it would do is shown all the same
    assert stored(marked) == before


def test_an_import_that_leaps_needs_a_yes_and_one_that_moves_a_baker_does_not(run: Run, base: Path) -> None:
    def document(level: int) -> str:
        return SIGNATORYS.replace('"level": 20', f'"level": {level}')

    assert run("import", "-", "--chain", CHAIN, stdin=document(9_000_000)).returncode == 0
    done = run("import", "-", "--chain", CHAIN, stdin=document(9_100_001))
    assert "Error: a mark would rise by 100001 levels" in done.stderr
    assert stored(base)[CHAIN][BAKER]["block"].level == 9_000_000
    assert run("import", "-", "--chain", CHAIN, stdin=document(9_100_000)).returncode == 0
    assert run("import", "-", "--chain", CHAIN, "--yes", stdin=document(LAST)).returncode == 0
    assert stored(base)[CHAIN][BAKER]["block"].level == LAST


def test_import_and_raise_are_refused_while_a_daemon_holds_the_folder(run: Run, marked: Path) -> None:
    async def while_held(*words: str, stdin: str = "") -> Done:
        async with opened(marked):
            return await asyncio.to_thread(lambda: run(*words, stdin=stdin))

    higher = SIGNATORYS.replace('"level": 20', '"level": 90')
    for done in (
        asyncio.run(while_held("raise", "--level", "90", "--yes")),
        asyncio.run(while_held("import", "-", "--chain", CHAIN, stdin=higher)),
    ):
        assert done.returncode == 1
        assert "another process holds" in done.stderr
        assert "hint: stop the daemon first" in done.stderr
    assert stored(marked)[CHAIN][BAKER]["block"].level == 20


def test_marks_in_memory_cannot_be_reached(run: Run, base: Path) -> None:
    with (base.parent / "signatory.yaml").open("a") as file:
        file.write("watermark: {driver: mem}\n")
    for words in (["show"], ["export"], ["import", "-"], ["raise", "--level", "1", "--yes"]):
        done = run(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Error: the marks of the driver `mem` are in the daemon alone" in done.stderr


def test_a_base_folder_that_is_not_there_is_said_and_not_made(run: Run, base: Path) -> None:
    done = run("raise", "--level", "1", "--yes", "--base-dir", str(base / "typo"))
    assert done.returncode == 1
    assert "Error: there is no folder " in done.stderr
    assert not (base / "typo").exists()


def anchored(base: Path) -> Path:
    """The same configuration with an anchor; its file."""
    anchor = base.parent / "elsewhere" / "anchor.json"
    anchor.parent.mkdir()
    with (base.parent / "signatory.yaml").open("a") as file:
        file.write(f"watermark: {{driver: file, config: {{anchor: {{file: {anchor}}}}}}}\n")
    return anchor


def serve_once(base: Path, *rows: tuple[str, str, str, Mark]) -> None:
    """What a daemon with this configuration would do."""

    async def advance() -> None:
        store = store_of(config.load(base.parent / "signatory.yaml"))
        try:
            await store.open()
            for chain, key, kind, mark in rows:
                await store.advance(chain, key, kind, mark)
        finally:
            await store.close()

    asyncio.run(advance())


def test_a_restored_folder_serves_again_after_every_mark_was_raised(run: Run, base: Path) -> None:
    anchored(base)
    serve_once(base, (CHAIN, BAKER, "block", Mark(20, 0, bytes(32))))
    old = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    serve_once(base, (CHAIN, BAKER, "block", Mark(50, 0, bytes(32))))
    for path, data in old.items():
        path.write_bytes(data)
    with pytest.raises(ConfigError):
        serve_once(base)
    assert run("raise", "--level", "60", "--yes").returncode == 1
    with pytest.raises(ConfigError):
        serve_once(base)
    assert run("raise", "--level", "60", "--restored", "--dry-run").returncode == 0
    with pytest.raises(ConfigError):
        serve_once(base)
    assert run("raise", "--level", "60", "--restored", "--yes").returncode == 0
    with pytest.raises(WatermarkError):
        serve_once(base, (CHAIN, BAKER, "block", Mark(50, 0, b"\1" * 32)))
    serve_once(base, (CHAIN, BAKER, "block", Mark(61, 0, bytes(32))))


def test_an_old_copy_is_not_taken_by_accident_with_marks_that_nobody_raised(run: Run, base: Path) -> None:
    anchored(base)
    both = [(CHAIN, BAKER, kind, Mark(20, 0, bytes(32))) for kind in ("block", "attestation")]
    serve_once(base, *both)
    old = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    serve_once(base, *[(*row[:3], Mark(50, 0, bytes(32))) for row in both])
    for path, data in old.items():
        path.write_bytes(data)
    higher = SIGNATORYS.replace('"level": 20', '"level": 50')
    for done in (
        run("raise", "--level", "60", "--kind", "block", "--restored"),
        run("import", "-", "--chain", CHAIN, "--restored", stdin=higher),
    ):
        assert done.returncode == 1
        assert "Error: 1 mark would stay as the old copy has them" in done.stderr
    with pytest.raises(ConfigError):
        serve_once(base)


def test_store_of_makes_what_the_configuration_says(tmp_path: Path) -> None:
    def made(text: str) -> Any:
        return store_of(config.read(f"base_dir: {tmp_path}\n{text}".encode()))

    assert isinstance(made("watermark: {driver: mem}"), MemoryStore)
    assert isinstance(made(""), FileStore)
    table = made("watermark: {driver: aws, config: {region: eu-west-1, table: marks}}")
    assert (table.backend, table.table) == ("aws", "marks")
    assert made("watermark: {driver: dynamodb}").table == "watermark"
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_filled_looked_at_and_raised(run: Run, marked: Path) -> None:
    (marked.parent / "marks.json").write_text(run("export").stdout)
    with emulated() as running:
        with (marked.parent / "signatory.yaml").open("a") as file:
            file.write(_table(running))
        assert run("import", "marks.json").stdout.endswith("3 marks raised\n")
        assert run("import", "marks.json") == (0, "0 marks raised\n", "no mark would rise\n")
        assert run("export").stdout == (marked.parent / "marks.json").read_text()
        assert run("raise", "--level", "40", "--kind", "block", "--yes").stdout.endswith("2 marks raised\n")
        levels = [line.split()[3] for line in run("show", "--chain", CHAIN).stdout.splitlines()[1:]]
        assert levels == ["21", "40"]


def _table(running: Emulated) -> str:
    known, secret = CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key
    return (
        f"watermark: {{driver: aws, config: {{region: {REGION}, endpoint: '{running.endpoint}', "
        f"access_key_id: {known}, secret_access_key: {secret}}}}}\n"
    )


marks = builds(Mark, integers(0, LAST), integers(0, LAST), none() | binary(min_size=32, max_size=32))
kinds = dictionaries(sampled_from(["block", "preattestation", "attestation", "attestation_with_dal"]), marks)
stores = dictionaries(
    sampled_from([CHAIN, OTHER_CHAIN]), dictionaries(sampled_from([BAKER, WALLET]), kinds), max_size=2
)


@given(found=stores)
def test_a_document_comes_back_as_it_was(found: Marks) -> None:
    assert marks_document.decode(marks_document.encode(found)) == found


@given(data=binary(max_size=300))
def test_any_bytes_are_a_document_or_malformed(data: bytes) -> None:
    for read in (marks_document.decode, lambda data: marks_document.decode_chain(CHAIN, data)):
        with contextlib.suppress(MalformedError):
            read(data)


@given(here=stores, given_=stores)
def test_no_merge_lowers_a_mark_or_leaves_one_below_what_was_given(here: Marks, given_: Marks) -> None:
    async def lifted(rises: list[marks_plan.Rise]) -> tuple[Marks, int]:
        store = MemoryStore()
        await store.lift(here)
        count = await store.lift(marks_plan.marks_of(rises))
        return await store.inspect(), count

    rises = marks_plan.merge(here, given_)
    after, count = asyncio.run(lifted(rises))
    assert count == len(rises)
    for chain, key, kind, mark in [*marks_plan.rows(here), *marks_plan.rows(given_)]:
        now = after[chain][key][kind]
        assert (now.level, now.round) >= (mark.level, mark.round)
        if (now.level, now.round) == (mark.level, mark.round):
            assert now.hash in {mark.hash, None}


def at_a_terminal(folder: Path, answer: str, *words: str) -> tuple[int, str]:
    """Run the program at a terminal where somebody types `answer` to its question."""
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - the other process
        os.chdir(folder)
        program = [
            sys.executable,
            "-I",
            "-m",
            "cli.signatory_cli",
            "-c",
            "signatory.yaml",
            "watermark",
            *words,
        ]
        os.execv(sys.executable, program)  # noqa: S606 - no shell is wanted
    said = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(terminal, 4096):
            said += part
            if b"[y/N]: " in said and answer:
                os.write(terminal, answer.encode() + b"\n")
                answer = ""
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), said.decode()


@pytest.mark.parametrize(("answer", "code", "level"), [("y", 0, 40), ("n", 1, 20)])
def test_at_a_terminal_raise_asks(marked: Path, answer: str, code: int, level: int) -> None:
    ended, said = at_a_terminal(marked.parent, answer, "raise", "--level", "40", "--kind", "block")
    assert ended == code
    assert "level 20 round 1 -> level 40 round" in said
    assert "Raise 2 marks? That cannot be undone. [y/N]: " in said
    assert stored(marked)[CHAIN][BAKER]["block"].level == level


def test_the_real_program_exports_and_imports_through_a_pipe(marked: Path) -> None:
    new = marked.parent / "new"
    new.mkdir()
    program = [sys.executable, "-I", "-m", "cli.signatory_cli", "-c", "signatory.yaml", "watermark"]
    exported = subprocess.run(
        [*program, "export"], cwd=marked.parent, capture_output=True, timeout=60, check=True
    )
    done = subprocess.run(
        [*program, "import", "--base-dir", str(new), "-"],
        cwd=marked.parent, input=exported.stdout, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.endswith(b"3 marks raised\n")
    assert stored(new) == stored(marked)
