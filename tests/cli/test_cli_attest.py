"""`attest inspect` and `attest check`: every form of file, every option, and the reason of each refusal."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attest_program import Attest, Done, program, root_pem
from nitro_chain import CHAIN, IMAGE, NOW, PCRS, a_chain, a_document, signed

VECTORS = Path(__file__).parents[2] / "../shared/vectors/attestation"
INDEX: list[dict[str, Any]] = json.loads((VECTORS / "index.json").read_text()) if VECTORS.exists() else []
needs_vectors = pytest.mark.skipif(not INDEX, reason="the shared vectors are not here")

HEX = {index: value.hex() for index, value in IMAGE.items()}
MANIFEST = {f"PCR{index}": text for index, text in HEX.items()}
EPOCH = str(int(NOW.timestamp()))
PINS = [f"--pcr={index}={text}" for index, text in HEX.items()]
UNPINNED = "nothing pins the PCRs"


@pytest.fixture
def attest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Attest:
    monkeypatch.chdir(tmp_path)
    Path("d").write_bytes(signed(nonce=b"\xab\xcd", user_data=b"hello"))
    Path("root.pem").write_bytes(root_pem())
    Path("m.json").write_text(json.dumps({**MANIFEST, "version": "1.2.3"}))
    return program(monkeypatch, capsys)


def checked(attest: Attest, *words: str, root: str = "root.pem", **more: Any) -> Done:
    return attest("check", "--root", root, "--time", "document", *words, **more)


def refused(done: Done, *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: " in done.stderr
    assert [word for word in words if word not in done.stderr] == []


def in_forms(data: bytes) -> dict[str, bytes]:
    text = base64.b64encode(data)
    return {
        "raw": data,
        "tagged": b"\xd2" + data,
        "base64": text,
        "base64 in lines": base64.encodebytes(data),
        "base64 in lines of Windows": base64.encodebytes(data).replace(b"\n", b"\r\n") + b"\r\n",
        "base64 for addresses": base64.urlsafe_b64encode(data),
        "base64 without padding": text.rstrip(b"="),
    }


@pytest.mark.parametrize("form", list(in_forms(b"x")))
def test_a_document_is_read_raw_or_in_base64_from_a_file_or_a_pipe(attest: Attest, form: str) -> None:
    data = in_forms(signed())[form]
    Path("f").write_bytes(data)
    for done in (checked(attest, "f"), checked(attest, "-", stdin=data)):
        assert (done.returncode, done.stderr) == (0, "")
        assert a_document().module_id in done.stdout


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"hello world!", "neither CBOR nor base64"),
        (b"=", "CBOR"),
        (b"\x84", "attestation document: CBOR"),
        (signed()[:-1], "attestation document: CBOR"),
        (signed() + b"\0", "bytes after the item"),
        (base64.b64encode(signed() + b"\0"), "bytes after the item"),
        (b"\xff" * 40_000, "40000 bytes; at most"),
        (b"\xff" * (1 << 21), "longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_document_is_refused_by_both_commands(
    attest: Attest, data: bytes, words: str
) -> None:
    Path("f").write_bytes(data)
    for command in ("inspect", "check"):
        refused(attest(command, "f"), words)
        refused(attest(command, "-", stdin=data), words if "longer" not in words else "longer than")
    refused(attest("inspect", "absent"), "cannot read the attestation document from absent")


def test_inspect_shows_every_field_and_says_loudly_that_nothing_is_verified(attest: Attest) -> None:
    done = attest("inspect", "d")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("NOT VERIFIED")
    assert lines[-1].startswith("NOT VERIFIED")
    document = a_document()
    assert f"module       {document.module_id}" in lines
    assert f"timestamp    2026-11-21T09:00:00+00:00 ({document.timestamp_ms} ms)" in lines
    assert f"PCR1         {HEX[1]}" in lines
    assert "zero         PCR3, PCR8" in lines
    assert "nonce        2 bytes abcd" in lines
    assert "user_data    5 bytes 68656c6c6f 'hello'" in lines
    assert "cabundle[0]  CN=c0" in lines
    assert "certificate  CN=c4" in lines
    assert f"             sha256 {CHAIN.root.hex()}" in lines
    assert "debug" not in done.stdout


def test_inspect_as_json_says_it_too(attest: Attest) -> None:
    done = attest("inspect", "--json", "d")
    found = json.loads(done.stdout)
    assert next(iter(found.items())) == ("verified", False)
    assert found["pcrs"] == {str(index): value.hex() for index, value in PCRS.items()}
    assert (found["nonce"], found["user_data"], found["debug"]) == ("abcd", b"hello".hex(), False)
    assert [each["subject"] for each in found["certificates"]] == [f"CN=c{index}" for index in range(5)]
    assert found["timestamp_ms"] == int(NOW.timestamp()) * 1000


def test_inspect_shows_a_forged_document_and_one_of_a_debug_enclave_and_odd_certificates(
    attest: Attest,
) -> None:
    Path("f").write_bytes(signed(pcrs={0: bytes(48)}, certificate=b"junk", nonce=None)[:-1] + b"\0")
    done = attest("inspect", "f")
    assert done.returncode == 0
    assert "debug        PCR0, PCR1 or PCR2 is zero or missing" in done.stdout
    assert "certificate  not the DER of an X.509 certificate" in done.stdout
    assert "nonce        absent" in done.stdout


def test_nothing_in_a_document_reaches_the_terminal_as_a_command(attest: Attest) -> None:
    links = a_chain().certificates
    Path("f").write_bytes(signed(user_data=b"\x1b[2Jred\x07", cabundle=links[:-1]))
    for words in (("inspect", "f"), ("inspect", "--json", "f")):
        assert "\x1b" not in attest(*words).stdout


def test_check_prints_what_is_proved_and_says_that_nothing_pins_the_registers(attest: Attest) -> None:
    done = checked(attest, "d")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "verified     at 2026-11-21T09:00:00+00:00"
    assert f"root         {CHAIN.root.hex()}" in lines
    assert [line for line in lines if line.startswith("PCR")] == [
        f"PCR{index}         {PCRS[index].hex()}" for index in (0, 1, 2, 4)
    ]
    assert lines[-1].startswith(UNPINNED)


@pytest.mark.parametrize("pins", [PINS, ["--pcr", f"0={HEX[0].upper()}"], ["--manifest", "m.json"]])
def test_check_with_registers_or_a_manifest_pins_them(attest: Attest, pins: list[str]) -> None:
    done = checked(attest, *pins, "d")
    assert (done.returncode, done.stderr) == (0, "")
    assert UNPINNED not in done.stdout
    assert ("release      1.2.3" in done.stdout) is ("m.json" in pins)


OTHER = "77" * 48


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--pcr", f"1={OTHER}"], f"PCR1: {HEX[1]} is of no allowed image"),
        (["--pcr", f"9={OTHER}"], "PCR9: is missing"),
        (["--pcr", f"8={OTHER}"], "PCR8: zero is of no allowed image"),
        (["--pcr", f"0={'00' * 48}"], "PCR0: zeros allow any debug enclave"),
        (["--manifest", "m.json", "--pcr", f"4={OTHER}"], "PCR4"),
        (["--manifest", "other.json"], "PCR0"),
        (["--manifest", "revoked.json"], "revoked: the release 1.0 was called back"),
        (["--manifest", "zero.json"], "release manifest: PCR1: is zero"),
        (["--manifest", "cn.json"], "the manifest names another root"),
        (["--nonce", "ab"], "nonce: is not the expected one"),
        (["--user-data", "abcd"], "user_data: is not the expected one"),
        (["--root", "AB" * 32], "cabundle[0]: is not the pinned root"),
        (["--root", "d"], "d: this is no X.509 certificate"),
        (["--root", "absent"], "cannot read a root certificate from absent"),
        (["--time", "0"], "is valid only from"),
        (["--pcr", "0=00"], "N=HEX was expected"),
        (["--pcr", f"32={OTHER}"], "N=HEX was expected"),
        (["--pcr", f"-1={OTHER}"], "N=HEX was expected"),
        (["--pcr", f"\u0660={OTHER}"], "N=HEX was expected"),
        (["--pcr", f"0={OTHER}", "--pcr", f"00={OTHER}"], "PCR0 is given twice"),
        (["--nonce", ""], "hex digits of at least one byte"),
        (["--nonce", "abc"], "hex digits of at least one byte"),
        (["--user-data", "0x00"], "hex digits of at least one byte"),
        (["--time", "yesterday"], "now, document, or seconds"),
        (["--time", "1770366258452"], "now, document, or seconds"),
        (["--time", "-1"], "now, document, or seconds"),
        (["--manifest", "-", "-"], "only one file can be standard input"),
    ],
)
def test_check_refuses_with_the_reason_on_standard_error(
    attest: Attest, words: list[str], reason: str
) -> None:
    for name, more in {
        "other": {"PCR0": OTHER},
        "revoked": {"version": "1.0", "revoked": "2026-11-21"},
        "zero": {"PCR1": "00" * 48},
        "cn": {"partition": "aws-cn", "root_sha256": "ab" * 32},
    }.items():
        Path(f"{name}.json").write_text(json.dumps({**MANIFEST, **more}))
    refused(checked(attest, *words, *([] if "-" in words else ["d"])), reason)


def test_check_compares_what_is_expected(attest: Attest) -> None:
    assert checked(attest, "--nonce", "ABcd", "--user-data", b"hello".hex(), "d").returncode == 0


def test_the_root_is_a_pem_a_der_or_a_fingerprint_and_never_any_but_that_of_aws_unless_told(
    attest: Attest,
) -> None:
    Path("root.der").write_bytes(CHAIN.certificates[0])
    colons = ":".join(f"{byte:02X}" for byte in CHAIN.root)
    for root in ("root.pem", "root.der", CHAIN.root.hex(), colons):
        assert checked(attest, "d", root=root).returncode == 0
    Path("m.json").write_text(json.dumps({**MANIFEST, "root_sha256": CHAIN.root.hex()}))
    assert attest("check", "--time", "document", "--manifest", "m.json", "d").returncode == 0
    refused(
        attest("check", "--time", "document", "d"),
        "cabundle[0]: is not the pinned root",
        f"hint: the document brings the root {CHAIN.root.hex()}",
    )


def test_a_debug_enclave_is_refused_unless_allowed_and_then_said_to_be_one(attest: Attest) -> None:
    Path("f").write_bytes(signed(pcrs={**PCRS, 0: bytes(48), 1: bytes(48), 2: bytes(48)}))
    refused(checked(attest, "f"), "PCR0: is zero or missing: a debug enclave")
    for words in ([], ["--pcr", f"0={'00' * 48}"]):
        done = checked(attest, "--allow-debug", *words, "f")
        assert done.returncode == 0
        assert "debug        a debug enclave: nothing says which code ran" in done.stdout
    refused(checked(attest, "--allow-debug", "--manifest", "m.json", "f"), "PCR0: zero is of no allowed")


def test_the_time_is_now_unless_told_and_the_message_says_how_to_judge_a_stored_document(
    attest: Attest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["--time", EPOCH], ["--time", "document"]):
        assert attest("check", "--root", "root.pem", *words, "d").returncode == 0
    for words, now in ((["--time", str(int(EPOCH) + 7200)], NOW), ([], datetime(2026, 11, 22, tzinfo=UTC))):
        with monkeypatch.context() as patch:
            patch.setattr("cli.commands_attest_options.datetime", _Clock(now))
            done = attest("check", "--root", "root.pem", *words, "d")
        refused(done, "cabundle[0]: expired at 2026-11-21T10:00:00+00:00")
        assert "hint: --time document judges a stored document" in done.stderr


class _Clock:
    """The class datetime with another now."""

    fromtimestamp = datetime.fromtimestamp

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self, zone: Any) -> datetime:
        return self._now.astimezone(zone)


@needs_vectors
@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["file"])
def test_genuine_documents_check_at_their_own_time_and_others_do_not(
    attest: Attest, entry: dict[str, Any]
) -> None:
    file = str(VECTORS / entry["file"])
    debug = ["--allow-debug"] if entry.get("debug") else []
    done = attest("check", "--time", "document", *debug, file)
    assert done.returncode == (0 if entry["ok"] else 1)
    if entry["ok"]:
        second = str(entry["timestamp_ms"] // 1000)
        assert attest("check", "--time", second, *debug, file).returncode == 0
        assert json.loads(attest("inspect", "--json", file).stdout)["module_id"] == entry["module_id"]
        refused(attest("check", *debug, file), "expired", "--time document")
