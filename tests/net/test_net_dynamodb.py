"""A table that cannot be reached is told soon; one that is being made has its time."""

import socket

import pytest

from signatory.errors import UnavailableError
from signatory.net.aws import AwsCredentials, Waits
from signatory.net.dynamodb import Patience, Table, TableSettings


async def test_an_endpoint_that_never_answers_ends_the_start_long_before_a_new_table_would() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = TableSettings("marks", "eu-west-1", f"http://127.0.0.1:{port}", AwsCredentials("a", "b"))
    patience = Patience(reach=0.0, creation=3600, first_pause=0.001, waits=Waits(connect=5, read=5, calls=1))
    table = Table(settings, patience)
    with pytest.raises(UnavailableError, match="the DynamoDB table marks cannot be reached") as caught:
        await table.ensure("idx", "request")
    await table.close()
    assert caught.value.hint == "check region and endpoint, and that they can be reached from here"
