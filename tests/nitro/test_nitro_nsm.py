"""The NSM's CBOR, against bytes of the reference sheet and against cbor2's own reading."""

from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError, UnavailableError
from signatory.nitro import nsm

REGISTER = bytes(range(48))
DESCRIPTION = nsm.Description(
    "i-0123456789abcdef0-enc0123456789abcdef", (1, 0, 0), 32, tuple(range(16)), "SHA384"
)

NSM_ITEM: dict[str, object] = {
    "version_major": 1,
    "version_minor": 0,
    "version_patch": 0,
    "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
    "max_pcrs": 32,
    "locked_pcrs": list(range(16)),
    "digest": "SHA384",
}

EXCHANGES: list[tuple[nsm.Request, object, nsm.Reply, object]] = [
    (nsm.GetRandom(), "GetRandom", b"\x07" * 256, {"GetRandom": {"random": b"\x07" * 256}}),
    (
        nsm.DescribeNsm(),
        "DescribeNSM",
        DESCRIPTION,
        {"DescribeNSM": NSM_ITEM},
    ),
    (
        nsm.DescribePcr(0),
        {"DescribePCR": {"index": 0}},
        nsm.Register(True, REGISTER),
        {"DescribePCR": {"lock": True, "data": REGISTER}},
    ),
    (
        nsm.ExtendPcr(16, b"image"),
        {"ExtendPCR": {"index": 16, "data": b"image"}},
        REGISTER,
        {"ExtendPCR": {"data": REGISTER}},
    ),
    (nsm.LockPcr(16), {"LockPCR": {"index": 16}}, None, "LockPCR"),
    (nsm.LockPcrs(20), {"LockPCRs": {"range": 20}}, None, "LockPCRs"),
    (
        nsm.Attestation(None, None, b"key"),
        {"Attestation": {"user_data": None, "nonce": None, "public_key": b"key"}},
        b"document",
        {"Attestation": {"document": b"document"}},
    ),
]


@pytest.mark.parametrize(("request_", "request_item", "reply", "reply_item"), EXCHANGES)
def test_each_request_and_reply_is_what_the_device_speaks_at_both_ends(
    request_: nsm.Request, request_item: object, reply: nsm.Reply, reply_item: object
) -> None:
    assert nsm.encode_request(request_) == cbor2.dumps(request_item)
    assert nsm.decode_request(cbor2.dumps(request_item)) == request_
    assert nsm.encode_reply(request_, reply) == cbor2.dumps(reply_item)
    assert nsm.decode_reply(request_, cbor2.dumps(reply_item)) == reply


@pytest.mark.parametrize(
    ("request_", "encoded"),
    [
        (nsm.GetRandom(), "6947657452616e646f6d"),
        (nsm.DescribeNsm(), "6b44657363726962654e534d"),
        (nsm.DescribePcr(0), "a16b4465736372696265504352a165696e64657800"),
    ],
)
def test_requests_have_the_bytes_of_the_reference(request_: nsm.Request, encoded: str) -> None:
    assert nsm.encode_request(request_).hex() == encoded


@pytest.mark.parametrize(("request_", "request_item", "reply", "reply_item"), EXCHANGES)
def test_a_reply_cut_anywhere_is_malformed(
    request_: nsm.Request, request_item: object, reply: nsm.Reply, reply_item: object
) -> None:
    whole = cbor2.dumps(reply_item)
    for size in range(len(whole)):
        with pytest.raises(MalformedError):
            nsm.decode_reply(request_, whole[:size])


def test_the_answer_to_something_else_is_malformed() -> None:
    for request_, *_ in EXCHANGES:
        for other, _, _, reply_item in EXCHANGES:
            if type(other) is not type(request_):
                with pytest.raises(MalformedError, match="answered"):
                    nsm.decode_reply(request_, cbor2.dumps(reply_item))


@pytest.mark.parametrize("code", ["ReadOnlyIndex", "InputTooLarge", "InternalError", "InvalidOperation"])
def test_a_refusal_keeps_its_code(code: nsm.ErrorCode) -> None:
    assert nsm.encode_error(code) == cbor2.dumps({"Error": code})
    with pytest.raises(nsm.NsmError) as caught:
        nsm.decode_reply(nsm.LockPcr(0), cbor2.dumps({"Error": code}))
    assert caught.value.code == code
    assert isinstance(caught.value, UnavailableError)
    assert str(caught.value) == f"the Nitro security module refused LockPCR: {code}"


@pytest.mark.parametrize(
    "item",
    [
        {"Error": "Success"},
        {"Error": "NoSuchCode"},
        {"Error": 1},
        "Error",
        "GetRandom",
        {"GetRandom": None},
        {"GetRandom": {"random": b""}},
        {"GetRandom": {"random": b"x" * 257}},
        {"GetRandom": {"random": "text"}},
        {"GetRandom": {"random": b"x", "more": 1}},
        {"GetRandom": {}},
        {"GetRandom": {"random": b"x"}, "Error": "InternalError"},
        [],
        7,
    ],
)
def test_a_random_reply_is_one_to_256_bytes_or_malformed(item: object) -> None:
    with pytest.raises(MalformedError):
        nsm.decode_reply(nsm.GetRandom(), cbor2.dumps(item))


@pytest.mark.parametrize(
    "item",
    [
        "LockPCR",
        "Attestation",
        {"GetRandom": {}},
        {"DescribePCR": {"index": -1}},
        {"DescribePCR": {"index": 65536}},
        {"DescribePCR": {"index": True}},
        {"LockPCRs": {"index": 1}},
        {"Attestation": {"user_data": None, "nonce": None}},
        {"Attestation": {"user_data": "text", "nonce": None, "public_key": None}},
        {"Unknown": {}},
        {"ExtendPCR": {"index": 16, "data": b"x" * 4096}},
    ],
)
def test_the_device_refuses_requests_of_any_other_form(item: object) -> None:
    with pytest.raises(MalformedError):
        nsm.decode_request(cbor2.dumps(item))


def test_registers_have_48_bytes() -> None:
    for request_, item in (
        (nsm.DescribePcr(0), {"DescribePCR": {"lock": True, "data": bytes(32)}}),
        (nsm.ExtendPcr(16, b""), {"ExtendPCR": {"data": bytes(64)}}),
    ):
        with pytest.raises(MalformedError, match="48"):
            nsm.decode_reply(request_, cbor2.dumps(item))


@pytest.mark.parametrize(
    ("request_", "item"),
    [
        (nsm.LockPcr(16), {"LockPCR": {}}),
        (nsm.DescribePcr(0), {"DescribePCR": {"lock": 1, "data": REGISTER}}),
        (nsm.DescribeNsm(), {"DescribeNSM": {"module_id": "i"}}),
        (nsm.DescribeNsm(), {"DescribeNSM": {**NSM_ITEM, "locked_pcrs": 15}}),
        (nsm.DescribeNsm(), {"DescribeNSM": {**NSM_ITEM, "module_id": b"i"}}),
    ],
)
def test_a_field_of_another_type_is_malformed(request_: nsm.Request, item: object) -> None:
    with pytest.raises(MalformedError):
        nsm.decode_reply(request_, cbor2.dumps(item))


def test_a_reply_of_another_kind_is_not_sent() -> None:
    with pytest.raises(MalformedError, match="does not answer"):
        nsm.encode_reply(nsm.DescribeNsm(), b"bytes")


def test_a_request_that_the_driver_would_refuse_is_not_made() -> None:
    assert len(nsm.encode_request(nsm.Attestation(bytes(1024), bytes(1024), bytes(1024)))) < nsm.MAX_REQUEST
    with pytest.raises(MalformedError, match="4096"):
        nsm.encode_request(nsm.Attestation(user_data=bytes(4096)))


@given(data=st.binary(max_size=80))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with suppress(MalformedError):
        nsm.decode_request(data)
    for request_, *_ in EXCHANGES:
        try:
            nsm.decode_reply(request_, data)
        except (MalformedError, nsm.NsmError):
            continue
