"""AWS credentials by the default chain, without AWS."""

from pathlib import Path

import pytest

from signatory.errors import ConfigError, UnavailableError
from signatory.net.aws import AwsCredentials, Waits, client, default_credentials


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


async def test_the_environment_comes_first_and_an_empty_token_is_none() -> None:
    env = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": ""}
    found = await default_credentials(env | {"AWS_DEFAULT_REGION": "eu-west-1"})
    assert (found.access_key_id, found.secret_access_key) == ("AKID", "secret")
    assert (found.session_token, found.region) == (None, "eu-west-1")
    assert "secret" not in repr(found)
    assert "AKID" not in repr(found)


async def test_a_profile_s_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(
        "[signer]\naws_access_key_id = AKIDFILE\naws_secret_access_key = filed\naws_session_token = token\n"
    )
    (tmp_path / "config").write_text("[profile signer]\nregion = us-west-2\n")
    monkeypatch.setenv("AWS_PROFILE", "signer")
    found = await default_credentials()
    assert (found.access_key_id, found.session_token, found.region) == ("AKIDFILE", "token", "us-west-2")


async def test_none_at_all_is_said_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"^no AWS credentials were found$") as caught:
        await default_credentials()
    assert "AWS_ACCESS_KEY_ID" in (caught.value.hint or "")


async def test_a_profile_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UnavailableError, match="nobody"):
        await default_credentials()


WRITTEN = AwsCredentials("AKID", "very-secret", "token")


def test_a_client_needs_a_region_and_takes_the_written_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no AWS region is known"):
        client("dynamodb", credentials=WRITTEN, region=None, endpoint=None, waits=Waits())
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for region, used in ((None, "us-east-1"), ("eu-west-1", "eu-west-1")):
        made = client("dynamodb", credentials=WRITTEN, region=region, endpoint=None, waits=Waits())
        assert made.meta.region_name == used
        made.close()


def test_a_client_without_any_credentials_is_refused_before_its_first_call() -> None:
    with pytest.raises(ConfigError, match="no AWS credentials were found"):
        client("dynamodb", credentials=None, region="eu-west-1", endpoint=None, waits=Waits())


def test_a_client_never_tries_twice_by_itself_and_waits_as_told() -> None:
    made = client(
        "dynamodb", credentials=WRITTEN, region="eu-west-1", endpoint=None, waits=Waits(1.5, 2.5, calls=7)
    )
    settings = made.meta.config
    assert settings.retries["total_max_attempts"] == 1
    assert (settings.connect_timeout, settings.read_timeout, settings.max_pool_connections) == (1.5, 2.5, 7)
    made.close()
