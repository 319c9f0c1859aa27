"""The `watermark:` section: each driver's own keys, judged by name and place, and no secret in a message."""

from pathlib import Path

import pytest

from signatory.config import load as config
from signatory.config.load import ConfigProblemsError
from signatory.config.watermark import WatermarkConfig
from signatory.net.aws import AwsCredentials
from signatory.net.dynamodb import TableSettings


def read(text: str) -> WatermarkConfig:
    return config.read(text.encode()).watermark


def test_without_a_section_marks_are_files_and_have_no_anchor() -> None:
    for text in ("", "watermark:", "watermark: {}", "watermark: {driver: file}", "watermark: {config: {}}"):
        found = read(text)
        assert (found.driver, found.table, found.anchor) == ("file", None, None)


@pytest.mark.parametrize("driver", ["aws", "dynamodb"])
def test_both_names_of_the_table_driver_are_one_and_everything_has_a_default(driver: str) -> None:
    for text in (f"watermark: {{driver: {driver}}}", f"watermark: {{driver: {driver}, config: }}"):
        found = read(text)
        assert (found.driver, found.table) == ("aws", TableSettings("watermark"))


def test_every_key_of_signatory_s_table_driver_is_taken_and_ours_too() -> None:
    found = read(
        """
        watermark:
          driver: aws
          config:
            access_key_id: AKIDEXAMPLE
            secret_access_key: very-secret
            session_token: a-token
            region: eu-west-1
            table: marks.of-baker_1
            endpoint: https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com
            create_table: false
        """
    )
    credentials = AwsCredentials("AKIDEXAMPLE", "very-secret", "a-token")
    endpoint = "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com"
    assert found.table == TableSettings("marks.of-baker_1", "eu-west-1", endpoint, credentials, create=False)
    assert "very-secret" not in f"{found!r} {found.table!r}"
    assert "a-token" not in f"{found!r} {found.table!r}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{driver: awz}",
            "watermark.driver (line 1): there is no watermark driver `awz`; did you mean `aws`?",
        ),
        ("{driver: gcp}", "watermark.driver (line 1): the watermark driver `gcp` is not available"),
        ("{driver: gcp, config: {project: p}}", "`gcp` is not available"),
        ("{driver: aws, config: {tabel: x}}", "config.tabel (line 1): unknown key; did you mean `table`?"),
        (
            "{driver: aws, config: {anchor: {file: /x/y}}}",
            "config.anchor (line 1): is no key of the driver `aws`",
        ),
        ("{driver: file, config: {table: marks}}", "config.table (line 1): is no key of the driver `file`"),
        ("{driver: mem, config: {table: marks}}", "config.table (line 1): is no key of the driver `mem`"),
        ("{driver: mem, config: {more: 1}}", "watermark.config.more (line 1): unknown key"),
        ("{driver: aws, config: [1]}", "watermark.config (line 1): must be a mapping"),
        ("{driver: aws, config: {table: ab}}", "config.table (line 1): must be 3 to 255 letters"),
        ("{driver: aws, config: {table: a b c}}", "config.table (line 1): must be 3 to 255 letters"),
        ("{driver: aws, config: {table: 12345}}", "config.table (line 1): must be text"),
        ("{driver: aws, config: {region: 'eu west'}}", "config.region (line 1): must be an AWS region"),
        (
            "{driver: aws, config: {create_table: maybe}}",
            "config.create_table (line 1): must be true or false",
        ),
        ("{driver: aws, config: {access_key_id: AKID}}", "come together or not at all"),
        ("{driver: aws, config: {secret_access_key: top-secret}}", "come together or not at all"),
        ("{driver: aws, config: {session_token: top-secret}}", "is of no use"),
        ("{config: {anchor: {}}}", "config.anchor (line 1): needs either `file: PATH` or `dynamodb:`"),
        ("{config: {anchor: {file: /a/b, dynamodb: }}}", "needs either"),
        ("{config: {anchor: {file: anchor.json}}}", "config.anchor.file (line 1): must be a whole path"),
        ("{config: {anchor: {file: /mnt/}}}", "config.anchor.file (line 1): must be a whole path"),
        (
            "{config: {anchor: {dynamodb: {key: a/b}}}}",
            "config.anchor.dynamodb.key (line 1): must be 1 to 64",
        ),
        ("{config: {anchor: {dynamo: }}}", "anchor.dynamo (line 1): unknown key; did you mean `dynamodb`?"),
        ("{config: {anchor: /mnt/x}}", "config.anchor (line 1): must be a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_no_secret(text: str, told: str) -> None:
    with pytest.raises(ConfigProblemsError) as caught:
        read(f"watermark: {text}")
    assert told in str(caught.value)
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:8000",
        "http://localhost:8000/",
        "http://[::1]:8000",
        "https://dynamodb.eu-west-1.amazonaws.com",
    ],
)
def test_an_endpoint_is_https_or_on_loopback(endpoint: str) -> None:
    found = read(f"watermark: {{driver: aws, config: {{endpoint: '{endpoint}'}}}}").table
    assert found is not None
    assert found.endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://10.0.0.1:8000",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "ftp://127.0.0.1",
        "127.0.0.1:8000",
        "https://",
        "https://user:top-secret@example.com",
        "https://example.com/path",
        "https://example.com?x=top-secret",
        "https://example.com#x",
        "https://example.com:0",
        "https://example.com:99999",
        "https://[::1",
    ],
)
def test_any_other_endpoint_is_refused_without_being_repeated(endpoint: str) -> None:
    with pytest.raises(ConfigProblemsError, match=r"watermark\.config\.endpoint") as caught:
        read(f"watermark: {{driver: aws, config: {{endpoint: '{endpoint}'}}}}")
    assert "top-secret" not in str(caught.value)


def test_several_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigProblemsError) as caught:
        read("watermark: {driver: aws, config: {tabel: x, region: 'A', endpoint: x}}")
    assert len(caught.value.problems) == 3


def test_an_anchor_is_a_file_or_an_item_with_defaults_of_its_own() -> None:
    by_file = read("watermark: {config: {anchor: {file: /mnt/other/anchor.json}}}").anchor
    assert by_file is not None
    assert (by_file.file, by_file.dynamodb) == ("/mnt/other/anchor.json", None)
    for text in ("{anchor: {dynamodb: }}", "{anchor: {dynamodb: {}}}"):
        by_item = read(f"watermark: {{config: {text}}}").anchor
        assert by_item is not None
        assert by_item.dynamodb is not None
        assert (by_item.dynamodb.key, by_item.dynamodb.settings) == ("default", TableSettings("watermark"))


def test_an_unknown_key_can_be_let_pass_and_is_told() -> None:
    text = b"watermark: {driver: aws, config: {tabel: x, table: marks}}"
    found = config.read(text, allow_unknown=True)
    assert found.watermark.table == TableSettings("marks")
    assert any("watermark.config.tabel" in warning for warning in found.warnings)


def test_a_secret_can_come_from_the_environment() -> None:
    text = b"watermark: {driver: aws, config: {access_key_id: AKID, secret_access_key: '${KEY_OF_AWS}'}}"
    found = config.read(text, env={"KEY_OF_AWS": "from-there"}).watermark.table
    assert found is not None
    assert found.credentials == AwsCredentials("AKID", "from-there")
    with pytest.raises(ConfigProblemsError, match="the environment variable KEY_OF_AWS is not set"):
        config.read(text, env={})


def test_a_file_with_a_written_secret_that_everybody_can_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "signatory.yaml"
    block = "access_key_id: AKID, secret_access_key: {secret}"
    for secret, told in (("written-out", True), ("'${KEY_OF_AWS}'", False)):
        path.write_text(f"watermark: {{driver: aws, config: {{{block.format(secret=secret)}}}}}")
        path.chmod(0o644)
        warnings = config.load(path, env={"KEY_OF_AWS": "x"}).warnings
        assert any("holds secrets" in warning for warning in warnings) is told
