"""The settings file: what it takes, and that everything wrong is said at once."""

import hashlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.local import laptop_ca
from enclave_signer.roots import AMAZON, pinned_roots, tls_context
from enclave_signer.settings import Limits, load
from signatory.errors import ConfigError
from signatory.net.vsock import Address
from signatory.nitro.kms import Arn
from signatory.nitro.sealed import Scheme

ARN = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def fingerprint(tmp_path: Path) -> str:
    return laptop_ca.prepare(tmp_path, "kms.localhost", datetime.now(UTC))


def _text(fingerprint: str, **changed: str) -> str:
    values = {
        "kms_key_arns": f'["{ARN}"]',
        "tls_roots": f'["{fingerprint}"]',
        "tls_roots_file": '"ca.pem"',
        "nsm": '"/dev/nsm"',
        "listen": '"vsock://any:2000"',
        "proxy": '"vsock://3:8000"',
    } | changed
    limits = values.pop("limits", "")
    return "".join(f"{name} = {value}\n" for name, value in values.items() if value) + f"[limits]\n{limits}"


def _write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_a_minimal_file_has_the_usual_limits_and_the_host_of_the_region(
    tmp_path: Path, fingerprint: str
) -> None:
    found = load(_write(tmp_path, _text(fingerprint)))
    assert found.kms_keys == (Arn.parse(ARN),)
    assert found.host(found.kms_keys[0]) == "kms.us-west-2.amazonaws.com"
    assert (found.listen, found.proxy) == (
        Address("vsock", str(2**32 - 1), 2000),
        Address("vsock", "3", 8000),
    )
    assert found.nsm == "/dev/nsm"
    assert found.limits == Limits()
    assert (found.limits.frame_before, found.limits.frame_after, found.limits.connections) == (
        65536,
        1048576,
        64,
    )
    assert (found.limits.in_flight, found.limits.kms_connections, found.limits.kms_clock_skew) == (
        64,
        8,
        3600,
    )
    assert not found.reference_protocol
    assert found.schemes == (Scheme.KMS_GDK, Scheme.KMS_ENVELOPE)
    assert found.release == "unnamed"


def test_every_limit_and_the_endpoint_can_be_set(tmp_path: Path, fingerprint: str) -> None:
    limits = (
        "frame_before = 100\nframe_after = 5000\nread_timeout = 1\nconnections = 2\nkeys = 3\n"
        "kms_timeout = 1.5\nkms_attempts = 4\nkms_connections = 5\nkms_clock_skew = 0\nin_flight = 6\n"
    )
    found = load(
        _write(tmp_path, _text(fingerprint, limits=limits, endpoint='"kms.localhost"', nsm='"unix:/n"'))
    )
    assert found.limits == Limits(100, 5000, 1.0, 2, 3, 1.5, 4, 5, 0.0, 6)
    assert found.host(found.kms_keys[0]) == "kms.localhost"
    assert found.nsm == "unix:/n"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kms_key_arns": ""}, "kms_key_arns is missing"),
        ({"kms_key_arns": "[]"}, "kms_key_arns: a list with at least one text is needed"),
        ({"kms_key_arns": '["alias/x"]'}, "kms_key_arns: 'alias/x' is not the ARN of a KMS key"),
        ({"kms_key_arns": f'["{ARN}", "{ARN}"]'}, "twice"),
        ({"kms_key_arns": f'["{ARN}", "{OTHER}"]', "endpoint": '"kms.localhost"'}, "of several regions"),
        ({"endpoint": '"https://kms"'}, "endpoint: 'https://kms' is not a host name"),
        ({"endpoint": '"KMS.localhost"'}, "is not a host name in lower case"),
        ({"endpoint": '"kms.localhost:443"'}, "without a port"),
        ({"tls_roots": '["AB"]'}, "64 lower-case hex digits"),
        ({"tls_roots": f'["{"ab" * 32}"]'}, "no certificate in the file has the fingerprint " + "ab" * 32),
        ({"tls_roots_file": '"nowhere.pem"'}, "No such file"),
        ({"nsm": '"/dev/null"'}, "neither /dev/nsm nor unix:/path"),
        ({"listen": '"2000"'}, "listen: '2000' is not an address"),
        ({"proxy": "8000"}, "proxy: a text is needed"),
        ({"reference_protocol": '"maybe"'}, "reference_protocol: 'maybe' is neither on nor off"),
        ({"reference_protocol": "true"}, "reference_protocol: a text is needed"),
        ({"reference_protocol": '"on"'}, "seals by kms-encrypt-v0, which schemes does not list"),
        ({"schemes": "[]"}, "schemes: a list with at least one text is needed"),
        ({"schemes": '"kms-gdk-v1"'}, "schemes: a list"),
        ({"schemes": '["kms-gdk-v2"]'}, "schemes: 'kms-gdk-v2' is not a scheme (there are: kms-encrypt-v0, "),
        ({"schemes": '["kms-gdk-v1", "kms-gdk-v1"]'}, "twice"),
        ({"release": '""'}, "release: a text is needed"),
        ({"release": '"v1 of today"'}, "release: 1 to 64 letters, digits"),
        ({"release": f'"{"v" * 65}"'}, "release: 1 to 64 letters, digits"),
        (
            {"kms_key_arns": f'["{ARN.replace("us-west-2", "us-west-2.evil")}"]'},
            "is not the ARN of a KMS key",
        ),
        ({"colour": '"blue"'}, "colour is not a setting"),
        ({"limits": "frames = 1\n"}, "limits.frames is not a setting"),
        ({"limits": "connections = 0\n"}, "limits.connections: an integer from 1 to 4096 is needed"),
        ({"limits": "read_timeout = 0\n"}, "limits.read_timeout: seconds above 0"),
        ({"limits": "keys = true\n"}, "limits.keys: an integer"),
        ({"limits": "in_flight = 0\n"}, "limits.in_flight: an integer from 1 to 4096"),
        ({"limits": "kms_connections = 65\n"}, "limits.kms_connections: an integer from 1 to 64"),
        ({"limits": "kms_clock_skew = -1\n"}, "limits.kms_clock_skew: seconds from 0 to 86400"),
        ({"limits": "kms_clock_skew = 86401\n"}, "limits.kms_clock_skew: seconds from 0 to 86400"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, fingerprint: str, changed: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(_write(tmp_path, _text(fingerprint, **changed)))
    assert words in caught.value.message


def test_the_reference_protocol_is_served_where_its_scheme_is_listed(
    tmp_path: Path, fingerprint: str
) -> None:
    schemes = '["kms-envelope-v1", "kms-encrypt-v0"]'
    text = _text(fingerprint, schemes=schemes, reference_protocol='"on"', release='"2026.11+a_b:c-1"')
    found = load(_write(tmp_path, text))
    assert found.reference_protocol
    assert found.schemes == (Scheme.KMS_ENVELOPE, Scheme.KMS_ENCRYPT)
    assert found.release == "2026.11+a_b:c-1"
    off = load(_write(tmp_path, _text(fingerprint, schemes=schemes, reference_protocol='"off"')))
    assert not off.reference_protocol


NAMES = {
    "Amazon_Root_CA_1": "Amazon Root CA 1",
    "Amazon_Root_CA_2": "Amazon Root CA 2",
    "Amazon_Root_CA_3": "Amazon Root CA 3",
    "Amazon_Root_CA_4": "Amazon Root CA 4",
    "Starfield_Services_Root_Certificate_Authority_-_G2": (
        "Starfield Services Root Certificate Authority - G2"
    ),
}


def test_without_a_list_the_roots_are_amazon_s_five(tmp_path: Path) -> None:
    files = [Path("/etc/ssl/certs") / f"{name}.pem" for name in NAMES]
    if not all(file.exists() for file in files):
        pytest.skip("this system's trust store does not have Amazon's roots as files")
    (tmp_path / "ca.pem").write_bytes(b"".join(file.read_bytes() for file in reversed(files)))
    found = load(_write(tmp_path, _text("", tls_roots="")))
    context = tls_context(found.roots)
    subjects = [dict(part[0] for part in root["subject"])["commonName"] for root in context.get_ca_certs()]
    digests = [hashlib.sha256(root).hexdigest() for root in context.get_ca_certs(binary_form=True)]
    assert dict(zip(subjects, digests, strict=True)) == dict(zip(NAMES.values(), AMAZON, strict=True))
    # A file without one of them is not enough.
    (tmp_path / "ca.pem").write_bytes(b"".join(file.read_bytes() for file in files[1:]))
    with pytest.raises(ConfigError, match=f"no certificate in the file has the fingerprint {AMAZON[0]}"):
        load(tmp_path / "settings.toml")


def test_everything_wrong_is_said_at_once(tmp_path: Path, fingerprint: str) -> None:
    text = _text(fingerprint, nsm='"x"', listen='"y"', colour="1", limits="keys = 0\nspeed = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(_write(tmp_path, text))
    for name in ("nsm:", "listen:", "colour is not", "limits.keys:", "limits.speed is not"):
        assert name in caught.value.message


def test_what_is_not_toml_or_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not TOML"):
        load(_write(tmp_path, "a = "))
    (tmp_path / "settings.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(tmp_path / "settings.toml")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(_write(tmp_path, "a = " + "[" * 100_000))
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "other.toml")
    (tmp_path / "settings.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load(tmp_path / "settings.toml")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_file_is_settings_or_a_configuration_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "any.toml").write_bytes(data)
    with pytest.raises(ConfigError):
        load(tmp_path / "any.toml")


def test_only_the_listed_roots_of_the_file_are_trusted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    wanted = laptop_ca.prepare(tmp_path / "a", "kms.localhost", datetime.now(UTC))
    laptop_ca.prepare(tmp_path / "b", "kms.localhost", datetime.now(UTC))
    both = b"text between\n".join((tmp_path / name / "ca.pem").read_bytes() for name in "ab")
    context = tls_context(pinned_roots(both, [wanted]))
    (trusted,) = context.get_ca_certs(binary_form=True)
    assert hashlib.sha256(trusted).hexdigest() == wanted
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@given(pem=st.binary(max_size=300))
def test_no_file_has_a_root_that_is_not_in_it(pem: bytes) -> None:
    with pytest.raises(ConfigError):
        pinned_roots(pem, ["ab" * 32])


def test_a_root_that_is_no_certificate_is_refused() -> None:
    pem = b"-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n"
    text = pinned_roots(pem, [hashlib.sha256(b"abc").hexdigest()])
    with pytest.raises(ConfigError, match="is not a certificate"):
        tls_context(text)
