"""A hook over https: only a server that the right authority certified is asked."""

import ssl
from pathlib import Path

import pytest
from hook_server import FakeHook, always, hook, http
from tls_files import DAY, NOW, Authority, Pair, trusting

from signatory.errors import IntegrityError, SignatoryError, UnavailableError
from signatory.hook.client import HttpHook
from signatory.hook.seam import Question
from signatory.vault import Call

CA, OTHER_CA = Authority("ours"), Authority("theirs")
SERVER = CA.issue("hook", "server")
CALL = Call("id")
QUESTION = Question("tz1abc", "192.0.2.7", None, b"\x03message")


def serving(folder: Path, pair: Pair = SERVER) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(folder, "hook"))
    return context


async def ask(fake: FakeHook, tls: ssl.SSLContext | None, call: Call = CALL) -> SignatoryError | None:
    client = HttpHook(fake.address, None, tls=tls)
    try:
        await client.ask(QUESTION, call)
    except SignatoryError as error:
        return error
    finally:
        await client.close()
    return None


async def test_a_server_that_a_trusted_authority_certified_is_asked(tmp_path: Path) -> None:
    async with hook(always(http("200 OK")), serving(tmp_path)) as fake:
        assert await ask(fake, trusting(CA)) is None
        assert len(fake.asked) == 1


async def test_another_server_is_told_nothing(tmp_path: Path) -> None:
    old = CA.issue("hook", "server", NOW - 3 * DAY, NOW - DAY)
    for pair, tls in ((SERVER, trusting(OTHER_CA)), (SERVER, None), (old, trusting(CA))):
        async with hook(always(http("200 OK")), serving(tmp_path, pair)) as fake:
            error = await ask(fake, tls)
        assert (type(error), str(error)) == (IntegrityError, "policy hook: its certificate is not trusted")
        assert fake.asked == []


async def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    async with hook(always(http("200 OK")), serving(tmp_path)) as fake:
        fake.address = fake.address.replace("127.0.0.1", "localhost")
        assert type(await ask(fake, trusting(CA))) is IntegrityError


async def test_the_authorities_of_the_environment_s_file_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authorities.pem").write_bytes(CA.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
    async with hook(always(http("200 OK")), serving(tmp_path)) as fake:
        assert await ask(fake, None) is None


async def test_a_server_without_tls_is_no_answer() -> None:
    async with hook(always(http("200 OK"))) as fake:
        fake.address = fake.address.replace("http:", "https:")
        assert type(await ask(fake, trusting(CA), Call("id", 0.1))) is UnavailableError
        assert fake.asked == []
