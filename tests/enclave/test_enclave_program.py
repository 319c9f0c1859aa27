"""The program as a whole: what it consists of, how it starts and ends, and that it keeps its secrets."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from emulators import ACCESS, ROOT, Program
from enclave_cloud import Cloud, Enclave

from signatory.crypto.curves import KeyType
from signatory.rpc.messages import GenerateAndImport, Generated, Import, ImportUnencrypted, RemoteError, Sign

CLOSURE = """
import json, sys
before = set(sys.modules)
import enclave_signer.__main__
new = [sys.modules[name] for name in set(sys.modules) - before]
print(json.dumps([module.__file__ for module in new if getattr(module, "__file__", None)]))
"""


def _included() -> tuple[list[str], list[str]]:
    files: list[str] = []
    distributions: list[str] = []
    current = files
    for raw in (ROOT / "enclave_signer" / "include.txt").read_text().splitlines():
        line = raw.partition("#")[0].strip()
        if line == "[third-party]":
            current = distributions
        elif line:
            current.append(line)
    return files, distributions


def _owners() -> dict[Path, str]:
    owners: dict[Path, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]  # read and parsed each time
        owners |= {Path(str(file.locate())).resolve(): name for file in distribution.files or ()}
    return owners


def test_the_include_list_is_exactly_what_the_program_imports() -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-c", CLOSURE], capture_output=True, check=True, env={}, cwd="/"
    )
    owners = _owners()
    ours, theirs = set(), set()
    for name in json.loads(said.stdout):
        path = Path(name).resolve()
        if path in owners:
            theirs.add(owners[path])
        elif path.is_relative_to(ROOT):
            ours.add(str(path.relative_to(ROOT)))
    files, distributions = _included()
    assert files == sorted(ours)
    assert distributions == sorted(theirs, key=str.lower)


def test_nothing_of_the_daemon_is_in_the_program() -> None:
    files, distributions = _included()
    assert not [name for name in files if name.split("/")[0] not in {"signatory", "enclave_signer"}]
    assert not {"pydantic", "aiohttp", "PyYAML", "boto3", "botocore", "prometheus-client"} & set(
        distributions
    )


def _run(*arguments: str) -> tuple[int, str, str]:
    return Program("enclave_signer", *arguments).ended()


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_one_argument_is_needed(arguments: tuple[str, ...]) -> None:
    code, output, errors = _run(*arguments)
    assert (code, output) == (2, "")
    assert "usage: python -I -m enclave_signer SETTINGS" in errors
    assert "Traceback" not in errors


def test_wrong_settings_end_it_with_2_and_name_them(cloud: Cloud, tmp_path: Path) -> None:
    file = cloud.write_settings(tmp_path / "s.toml", colour="blue", nsm="x")
    code, output, errors = _run(str(file))
    assert (code, output) == (2, "")
    assert "colour is not a setting" in errors
    assert "Traceback" not in errors


def test_without_a_module_it_does_not_start(cloud: Cloud, tmp_path: Path) -> None:
    code, output, errors = _run(str(cloud.write_settings(tmp_path / "s.toml", nsm=f"unix:{tmp_path}/none")))
    assert (code, output) == (1, "")
    assert "cannot connect to" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", [{"do": "fail", "error": "InternalError"}, {"do": "short", "size": 1}])
def test_without_entropy_it_does_not_start(cloud: Cloud, tmp_path: Path, command: dict[str, object]) -> None:
    cloud.tell("nsm", **command)
    code, output, errors = _run(str(cloud.write_settings(tmp_path / "s.toml")))
    assert (code, output) == (1, "")
    assert "InternalError" in errors or "1 bytes of entropy" in errors


def test_an_address_that_is_served_is_not_taken_over(cloud: Cloud, enclave: Enclave, tmp_path: Path) -> None:
    file = cloud.write_settings(tmp_path / "s.toml", listen=f"unix:{enclave.path}")
    code, _, errors = _run(str(file))
    assert code == 1
    assert "another process serves it" in errors


@pytest.mark.parametrize("listen", ["unix:{}/own.sock", "tcp://127.0.0.1:0"])
async def test_it_says_where_it_listens_and_ends_cleanly(cloud: Cloud, listen: str) -> None:
    file = cloud.write_settings(cloud.folder / "own.toml", listen=listen.format(cloud.folder))
    process = Program("enclave_signer", str(file))
    address = process.listening()
    assert address.startswith(listen[:4])
    assert not address.endswith(":0")
    code, output, errors = process.stop()
    assert (code, output) == (0, f"listening on {address}\n")
    assert "Traceback" not in errors


async def test_it_ends_cleanly_with_sessions_open(cloud: Cloud) -> None:
    enclave = cloud.enclave()
    line = await enclave.session()
    await line.ask(GenerateAndImport(KeyType.ED25519))
    assert enclave.process.stop()[0] == 0
    assert await line.is_closed()


def test_it_leaves_no_core(enclave: Enclave) -> None:
    limits = Path(f"/proc/{enclave.process.pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_it_cannot_be_looked_into() -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-c", _DUMPABLE], capture_output=True, check=True, text=True, env={}, cwd="/"
    )
    assert said.stdout.strip() == "0"


_DUMPABLE = """
import ctypes
from enclave_signer.hardening import harden
harden()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""

FAILURES = """
import asyncio, threading
from enclave_signer.hardening import quiet_failures, quiet_loop
quiet_failures()
class Loud:
    def __del__(self):
        raise ValueError("hunter2")
Loud()
def fail():
    raise ValueError("hunter2")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
async def loop():
    asyncio.get_running_loop().set_exception_handler(quiet_loop)
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
asyncio.run(loop())
fail()
"""


def test_what_nobody_caught_shows_no_text(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-c", FAILURES],
        capture_output=True,
        check=False,
        text=True,
        env={},
        cwd=tmp_path,
    )
    assert said.returncode == 1
    assert said.stderr.count("ValueError") == 4
    assert "hunter2" not in said.stderr


async def test_no_secret_is_on_its_output(cloud: Cloud) -> None:
    enclave = cloud.enclave()
    line = await enclave.session()
    seed = bytes(range(100, 132))
    made = await line.ask(ImportUnencrypted(KeyType.ED25519, seed))
    assert isinstance(made, Generated)
    await line.ask(Sign(0, b"m"))
    cloud.tell("kms", do="fail", operation="Decrypt", error="AccessDeniedException", times=1)
    with pytest.raises(RemoteError) as caught:
        await line.ask(Import(made.blob))
    line.writer.write(b"\xff\xff\xff\xff" + seed)
    assert await line.read()
    _, output, errors = enclave.process.stop()
    everything = output + errors + str(caught.value.chain)
    for secret in (seed.hex(), repr(seed)[2:-1], ACCESS.secret_access_key, str(ACCESS.session_token)):
        assert secret not in everything
