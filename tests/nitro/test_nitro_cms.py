"""EnvelopedData: both genuine layouts, the openssl command both ways, and one refusal for all else."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import cms

SAMPLES = Path(__file__).parents[2] / "../shared/vectors/cms/kms_cms_samples.json"
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl command is not here")
REFUSED = "the envelope from KMS does not open with this key"

# Made once with OpenSSL 3.0.19:
#   openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem
#   openssl req -x509 -new -key key.pem -subj /CN=r ... with subjectKeyIdentifier = SHA-256 of the key's DER
#   openssl cms -encrypt -binary -outform DER [-stream] -aes256 -keyid -recip cert.pem
#     -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256
OPENSSL_KEY = """-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDl52PPXkMUcBlG
YTTJ0BRGiuauQs6H6X0kIJ0fP5tclNi9xpOemsfRt0B6Gf1XxYCpIGEwsgFgG70Q
FtUwIWwsnM5LmuUegbLjmUUw5acJxwFXrTEL0po+QfVQe9mrRAeeiOPPGQ6t5mpk
RHSKjGoMWou7aBDfoo4nzTWQr8hBqpgXAaf5X3lI9vMqDtegx8xKViqyS5fTOcTC
VuYnL5x1JdYJoG+1Opj5mC3UJmgfCnQMqsf0vvFjFoQ25Wu2Cuer6JKAkoee1SOz
/gpdxC+VG6NpfNChHHtJkBCG2QyiXeFKYKAO1gHtTBMNrtM5yDP6qMztuAuQGeRO
3meCuziRAgMBAAECgf91Mf8vNl37jSlVNzgxqGCtlSECtAuUPPIN+JIf28zW5QmX
tCKMN1qlDUVQ+O6sT4HGtTrWF+eblohKK1mBr4f1NfnzkII7iuImI3uh8W+1DD0i
9KaL4E/AbN8gqAHNzGAV8LIwYBWbkFmrwzmlZu6oXX/diK8RUUwl/fXQS8tJrTUv
VPaB0Nw2ZlOp8oV7+L/BddK8YzQpyt3TBrI1fvKUy68P10IhsRzWvsQFiuxDKbLl
5tus3NB+FEYe07RIfJLszAIVQPRKdUfWg2y54JIW+PCLt1KJOxn8Oi4pxW9ZXs2A
cNxTH1aWhpwx3fAO0UzDKEJ9Ra36DFdk0E3DEJkCgYEA/3FtxTPsf5nvGAznvuc/
y09Pm30M+ceKOiIrZyEgxw/w7gJVOfo7FxmadGE1D6ZQAUQWDJFemh+Mi0V9rLru
syrWSUN5O17umEaYz0/6kTRbcimRU8sG1Za0iNfAev3Kuj+IwW4myxYKatZ86+vi
YAjI6459RvoDafHK+obcQv0CgYEA5me08cy/vcvyM0PZPxycJNNhn39gFZvghnkl
ki3lVMDtxARNhjaumVrgGBE7/5jth0L9Lf7lwXqswprkqDSbA6KsaNx2Z6Ax7eli
wPWnsBkQkFsT9fdUJr72qzWRBSVyfKBvMH9edynp+TFa1scFfnRpJ7SAE4vVHkcx
cb1a0iUCgYB35pwp1oeKFY0+8r/MwesV2XJ6f6YZkGn3g5Zv4ALsrTTf40Rx5Fzc
KO5w9jfb0qr3DSh0Wb/YBDsKHGIzM8NbYh4XYY6EKblAzNJpbRcmFTdfTNekR0Y7
93NiUDNPB9WiurPMZ5HZ/cyB/Y/BhYVKopT8zHNNX4k+r3ohQjAdWQKBgQCYYPgT
frVEwfARpYq1Kae+1ynWQXh7chbg+Jg3gDEOh3X4UFwxKlL4y1gvsp46oZpd/ZjR
5aVv+0Dsh2I4OGpY0ioyQ7PvPswmq1aLhSv80+bXgdTGtGcsJNmgS5H4lFaOQ9Cl
g2cnakn6a4DHUOK6SiUNhFu8EZvGJZF2xqOdHQKBgQCm+knZuVYiRnj0JR+rbZIt
iUFMbOqy0ZfC8y+fMCud2HVEw0N2nUeyNZWqh0UnOyP2hFQKo4VSDRLSHL1nJwoi
YHANQRKZGdcmkSlekHwaa/M/sBXnEaU24ykAPcS5n1mcwKXvHXk8euzBh3dBvPsg
CRGElubpIY0cw7aoq4DX+w==
-----END PRIVATE KEY-----
"""
OPENSSL_DER = (
    "308201df06092a864886f70d010703a08201d0308201cc02010231820167308201630201028020d72d8974a3498ede047b51"
    "3a2047afbb2793a3af055aae57bf83dc2b5fdbcbe3303806092a864886f70d010107302ba00d300b06096086480165030402"
    "01a11a301806092a864886f70d010108300b06096086480165030402010482010059456afd2566a7074e3f777ca22c9d24f8"
    "7f0fd58e84c03877d732f0ed864ddc6dc35db3838457843f359db9b8632a68b52ae86fb5797f547c5fb1a4eb2caeef170312"
    "08cb79a05f86a52d6af06f975c321f7a5d400e910a6c856f401fd76a32d1e4b204740b378be13a15983624968ee07c45a1e1"
    "7b5b4850fab0212ac2e522e810846ddd0e3777c76f4cb772f38c47455c976e1655bfae0eb0de0c3d4758386b8bf46830b1cf"
    "df3b1cfa6482944ef258514bc0694cf9299f38054208eb6ee03e56ce62217683e182be39427a481ad4b5ab3b3aa9645ba737"
    "1323e7c58ddfc2b1c32c7dc570daeb1f559812881668a52fbcc6862f56fdc754efbb77fd34ab98305c06092a864886f70d01"
    "0701301d060960864801650304012a04101014dab6f1456826ecb613e22255c1618030b1f78c6fc977ab5aab6831b8e9e6d3"
    "585eb6557a06e16a646ae02c857794b38280754f651bd1a2993d319c2a476bef95"
)
OPENSSL_BER = (
    "308006092a864886f70d010703a080308002010231820167308201630201028020d72d8974a3498ede047b513a2047afbb27"
    "93a3af055aae57bf83dc2b5fdbcbe3303806092a864886f70d010107302ba00d300b0609608648016503040201a11a301806"
    "092a864886f70d010108300b06096086480165030402010482010008f5c5551e2d83139d4957ef553b79d68790746fe04466"
    "7d4d46386b0af9d1286f7ad22f28e31334b2b8ae518933e655c4db9ad56308ba15209ab5848eb9921c6846f2612332df5750"
    "c1c0d80e52221bbe505a4ce79c882acc16b985c9df8975757a623b170b3f15d2a96320bac8eea0772ae9b392b2ca612446a7"
    "0b2671309fbdd5dc96b78c71d221346d29cf487598fbb062d3b7c5263ecf18e1f5475b66a7e62ef1412acb762137624f0836"
    "d7e99d7c602798ec4238551e1cec735ced8c58d2b9991f7586cd9ea5982eef9741b92761da0a046bfab750da61d81c91a4f1"
    "bb04d0933872a7be700fa61b94725a68fef6ba8ccde9bec6723123dc142af1b202308006092a864886f70d010701301d0609"
    "60864801650304012a0410349547dc0816051de3908c0f0bda07caa08004201296d372243742fa4f1bed3935681066e1ad05"
    "cc55e1264d54c9e323c602af720410499b188565dc16bd8783320168b1600900000000000000000000"
)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _spki(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _entropy(size: int) -> bytes:
    return bytes(range(size))


def test_genuine_envelopes_are_taken_apart() -> None:
    if not SAMPLES.exists():
        pytest.skip("the shared vectors are not here")
    for sample in json.loads(SAMPLES.read_text())["samples"]:
        envelope = cms.parse(bytes.fromhex(sample["cms"]))
        assert envelope.encrypted_key.hex() == sample["encrypted_key"]
        assert envelope.iv.hex() == sample["iv"]
        assert envelope.ciphertext.hex() == sample["ciphertext"]


def test_what_we_build_has_the_layout_of_a_genuine_envelope(key: rsa.RSAPrivateKey) -> None:
    built = cms.build(_spki(key), bytes(40), entropy=_entropy)
    envelope = cms.parse(built)
    head = bytes.fromhex("308006092a864886f70d010703a08030800201023182016b308201670201028020")
    oaep = bytes.fromhex(
        "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
        "a11c301a06092a864886f70d010108300d0609608648016503040201050004820100"
    )
    content = bytes.fromhex("308006092a864886f70d010701301d060960864801650304012a0410")
    assert built == b"".join(
        (
            head,
            cms.recipient_id(_spki(key)),
            oaep,
            envelope.encrypted_key,
            content,
            bytes(range(16)),
            bytes.fromhex("a0800430"),
            envelope.ciphertext,
            bytes(10),
        )
    )
    assert len(built) == 493


@pytest.mark.parametrize("size", [0, 1, 15, 16, 32, 1000, 1024, 4096])
@pytest.mark.parametrize("indefinite", [True, False])
def test_what_is_built_opens(key: rsa.RSAPrivateKey, size: int, indefinite: bool) -> None:
    plaintext = os.urandom(size)
    built = cms.build(_spki(key), plaintext, entropy=os.urandom, ber_indefinite=indefinite)
    assert cms.open(built, key) == plaintext


def test_an_envelope_made_by_openssl_long_ago_opens() -> None:
    private = load_pem_private_key(OPENSSL_KEY.encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert cms.open(bytes.fromhex(OPENSSL_DER), private) == b"a data key of thirty-two bytes!!"
    assert cms.open(bytes.fromhex(OPENSSL_BER), private) == b"a data key of thirty-two bytes!!"


@pytest.fixture
def certificate(tmp_path: Path, key: rsa.RSAPrivateKey) -> Path:
    """A certificate whose key identifier is SHA-256 of the key, as KMS names recipients."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    named = cms.recipient_id(_spki(key)).hex()
    config = f"[req]\ndistinguished_name=dn\n[dn]\n[x]\nsubjectKeyIdentifier={named}\n"
    (tmp_path / "config").write_text(config)
    _openssl(
        tmp_path, "req", "-x509", "-new", "-key", "key.pem", "-subj", "/CN=r", "-config", "config",
        "-extensions", "x", "-out", "cert.pem",
    )  # fmt: skip
    x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    return tmp_path


def _openssl(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], cwd=folder, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@needs_openssl
@pytest.mark.parametrize("indefinite", [True, False])
@pytest.mark.parametrize("size", [0, 32, 4096])
def test_openssl_opens_what_we_build(
    certificate: Path, key: rsa.RSAPrivateKey, size: int, indefinite: bool
) -> None:
    plaintext = os.urandom(size)
    built = cms.build(_spki(key), plaintext, entropy=os.urandom, ber_indefinite=indefinite)
    arguments = ("cms", "-decrypt", "-inform", "DER", "-binary", "-inkey", "key.pem", "-recip", "cert.pem")
    assert _openssl(certificate, *arguments, data=built) == plaintext


OAEP = ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256")
ENCRYPT = ("cms", "-encrypt", "-binary", "-outform", "DER")


@needs_openssl
@pytest.mark.parametrize("stream", [(), ("-stream",)])
@pytest.mark.parametrize("size", [1, 32, 5000])
def test_we_open_what_openssl_makes(
    certificate: Path, key: rsa.RSAPrivateKey, size: int, stream: tuple[str, ...]
) -> None:
    plaintext = os.urandom(size)
    arguments = (*ENCRYPT, *stream, "-aes256", "-keyid", "-recip", "cert.pem", *OAEP)
    assert cms.open(_openssl(certificate, *arguments, data=plaintext), key) == plaintext


@needs_openssl
@pytest.mark.parametrize(
    "arguments",
    [
        ("-aes128", "-keyid", "-recip", "cert.pem", *OAEP),
        ("-des3", "-keyid", "-recip", "cert.pem", *OAEP),
        ("-aes256", "-recip", "cert.pem", *OAEP),
        ("-aes256", "-keyid", "-recip", "cert.pem"),
        ("-aes256", "-keyid", "-recip", "cert.pem", *OAEP[:2], "-keyopt", "rsa_oaep_md:sha1"),
        ("-aes256", "-keyid", "-recip", "cert.pem", *OAEP[:4], "-keyopt", "rsa_mgf1_md:sha1"),
        ("-aes256", "-keyid", "-recip", "cert.pem", *OAEP, "-recip", "cert.pem", *OAEP),
        ("-aes256", "-secretkey", "00" * 32, "-secretkeyid", "00"),
    ],
)
def test_other_algorithms_and_recipients_are_refused(
    certificate: Path, key: rsa.RSAPrivateKey, arguments: tuple[str, ...]
) -> None:
    made = _openssl(certificate, *ENCRYPT, *arguments, data=b"x" * 32)
    with pytest.raises(MalformedError):
        cms.parse(made)
    with pytest.raises(IntegrityError, match=REFUSED):
        cms.open(made, key)


def test_an_envelope_for_another_key_is_refused(key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises(IntegrityError, match=REFUSED):
        cms.open(cms.build(_spki(other), b"x", entropy=os.urandom), key)
    ours = cms.build(_spki(key), b"x", entropy=os.urandom)
    renamed = ours.replace(cms.recipient_id(_spki(key)), cms.recipient_id(_spki(other)))
    with pytest.raises(IntegrityError, match=REFUSED):
        cms.open(renamed, key)


def test_every_way_not_to_open_has_the_same_text(key: rsa.RSAPrivateKey) -> None:
    built = cms.build(_spki(key), bytes(40), entropy=os.urandom)
    envelope = cms.parse(built)
    bad_padding = built.replace(
        envelope.ciphertext, envelope.ciphertext[:-1] + bytes([envelope.ciphertext[-1] ^ 1])
    )
    bad_key = built.replace(envelope.encrypted_key, bytes(256))
    texts = set()
    for data in (b"", built[:-1], built + b"\0", bad_padding, bad_key, bytes(70000), b"\x30\x80" * 20000):
        with pytest.raises(IntegrityError) as caught:
            cms.open(data, key)
        texts.add((str(caught.value), caught.value.__cause__, caught.value.__suppress_context__))
    assert texts == {(REFUSED, None, True)}


@settings(max_examples=300)
@given(data=st.data())
def test_any_change_is_another_plaintext_or_the_one_refusal(
    data: st.DataObject, key: rsa.RSAPrivateKey
) -> None:
    built = bytearray(cms.build(_spki(key), b"secret", entropy=_entropy))
    for _ in range(data.draw(st.integers(1, 3))):
        built[data.draw(st.integers(0, len(built) - 1))] = data.draw(st.integers(0, 255))
    try:
        cms.open(bytes(built), key)
    except IntegrityError as error:
        assert str(error) == REFUSED  # noqa: PT017  opening is allowed too: CBC has no integrity


@given(data=st.binary(max_size=100))
def test_any_bytes_are_an_envelope_or_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        cms.parse(data)


def test_a_recipient_must_be_an_rsa_key() -> None:
    for spki in (b"", b"\x30\x00", bytes.fromhex("302a300506032b6570032100" + "11" * 32)):
        with pytest.raises(MalformedError, match="public key"):
            cms.build(spki, b"x", entropy=os.urandom)
