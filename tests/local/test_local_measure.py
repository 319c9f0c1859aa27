"""The measurement notices every byte that runs, and nothing else."""

import hashlib
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import binary, text
from laptop_processes import prepare_tree

from cli.local import measure
from signatory.errors import ConfigError

ROLE, INSTANCE = "arn:aws:iam::000000000000:role/tester", "i-0123456789abcdef0"


def pcrs(tree: Path, settings: bytes = b"a = 1\n") -> dict[int, bytes]:
    return dict(measure.measure(tree, settings, ROLE, INSTANCE))


def changed(before: dict[int, bytes], after: dict[int, bytes]) -> set[int]:
    return {index for index in before if before[index] != after[index]}


def test_a_program_file_is_in_pcr0_and_pcr2(tmp_path: Path) -> None:
    tree = prepare_tree(tmp_path)
    before = pcrs(tree)
    (tree / "enclave_signer" / "one.py").write_text("print(3)\n")
    assert changed(before, pcrs(tree)) == {0, 2}


def test_the_settings_are_in_pcr0_and_pcr1(tmp_path: Path) -> None:
    tree = prepare_tree(tmp_path)
    assert changed(pcrs(tree), pcrs(tree, b"a = 2\n")) == {0, 1}


def test_the_include_list_itself_is_measured(tmp_path: Path) -> None:
    tree = prepare_tree(tmp_path)
    before = pcrs(tree)
    listing = tree / "enclave_signer" / "include.txt"
    listing.write_text("# a word\n" + listing.read_text())
    assert changed(before, pcrs(tree)) == {0, 2}


def test_bytes_cannot_move_from_one_file_to_the_next_unseen(tmp_path: Path) -> None:
    tree = prepare_tree(tmp_path)
    one, two = tree / "enclave_signer" / "one.py", tree / "enclave_signer" / "two.py"
    one.write_text("ab")
    two.write_text("c")
    before = pcrs(tree)
    one.write_text("a")
    two.write_text("bc")
    assert changed(before, pcrs(tree)) == {0, 2}


def test_a_file_that_is_not_listed_is_not_measured(tmp_path: Path) -> None:
    tree = prepare_tree(tmp_path)
    before = pcrs(tree)
    (tree / "enclave_signer" / "three.py").write_text("print(3)\n")
    assert pcrs(tree) == before


def test_third_party_files_are_measured_as_installed(tmp_path: Path) -> None:
    tree = prepare_tree(tmp_path)
    listing = tree / "enclave_signer" / "include.txt"
    listing.write_text(listing.read_text() + "[third-party]\ncbor2\n")
    measured = dict(measure.program_files(tree))
    module = Path(str(metadata.distribution("cbor2").locate_file("cbor2/__init__.py")))
    assert measured["cbor2/cbor2/__init__.py"] == module.read_bytes()
    assert not [name for name in measured if name.endswith(".pyc") or "dist-info" in name]


def test_the_real_program_is_measured_and_is_the_one_that_runs() -> None:
    tree = measure.tree_of_program()
    names = [name for name, _ in measure.program_files(tree)]
    assert "enclave_signer/__main__.py" in names
    assert names[0] == "enclave_signer/include.txt"
    assert (tree / "cli" / "local" / "measure.py").samefile(measure.__file__)


@pytest.mark.parametrize(
    "listing",
    [
        "",
        "# nothing\n",
        "/etc/passwd\n",
        "a/../../b\n",
        "[odd]\n",
        "missing.py\n",
        "x\n[third-party]\nno-such\n",
    ],
)
def test_a_list_that_cannot_be_measured_is_an_error_that_says_so(tmp_path: Path, listing: str) -> None:
    tree = prepare_tree(tmp_path)
    (tree / "x").touch()
    (tree / "enclave_signer" / "include.txt").write_text(listing)
    with pytest.raises(ConfigError, match=r"include\.txt|missing\.py"):
        pcrs(tree)


@given(name=text(max_size=20), content=binary(max_size=20), other=binary(max_size=20))
def test_a_frame_is_as_long_as_it_says(name: str, content: bytes, other: bytes) -> None:
    one, label = measure.framed(name, content) + other, name.encode()
    size = int.from_bytes(one[:4], "big")
    assert one[4 : 4 + size] == label
    body = one[4 + size :]
    assert body[8 : 8 + int.from_bytes(body[:8], "big")] == content


@given(listing=binary(max_size=100))
def test_any_include_list_is_read_or_refused(listing: bytes) -> None:
    try:
        files, _ = measure.parse_include(listing)
    except ConfigError:
        return
    assert files


def test_extending_is_what_the_hardware_does() -> None:
    assert measure.extend(bytes(48), b"abc") == hashlib.sha384(bytes(48) + b"abc").digest()
