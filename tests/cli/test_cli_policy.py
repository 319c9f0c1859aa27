"""`policy explain`: the real program with real configurations and the bytes of real requests."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import base58
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

CONFIGS = Path(__file__).parents[2] / "configs"
WALLET, BAKER = str(CONFIGS / "wallet.yaml"), str(CONFIGS / "baker-tz4.yaml")
PAYS = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"
STAKES = "tz1aSkwEot3L2kmUvcoxzjMomb9mvBNuzFK6"
BOOTSTRAP = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
"""The key that the folder's own configuration lists, for blocks and payments."""
CLIENT = "tz1PhHHZRSEqFViUYYJeT5YJ9uzvgQgdNWXW"
"""The hash of the one client that wallet.yaml lets in."""

SOURCE = b"\x00" + b"\xa1" * 20
PAYEE = b"\x01" + b"\xc1" * 20 + b"\x00"
SOURCE_TEXT = base58.b58encode_check(bytes.fromhex("06a19f") + SOURCE[1:]).decode()
PAYEE_TEXT = base58.b58encode_check(bytes.fromhex("025a79") + PAYEE[1:21]).decode()


def payment(amount: bytes = b"\x05") -> str:
    """Fee 400, counter 300, gas 2000, storage 0, no entrypoint; in hex."""
    manager = SOURCE + b"\x90\x03" + b"\xac\x02" + b"\xd0\x0f" + b"\x00"
    return (b"\x03" + b"\xb1" * 32 + b"\x6c" + manager + amount + PAYEE + b"\x00").hex()


DELEGATION = (
    b"\x03" + b"\xb1" * 32 + b"\x6e" + SOURCE + b"\x90\x03\xac\x02\xd0\x0f\x00" + b"\xff" + SOURCE
).hex()
BALLOT = (b"\x03" + b"\xb1" * 32 + b"\x06" + SOURCE + bytes(4) + b"\x32" * 32 + b"\x01").hex()
ATTESTATION = (
    b"\x13"
    + bytes.fromhex("7a06a770")
    + b"\xb1" * 32
    + b"\x29"
    + (9).to_bytes(4, "big")
    + (2).to_bytes(4, "big")
    + b"\x32" * 32
).hex()


def rules(text: str) -> dict[str, str]:
    """Rule to verdict, from what is printed for people."""
    lines = text.split("Rules:\n")[1].splitlines()[:-1]
    return dict(line.split(None, 1) for line in lines)


def test_an_allowed_payment_is_explained_and_ends_with_0(run: Run) -> None:
    done = run("policy", "explain", BOOTSTRAP, payment())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:6] == [
        "Request: generic",
        "Operation: transaction",
        f"    source       {SOURCE_TEXT}",
        f"    destination  {PAYEE_TEXT}",
        "    amount       5 mutez",
        "    fee          400 mutez",
    ]
    assert done.stdout.splitlines()[-1] == "Decision: allowed by allow.generic"
    assert rules(done.stdout)["tezos"] == "passed"
    assert rules(done.stdout)["limits.rate"] == "not set"


def test_a_refused_request_names_the_rule_and_the_words_and_ends_with_1(run: Run) -> None:
    done = run("policy", "explain", BOOTSTRAP, DELEGATION)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1] == (
        "Decision: refused by allow.generic: operation `delegation' is not allowed"
    )
    assert rules(done.stdout)["allow.generic"].startswith("refused ")


def test_a_key_that_is_not_listed_is_refused(run: Run) -> None:
    done = run("policy", "explain", PAYS, payment())
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"Decision: refused by tezos: {PAYS} is not listed in config"
    assert rules(done.stdout)["allow"] == "not judged here"


@pytest.mark.parametrize(
    ("key", "request_", "client", "last"),
    [
        (PAYS, payment(), CLIENT, "allowed by allow.generic"),
        (PAYS, payment(), None, "refused by server.authorized_keys: authentication required"),
        (
            PAYS,
            payment(),
            BOOTSTRAP,
            f"refused by server.authorized_keys: client `{BOOTSTRAP}' is not allowed",
        ),
        (STAKES, payment(), CLIENT, "refused by allow.generic: operation `transaction' is not allowed"),
        (STAKES, BALLOT, CLIENT, "refused by allow.generic: operation `ballot:nay' is not allowed"),
        (STAKES, "05030b", CLIENT, "allowed by allow"),
        (PAYS, "05030b", CLIENT, "refused by allow: request kind `pack' is not allowed"),
        (PAYS, payment(b"\x80\xc2\xd7\x2f"), CLIENT, "allowed by allow.generic"),
        (
            PAYS,
            payment(b"\x81\xc2\xd7\x2f"),
            CLIENT,
            "refused by limits.max_amount: the operations move 100000001 mutez, the limit is 100000000 mutez",
        ),
    ],
)
def test_the_wallet_sample_decides_as_its_comments_say(
    run: Run, key: str, request_: str, client: str | None, last: str
) -> None:
    who = [] if client is None else ["--client", client]
    done = run("-c", WALLET, "policy", "explain", key, request_, *who)
    assert done.stdout.splitlines()[-1] == f"Decision: {last}"
    assert done.returncode == (0 if last.startswith("allowed") else 1)


def test_a_consensus_operation_is_told_with_its_place(run: Run) -> None:
    key = next(
        line.strip(" :\n") for line in Path(BAKER).read_text().splitlines() if line.startswith("  tz4")
    )
    done = run("-c", BAKER, "policy", "explain", key, ATTESTATION, "--client", CLIENT)
    assert done.stdout.splitlines()[:4] == [
        "Request: attestation",
        "Chain: NetXdQprcVkpaWU",
        "Level: 9",
        "Round: 2",
    ]
    assert done.returncode == 0


def test_json_is_what_a_dry_run_answers(run: Run) -> None:
    done = run(
        "policy", "explain", BOOTSTRAP, payment(), "--json", "--source", "192.0.2.7", "--user", "alice"
    )
    told = json.loads(done.stdout)
    assert told["allowed"] is True
    assert told["client"] == {"source": "192.0.2.7", "key": None, "user": "alice"}
    assert told["request"]["operations"][0]["destinations"] == [PAYEE_TEXT]
    assert run("policy", "explain", BOOTSTRAP, DELEGATION, "--json").returncode == 1


def test_the_version_chooses_the_grammar(run: Run) -> None:
    assert (
        json.loads(run("policy", "explain", BOOTSTRAP, payment(), "--version", "1", "--json").stdout)[
            "version"
        ]
        == "1"
    )
    done = run("policy", "explain", BOOTSTRAP, "05030b", "--version", "1")
    assert (done.returncode, done.stderr) == (1, "Error: gotez: unknown tag 5\n")


@pytest.mark.parametrize("stdin", [payment(), f"  {payment().upper()}\n"])
def test_the_request_may_come_from_a_pipe(run: Run, stdin: str) -> None:
    assert run("policy", "explain", BOOTSTRAP, "-", stdin=stdin).returncode == 0


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("xyz", "Error: the request is not hexadecimal"),
        ("0", "Error: the request is not hexadecimal"),
        ("", "Error: gotez: buffer is too short"),
        ("01", "Error: gotez: unknown tag 1"),
        (payment() + "00", "Error: gotez: "),
        ("é", "Error: the request is not hexadecimal"),
    ],
)
def test_what_is_no_request_is_an_error_and_no_decision(run: Run, request_: str, words: str) -> None:
    done = run("policy", "explain", BOOTSTRAP, request_)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(words)


def test_a_pipe_that_does_not_end_is_refused(run: Run) -> None:
    done = run("policy", "explain", BOOTSTRAP, "-", stdin="00" * 300_000)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the request is longer than the 524288 characters")


@pytest.mark.parametrize(
    "words",
    [("tz1", "03"), (BOOTSTRAP,), (BOOTSTRAP, "03", "--client", "me"), (BOOTSTRAP, "03", "--version", "9")],
)
def test_a_wrong_command_line_shows_the_usage(run: Run, words: tuple[str, ...]) -> None:
    done = run("policy", "explain", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Usage: signatory-cli policy explain" in done.stderr


def test_nothing_is_opened_or_made(run: Run, folder: Path) -> None:
    file = folder / "signatory.yaml"
    file.write_text(file.read_text().replace("config: [edsk", "config: [not-a-key-edsk"))
    before = sorted(folder.rglob("*"))
    assert run("policy", "explain", BOOTSTRAP, payment()).returncode == 0
    assert sorted(folder.rglob("*")) == before
