"""Log lines as the reference shows them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from signatory.observe import log


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """Whatever `configure` does to the process is undone."""
    handlers, level, source = list(logging.root.handlers), logging.root.level, logging._srcfile
    switches = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging._srcfile = source
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = switches


def lines(level: str = "info", *, as_json: bool = False) -> io.StringIO:
    stream = io.StringIO()
    log.configure(level, as_json=as_json, stream=stream)
    return stream


def test_text_has_sorted_fields_and_quotes_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    stream = lines()
    logging.getLogger("a").warning(
        "Hello %s",
        "you",
        extra={
            "zeta": 1,
            "vault": "Mem",
            "ops": {"b": 2, "a": 1},
            "quoted": 'a "b"\n',
            "empty": "",
            "yes": True,
        },
    )
    time_, _, rest = stream.getvalue().partition(" ")
    assert time_.startswith('time="20')
    assert rest == (
        'level=warning msg="Hello you" empty= ops="map[a:1 b:2]" '
        'quoted="a \\"b\\"\\n" vault=Mem yes=true zeta=1\n'
    )


def test_json_is_one_sorted_object_per_line() -> None:
    stream = lines(as_json=True)
    logging.getLogger("a").info("M", extra={"fields": {"pkh": "tz1", "ops": {"reveal": 1}}})
    line = json.loads(stream.getvalue())
    assert list(line) == sorted(line)
    assert (line["level"], line["msg"], line["pkh"], line["ops"]) == ("info", "M", "tz1", {"reveal": 1})


@pytest.mark.parametrize("extra", [{"backend": "file"}, {"fields": {"backend": "file"}}])
def test_one_field_alone_is_shown_like_many(extra: dict[str, object]) -> None:
    stream = lines()
    logging.getLogger("a").info("x", extra=extra)
    assert stream.getvalue().endswith("msg=x backend=file\n")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (7, "7ns"),
        (1_000, '"1µs"'),
        (75_232, '"75.232µs"'),
        (999_999, '"999.999µs"'),
        (1_500_000, "1.5ms"),
        (1_000_000_000, "1s"),
        (10_003_126_068, "10.003126068s"),
        (60_000_000_000, "1m0s"),
        (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it_and_in_json_in_nanoseconds(
    nanoseconds: int, text: str
) -> None:
    plain = lines()
    logging.getLogger("a").info("x", extra={"fields": {"duration": log.Duration(nanoseconds)}})
    packed = lines(as_json=True)
    logging.getLogger("a").info("x", extra={"fields": {"duration": log.Duration(nanoseconds)}})
    assert plain.getvalue().endswith(f"msg=x duration={text}\n")
    assert json.loads(packed.getvalue())["duration"] == nanoseconds


def test_the_request_id_comes_by_itself() -> None:
    stream = lines()
    token = log.request_id.set("r-1")
    logging.getLogger("a").info("x")
    log.request_id.reset(token)
    assert stream.getvalue().endswith("msg=x request_id=r-1\n")


def test_an_exception_shows_its_place_and_type_but_none_of_its_words() -> None:
    stream = lines()
    try:
        int("edsk-secret")
    except ValueError:
        logging.getLogger("a").exception("Internal error")
    assert "edsk-secret" not in stream.getvalue()
    assert "error_type=ValueError" in stream.getvalue()
    assert "test_observe_log.py:" in stream.getvalue()


def test_a_field_cannot_start_a_new_line() -> None:
    stream = lines()
    logging.getLogger("a").info("path\r\nlevel=error", extra={"path": "/\x1b[31m\ud800\u2028"})
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_no_control_character_of_a_client_reaches_the_terminal_in_json_either() -> None:
    stream, text = lines(as_json=True), "/\x1b[31m\x7f\x9b31m\u202e\u2028\ud800"
    logging.getLogger("a").info(text, extra={"path": text})
    assert stream.getvalue().isascii()
    assert stream.getvalue().removesuffix("\n").isprintable()
    assert json.loads(stream.getvalue())["path"] == text


def test_levels_filter_and_trace_is_below_debug() -> None:
    stream = lines("warn")
    logging.getLogger("a").info("no")
    logging.getLogger("a").error("yes")
    assert "msg=yes" in stream.getvalue()
    assert "msg=no" not in stream.getvalue()
    assert log.LEVELS["trace"] < logging.DEBUG
    with pytest.raises(KeyError):
        log.configure("loud")
