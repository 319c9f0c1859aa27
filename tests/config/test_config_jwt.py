"""The users in the file: strong enough, with credentials that can be changed, and never told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.config import load as config
from signatory.config.problems import ConfigProblemsError
from signatory.jwt import Credentials, User, weakness

PASSWORD, SECRET = "Correct-horse-16!", "Battery-staple-of-32-characters!"
OTHER = ('"Another-horse-16!"', '"Another-staple-of-32-characters!"')


def server(user: str, more: str = "") -> str:
    return f"server:\n  address: 127.0.0.1:6732\n{more}  jwt:\n    users:\n      bob: {{{user}}}\n"


def entry(password: str = f'"{PASSWORD}"', secret: str = f'"{SECRET}"', more: str = "") -> str:
    return f"password: {password}, secret: {secret}{more}"


def new(password: str = OTHER[0], secret: str = OTHER[1], more: str = "") -> str:
    return entry(more=f"{more}, new_data: {{password: {password}, secret: {secret}}}")


def problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigProblemsError) as caught:
        config.read(text.encode(), env={})
    for secret in (PASSWORD, SECRET):
        assert secret not in str(caught.value)
    return {".".join(map(str, one.path)): one.text for one in caught.value.problems}


def user(text: str) -> User:
    found = config.policy_of(config.read(text.encode())).users
    assert found is not None
    return found["bob"]


def test_users_are_read_with_their_times() -> None:
    found = user(server(new(more=", jwt_exp: 5, old_cred_exp: 2026-12-31 23:59:59")))
    assert found.credentials == Credentials(PASSWORD, SECRET, 5)
    assert found.successor == Credentials(OTHER[0].strip('"'), OTHER[1].strip('"'), 60)
    assert found.until == datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert user(server(entry(more=", jwt_exp: 0"))).credentials.lifetime == 60


def test_without_the_section_nobody_logs_in_and_with_an_empty_one_nobody_can() -> None:
    assert config.policy_of(config.read(b"")).users is None
    assert config.policy_of(config.read(b"server: {address: ':1', jwt: {}}")).users == {}


def test_no_value_shows_a_secret() -> None:
    found = config.read(server(new()).encode())
    shown = repr(found) + str(found) + repr(config.policy_of(found)) + repr(user(server(new())))
    for secret in (PASSWORD, SECRET, *OTHER):
        assert secret.strip('"') not in shown


NOT_RANDOM = "secret should be a random text, not a key in PEM, DER, SSH or JWK form"
SHORT = "password should be at least 16 characters"
NO_HEADER = "password should have no space at its ends and no control characters: a header cannot carry it"
NO_MOMENT = (
    "JWT: invalid old_cred_exp format for user bob: "
    "write it in UTC and in quotes, such as '2026-12-31 23:59:59'"
)
WEAK = "JWT: config validation failed for user bob: "


@pytest.mark.parametrize(
    ("password", "secret", "text"),
    [
        ("Aa1!aaaaaaaaaaa", SECRET, "password should be at least 16 characters"),
        ("aa1!aaaaaaaaaaaa", SECRET, "password should contain at least one uppercase character"),
        ("AA1!AAAAAAAAAAAA", SECRET, "password should contain at least one lowercase character"),
        ("Aaa!aaaaaaaaaaaa", SECRET, "password should contain at least one digit"),
        ("Aa1aaaaaaaaaaaaa", SECRET, "password should contain at least one special character"),
        ("Aa1äöüaaaaaaaaaa", SECRET, "password should contain at least one special character"),
        (PASSWORD, "Aa1!" + "a" * 27, "secret should be at least 32 characters"),
        (PASSWORD, "a1!" + "a" * 30, "secret should contain at least one uppercase character"),
        (PASSWORD, "Aa1" + "a" * 30, "secret should contain at least one special character"),
        (PASSWORD + " ", SECRET,
         NO_HEADER),
        (PASSWORD + "\\n", SECRET,
         NO_HEADER),
        (PASSWORD, "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB1!", NOT_RANDOM),
        (PASSWORD, '{\\"kty\\": \\"oct\\", \\"k\\": \\"AAAAAAAAAAAAAAA1\\"}', NOT_RANDOM),
    ],
)  # fmt: skip
def test_weak_credentials_are_refused_in_signatorys_words(password: str, secret: str, text: str) -> None:
    assert problems(server(entry(f'"{password}"', f'"{secret}"'))) == {"server.jwt.users.bob": WEAK + text}


def test_signatorys_own_sample_is_too_weak_here_as_there() -> None:
    assert problems(server(entry('"password1"', '"secret1"')))["server.jwt.users.bob"].startswith(WEAK)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (new('"short"'),
         WEAK.replace("for user", "for new credentials of user") + SHORT),
        (new(f'"{PASSWORD}"'), "JWT: new credentials are same as old for user bob"),
        (new(secret=f'"{SECRET}"'), "JWT: new credentials are same as old for user bob"),
        (new(more=", old_cred_exp: tomorrow"),
         NO_MOMENT),
        (new(more=", old_cred_exp: 2026-02-30 00:00:00"),
         NO_MOMENT),
        (new(more=", old_cred_exp: 2026-12-31T00:00:00"),
         NO_MOMENT),
    ],
)  # fmt: skip
def test_new_credentials_are_judged_like_the_old(text: str, wanted: str) -> None:
    assert problems(server(text)) == {"server.jwt.users.bob": wanted}


@pytest.mark.parametrize("minutes", ["-1", "1441", "99999999999", "soon"])
def test_a_token_lasts_a_day_at_most(minutes: str) -> None:
    assert set(problems(server(entry(more=f", jwt_exp: {minutes}")))) == {"server.jwt.users.bob.jwt_exp"}


@pytest.mark.parametrize("name", ['""', '" bob"', '"bob "', '"b\\nb"', '"b\\0b"'])
def test_a_name_that_no_header_can_carry_is_refused(name: str) -> None:
    (text,) = problems(server(entry()).replace("bob", name)).values()
    assert text == "the name of a user must be one that a header can carry"


def test_static_client_keys_and_logins_exclude_each_other() -> None:
    text = "cannot use both JWT and static authorized keys"
    assert problems(server(entry(), "  authorized_keys: []\n")) == {"server.jwt": text}
    assert config.read(server(entry(), "  authorized_keys:\n").encode()).server.jwt is not None


def test_a_secret_may_stand_in_the_environment() -> None:
    text = server(entry('"${PW}"', '"${KEY}"')).encode()
    found = config.policy_of(config.read(text, env={"PW": PASSWORD, "KEY": SECRET})).users
    assert found is not None
    assert found["bob"].credentials == Credentials(PASSWORD, SECRET)
    with pytest.raises(ConfigProblemsError, match="the environment variable KEY is not set"):
        config.read(text, env={"PW": PASSWORD})


@pytest.mark.parametrize(
    ("address", "more", "warned"),
    [(":6732", "", True), ("10.0.0.1:6732", "", True), ("localhost:6732", "", False),
     ('"[::1]:6732"', "", False), (":6732", "  tls: {certificate: /c, key: /k}\n", False)],
)  # fmt: skip
def test_passwords_in_the_clear_are_warned_of(address: str, more: str, warned: bool) -> None:
    text = server(entry(), more).replace("127.0.0.1:6732", address)
    warnings = config.read(text.encode()).warnings
    assert any("cross the network in the clear" in one for one in warnings) is warned


def test_an_end_of_old_credentials_without_new_ones_is_warned_of() -> None:
    (warning,) = config.read(server(entry(more=", old_cred_exp: 2026-12-31 23:59:59")).encode()).warnings
    assert warning == "server.jwt.users.bob: `old_cred_exp` without `new_data` has no effect"


@pytest.mark.parametrize(("written", "warned"), [(entry(), True), (entry('"${PW}"', '"${KEY}"'), False)])
def test_a_file_with_passwords_that_everybody_can_read_is_warned_of(
    tmp_path: Path, written: str, warned: bool
) -> None:
    file = tmp_path / "signatory.yaml"
    file.write_text(server(written))
    file.chmod(0o644)
    warnings = config.load(file, env={"PW": PASSWORD, "KEY": SECRET}).warnings
    assert any("holds secrets and can be read by everybody" in one for one in warnings) is warned


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_is_found_strong_has_the_length_and_four_kinds_of_characters(password: str, secret: str) -> None:
    if weakness(Credentials(password, secret)) is None:
        assert len(password) >= 16
        assert len(secret) >= 32
        for text in (password, secret):
            printable = {one for one in text if " " <= one <= "~"}
            assert any(one.isupper() for one in printable)
            assert any(one.islower() for one in printable)
            assert any(one.isdigit() for one in printable)
            assert any(not one.isalnum() for one in printable)
