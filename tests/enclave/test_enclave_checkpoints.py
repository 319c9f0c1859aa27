"""Checkpoint keys: they sign checkpoints and nothing else, and no checkpoint below one they signed."""

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from enclave_cloud import Cloud, Enclave
from enclave_host import Host, refused
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, tuples

from enclave_signer.checkpoints import Checkpoints
from signatory.errors import DeniedError
from signatory.nitro.checkpoint import Checkpoint

ONE, TWO = b"\x01" * 32, b"\x02" * 32


def checked(public: bytes, sequence: int, digest: bytes, signature: bytes) -> bool:
    """By another implementation; raises where it does not verify."""
    statement = b"signatory-vault/checkpoint/v1\0" + cbor2.dumps([sequence, digest])
    Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)
    return True


async def test_a_checkpoint_is_signed_under_its_tag_and_never_goes_back(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make(purpose="checkpoint")
    public = born["name"]["public_key"]

    async def ask(sequence: int, digest: bytes) -> bytes:
        signed = await host.ask("Checkpoint", handle=0, sequence=sequence, digest=digest)
        signature: bytes = signed["Ed25519"]
        return signature

    first = await ask(7, ONE)
    assert checked(public, 7, ONE, first)
    assert await ask(7, ONE) == first
    assert checked(public, 9, TWO, await ask(9, TWO))
    assert await refused(ask(7, ONE)) == ("the checkpoint 7 is below 9, which this key has signed",)
    assert await refused(ask(9, ONE)) == ("this key has signed another checkpoint 9",)
    assert checked(public, 10, ONE, await ask(10, ONE))
    with pytest.raises(InvalidSignature):
        checked(public, 11, ONE, first)


async def test_the_highest_sequence_holds_for_every_handle_and_every_connection(enclave: Enclave) -> None:
    host, other = await Host.ready(enclave), await Host.ready(enclave)
    born = await host.make(purpose="checkpoint", scheme="kms-envelope-v1")
    await host.ask("Checkpoint", handle=0, sequence=5, digest=ONE)
    assert (await other.load(born, "kms-envelope-v1"))["handle"] == 0
    assert await refused(other.ask("Checkpoint", handle=0, sequence=4, digest=TWO))
    assert await other.ask("Checkpoint", handle=0, sequence=6, digest=TWO)
    assert await refused(host.ask("Checkpoint", handle=0, sequence=5, digest=ONE))


async def test_a_checkpoint_key_signs_nothing_else_and_no_other_key_signs_checkpoints(
    enclave: Enclave,
) -> None:
    host = await Host.ready(enclave)
    await host.make(purpose="checkpoint")
    await host.make(purpose="raw")
    assert "signs checkpoints and nothing else" in (await refused(host.sign(0, b"m")))[-1]
    assert await refused(host.ask("ProvePossession", handle=0))
    chain = await refused(host.ask("Checkpoint", handle=1, sequence=1, digest=ONE))
    assert chain == ("only a checkpoint key signs checkpoints",)
    assert await host.sign(1, b"m")


async def test_a_checkpoint_key_is_born_inside_and_by_a_scheme_that_knows_purposes(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    assert await refused(host.bring("Ed25519", ONE, purpose="checkpoint")) == (
        "a checkpoint key is made in the enclave and never imported",
    )
    assert await refused(host.make(purpose="checkpoint", scheme="kms-encrypt-v0"))
    raw = await host.make(purpose="raw")
    assert "substitution" in (await refused(host.load(raw, purpose="checkpoint")))[-1]


@pytest.mark.parametrize(
    ("sequence", "digest"),
    [(-1, ONE), (2**63, ONE), (1, ONE[:31]), (1, ONE + b"\0"), (1, b""), (1.0, ONE), ("1", ONE)],
)
async def test_a_checkpoint_of_another_shape_is_refused(
    cloud: Cloud, enclave: Enclave, sequence: object, digest: bytes
) -> None:
    host = await Host.ready(enclave)
    await host.make(purpose="checkpoint")
    host.call("Checkpoint", handle=0, sequence=sequence, digest=digest)
    if isinstance(sequence, float):
        assert await host.line.is_closed()
    else:
        assert await refused(host.reply(host.last))


@given(lists(tuples(sampled_from([b"a", b"b"]), integers(0, 4), sampled_from([ONE, TWO]))))
def test_what_is_taken_never_falls_and_never_forks(asked: list[tuple[bytes, int, bytes]]) -> None:
    checkpoints = Checkpoints()
    taken: list[tuple[bytes, int, bytes]] = []
    for public, sequence, digest in asked:
        try:
            checkpoints.advance(public, Checkpoint(sequence, digest))
        except DeniedError:
            before = [(at, head) for key, at, head in taken if key == public]
            assert any(at > sequence or (at == sequence and head != digest) for at, head in before)
        else:
            taken.append((public, sequence, digest))
    for key in (b"a", b"b"):
        heads = [(at, head) for public, at, head in taken if public == key]
        assert [at for at, _ in heads] == sorted(at for at, _ in heads)
        assert len({at for at, _ in heads}) == len(set(heads))


def test_no_key_is_forgotten_for_another() -> None:
    checkpoints = Checkpoints(most=2)
    for public in (b"a", b"b"):
        checkpoints.advance(public, Checkpoint(3, ONE))
    with pytest.raises(DeniedError, match="already remembers 2"):
        checkpoints.advance(b"c", Checkpoint(1, ONE))
    with pytest.raises(DeniedError, match="is below 3"):
        checkpoints.advance(b"a", Checkpoint(2, ONE))
    checkpoints.advance(b"a", Checkpoint(4, TWO))
