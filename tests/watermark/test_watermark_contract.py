"""What every store of marks must do, whatever keeps the marks: one suite over a table of stores."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from dynamodb import SLOW_MACHINE, Emulated
from hypothesis import given, settings
from hypothesis import strategies as st

from signatory.errors import UnavailableError, WatermarkError
from signatory.watermark.dynamodb import DynamoStore
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark
from signatory.watermark.store import WatermarkStore

CHAIN, OTHER_CHAIN = "NetXdQprcVkpaWU", "NetXm8tYqnMWky1"
KEY, OTHER_KEY = "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf", "tz4XXtsYav3fZz2FSDa7hcx4F8sh8SaDWNME"
KINDS = ("block", "preattestation", "attestation", "attestation_with_dal")
BOTH_FORMS = [("attestation", "attestation_with_dal"), ("attestation_with_dal", "attestation")]
HIGHEST = 2**31 - 1


@dataclass(frozen=True)
class Rig:
    """`make` gives a store on the same marks each time. `lasting`: they outlive it. `shared`: two at once."""

    make: Callable[[], WatermarkStore]
    lasting: bool
    shared: bool

    async def opened(self) -> WatermarkStore:
        store = self.make()
        await store.open()
        return store


def _file(folder: Path, _: Callable[[], Emulated]) -> Rig:
    return Rig(lambda: FileStore(folder), lasting=True, shared=False)


def _mem(_: Path, __: Callable[[], Emulated]) -> Rig:
    return Rig(MemoryStore, lasting=False, shared=False)


def _dynamodb(_: Path, emulator: Callable[[], Emulated]) -> Rig:
    where = emulator().settings()
    return Rig(lambda: DynamoStore(where, patience=SLOW_MACHINE), lasting=True, shared=True)


STORES = {"file": _file, "mem": _mem, "dynamodb": _dynamodb}


@pytest.fixture(params=STORES)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    found: Rig = STORES[request.param](tmp_path, lambda: request.getfixturevalue("dynamodb"))
    return found


def mark(level: int, round_: int = 0, digit: int = 1) -> Mark:
    return Mark(level, round_, bytes([digit]) * 32)


async def passes(store: WatermarkStore, kind: str, wanted: Mark, chain: str = CHAIN, key: str = KEY) -> bool:
    try:
        await store.advance(chain, key, kind, wanted)
    except WatermarkError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
async def test_a_place_is_passed_once_and_again_only_by_the_same_bytes(rig: Rig, kind: str) -> None:
    store = await rig.opened()
    assert await passes(store, kind, mark(5, 1))
    assert await passes(store, kind, mark(5, 1))
    assert not await passes(store, kind, mark(5, 1, digit=2))
    assert not await passes(store, kind, mark(5, 0))
    assert not await passes(store, kind, mark(4, 9))
    assert await passes(store, kind, mark(5, 2))
    assert not await passes(store, kind, mark(5, 1))
    assert await passes(store, kind, mark(6, 0))
    assert await passes(store, kind, mark(6, 0))
    await store.close()


async def test_the_refusal_has_both_places(rig: Rig) -> None:
    store = await rig.opened()
    await store.advance(CHAIN, KEY, "block", mark(5, 1))
    with pytest.raises(WatermarkError, match="level 4 round 7 is not above level 5 round 1"):
        await store.advance(CHAIN, KEY, "block", mark(4, 7))
    await store.close()


async def test_the_ends_of_the_range_are_compared_and_never_subtracted(rig: Rig) -> None:
    store = await rig.opened()
    assert await passes(store, "block", mark(0, 0))
    assert not await passes(store, "block", mark(0, 0, digit=2))
    assert await passes(store, "block", mark(0, HIGHEST))
    assert not await passes(store, "block", mark(0, 0))
    assert await passes(store, "block", mark(HIGHEST, 0))
    assert not await passes(store, "block", mark(0, HIGHEST))
    assert await passes(store, "block", mark(HIGHEST, HIGHEST))
    assert await passes(store, "block", mark(HIGHEST, HIGHEST))
    assert not await passes(store, "block", mark(HIGHEST, HIGHEST, digit=2))
    assert await store.current(CHAIN, KEY, "block") == mark(HIGHEST, HIGHEST)
    await store.close()


async def test_numbers_are_compared_as_numbers_not_as_text(rig: Rig) -> None:
    store = await rig.opened()
    assert await passes(store, "block", mark(9, 9))
    assert await passes(store, "block", mark(9, 10))
    assert await passes(store, "block", mark(10, 9))
    assert not await passes(store, "block", mark(9, 11))
    await store.close()


async def test_a_place_whose_hash_is_not_known_is_passed_by_nobody(rig: Rig) -> None:
    store = await rig.opened()
    await store.lift({CHAIN: {KEY: {"block": Mark(5, 0, None)}}})
    assert not await passes(store, "block", mark(5))
    assert not await passes(store, "block", Mark(5, 0, None))
    assert await passes(store, "block", mark(5, 1))
    await store.close()


@pytest.mark.parametrize(("first", "second"), BOTH_FORMS)
async def test_both_forms_of_an_attestation_bind_each_other(rig: Rig, first: str, second: str) -> None:
    store = await rig.opened()
    assert await passes(store, first, mark(9, 1))
    assert not await passes(store, second, mark(9, 1, digit=2))
    assert not await passes(store, second, mark(8, 5, digit=2))
    assert await passes(store, second, mark(9, 2, digit=2))
    assert not await passes(store, first, mark(9, 1))
    assert not await passes(store, first, mark(9, 2, digit=3))
    assert await passes(store, second, mark(9, 2, digit=2))
    await store.close()


async def test_both_forms_of_an_attestation_race_and_one_wins(rig: Rig) -> None:
    store = await rig.opened()
    for level in range(1, 6):
        won = await asyncio.gather(
            *(passes(store, kind, mark(level, digit=row)) for row, kind in enumerate(BOTH_FORMS[0] * 3, 1))
        )
        assert sum(won) == 1
    await store.close()


@pytest.mark.parametrize(
    ("older", "kind"),
    [
        ("endorsement", "attestation"),
        ("endorsement", "attestation_with_dal"),
        ("preendorsement", "preattestation"),
    ],
)
async def test_marks_under_the_old_names_still_protect(rig: Rig, older: str, kind: str) -> None:
    store = await rig.opened()
    assert await store.lift({CHAIN: {KEY: {older: mark(5, 1)}}}) == 1
    assert not await passes(store, kind, mark(5, 1, digit=2))
    assert not await passes(store, kind, mark(5, 0))
    assert await store.current(CHAIN, KEY, kind) == mark(5, 1)
    assert await passes(store, kind, mark(5, 2))
    await store.close()


async def test_slots_keys_and_chains_do_not_know_each_other(rig: Rig) -> None:
    store = await rig.opened()
    places = list(
        itertools.product((CHAIN, OTHER_CHAIN), (KEY, OTHER_KEY), ("block", "preattestation", "attestation"))
    )
    for level, (chain, key, kind) in enumerate(places, 10):
        assert await passes(store, kind, mark(level), chain, key)
    for level, (chain, key, kind) in enumerate(places, 10):
        assert await store.current(chain, key, kind) == mark(level)
        assert not await passes(store, kind, mark(level, digit=2), chain, key)
    await store.close()


async def test_the_same_bytes_pass_again_after_other_kinds_moved_on(rig: Rig) -> None:
    store = await rig.opened()
    assert await passes(store, "attestation", mark(5))
    assert await passes(store, "block", mark(9))
    assert await passes(store, "preattestation", mark(9))
    assert await passes(store, "attestation", mark(5))
    await store.close()


async def test_ten_conflicting_marks_at_once_let_exactly_one_through(rig: Rig) -> None:
    store = await rig.opened()
    won = await asyncio.gather(*(passes(store, "block", mark(4, digit=row)) for row in range(1, 11)))
    assert sum(won) == 1
    assert await store.current(CHAIN, KEY, "block") == mark(4, digit=won.index(True) + 1)
    await store.close()


async def test_ten_times_the_same_bytes_at_once_all_pass(rig: Rig) -> None:
    store = await rig.opened()
    assert all(await asyncio.gather(*(passes(store, "block", mark(4)) for _ in range(10))))
    await store.close()


async def test_current_is_the_highest_of_the_slot_and_nothing_where_nothing_was_signed(rig: Rig) -> None:
    store = await rig.opened()
    for kind in KINDS:
        assert await store.current(CHAIN, KEY, kind) is None
    await store.advance(CHAIN, KEY, "attestation", mark(5))
    await store.advance(CHAIN, KEY, "attestation_with_dal", mark(7, 1))
    for kind in BOTH_FORMS[0]:
        assert await store.current(CHAIN, KEY, kind) == mark(7, 1)
    assert await store.current(CHAIN, KEY, "block") is None
    assert await store.current(CHAIN, OTHER_KEY, "attestation") is None
    await store.close()


async def test_what_was_advanced_is_what_is_found_kind_by_kind(rig: Rig) -> None:
    store = await rig.opened()
    assert await store.inspect() == {}
    expected: dict[str, dict[str, dict[str, Mark]]] = {}
    for level, (chain, key, kind) in enumerate(itertools.product((CHAIN, OTHER_CHAIN), (KEY,), KINDS), 3):
        await store.advance(chain, key, kind, mark(level, level))
        expected.setdefault(chain, {}).setdefault(key, {})[kind] = mark(level, level)
    assert await store.inspect() == expected
    await store.close()


async def test_a_lift_raises_and_never_lowers(rig: Rig) -> None:
    store = await rig.opened()
    await store.advance(CHAIN, KEY, "block", mark(10, 2))
    await store.advance(CHAIN, KEY, "attestation", mark(10, 2))
    wanted = {
        CHAIN: {
            KEY: {"block": mark(10, 1, 9), "attestation": mark(10, 3, 9), "preattestation": Mark(1, 0)},
            OTHER_KEY: {"block": mark(0, 0)},
        }
    }
    assert await store.lift(wanted) == 3
    assert await store.lift(wanted) == 0
    assert await store.inspect() == {
        CHAIN: {
            KEY: {"block": mark(10, 2), "attestation": mark(10, 3, 9), "preattestation": Mark(1, 0)},
            OTHER_KEY: {"block": mark(0, 0)},
        }
    }
    assert not await passes(store, "attestation_with_dal", mark(10, 3))
    await store.close()


async def test_a_lift_to_the_same_bytes_leaves_the_mark(rig: Rig) -> None:
    store = await rig.opened()
    await store.advance(CHAIN, KEY, "block", mark(10, 2))
    assert await store.lift({CHAIN: {KEY: {"block": mark(10, 2)}}}) == 0
    assert await passes(store, "block", mark(10, 2))
    await store.close()


@pytest.mark.parametrize("other", [Mark(10, 2, None), mark(10, 2, 9)])
async def test_after_a_lift_to_the_same_place_and_other_bytes_neither_passes(rig: Rig, other: Mark) -> None:
    """Elsewhere other bytes were signed there, and here perhaps the vault failed: each could still come."""
    store = await rig.opened()
    await store.advance(CHAIN, KEY, "block", mark(10, 2))
    for count in (1, 0):
        assert await store.lift({CHAIN: {KEY: {"block": other}}}) == count
    for digit in (1, 9):
        assert not await passes(store, "block", mark(10, 2, digit))
    if rig.lasting:
        await store.close()
        store = await rig.opened()
    assert (await store.inspect())[CHAIN][KEY]["block"] == Mark(10, 2, None)
    assert await passes(store, "block", mark(10, 3))
    await store.close()


async def test_marks_stand_after_a_restart_between_any_two_steps(rig: Rig) -> None:
    if not rig.lasting:
        pytest.skip("these marks live as long as the process, and say so")
    steps = [
        ("block", mark(5)),
        ("attestation", mark(5, 1)),
        ("attestation_with_dal", mark(6)),
        ("block", mark(7)),
    ]
    for kind, wanted in steps:
        store = await rig.opened()
        await store.advance(CHAIN, KEY, kind, wanted)
        await store.close()
        store = await rig.opened()
        assert await store.current(CHAIN, KEY, kind) == wanted
        assert await passes(store, kind, wanted)
        assert not await passes(store, kind, Mark(wanted.level, wanted.round, bytes(32)))
        await store.close()
    store = rig.make()
    assert await store.inspect() == {
        CHAIN: {KEY: {"attestation": mark(5, 1), "attestation_with_dal": mark(6), "block": mark(7)}}
    }
    await store.close()


async def test_opening_twice_and_closing_twice_do_no_harm(rig: Rig) -> None:
    store = await rig.opened()
    await store.advance(CHAIN, KEY, "block", mark(1))
    await store.open()
    assert not await passes(store, "block", mark(1, digit=2))
    await store.close()
    await store.close()


async def test_a_closed_store_lets_nothing_through(rig: Rig) -> None:
    store = await rig.opened()
    await store.close()
    with pytest.raises(UnavailableError):
        await store.advance(CHAIN, KEY, "block", mark(1))


async def test_a_caller_that_goes_away_leaves_a_mark_that_is_whole(rig: Rig) -> None:
    store = await rig.opened()
    for level in range(1, 8):
        task = asyncio.create_task(store.advance(CHAIN, KEY, "block", mark(level)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.advance(CHAIN, KEY, "block", mark(9))
    await store.close()
    if rig.lasting:
        store = await rig.opened()
        assert await store.current(CHAIN, KEY, "block") == mark(9)
        await store.close()


@pytest.mark.parametrize("name", STORES)
@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 1), st.sampled_from([b"a", b"b", None])
        ),
        max_size=12,
    )
)
def test_any_sequence_releases_no_two_hashes_for_one_place(
    name: str,
    steps: list[tuple[str, int, int, bytes | None]],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> None:
    """The model is a plain dictionary of what was released; it knows nothing of marks."""

    async def play() -> None:
        rig = STORES[name](tmp_path_factory.mktemp("marks"), lambda: request.getfixturevalue("dynamodb"))
        store = await rig.opened()
        released: dict[str, list[tuple[tuple[int, int], bytes | None]]] = {}
        for kind, level, round_, letter in steps:
            slot = "attestation" if kind.startswith("attestation") else kind
            hash_ = None if letter is None else kind[-1:].encode() * 31 + letter
            before = released.setdefault(slot, [])
            highest = max((place for place, _ in before), default=(-1, 0))
            fits = (level, round_) > highest or (
                (level, round_) == highest and hash_ is not None and before[-1] == (highest, hash_)
            )
            assert await passes(store, kind, Mark(level, round_, hash_)) == fits
            if fits:
                before.append(((level, round_), hash_))
        await store.close()

    asyncio.run(play())


async def test_two_daemons_on_one_table_let_one_request_through_for_each_place(rig: Rig) -> None:
    if not rig.shared:
        pytest.skip("these marks are held by one process")
    daemons = [await rig.opened() for _ in range(2)]
    for level in range(1, 101):
        won = await asyncio.gather(
            *(passes(daemon, "block", mark(level, digit=row)) for row, daemon in enumerate(daemons * 2, 1))
        )
        assert sum(won) == 1
    assert await daemons[0].inspect() == await daemons[1].inspect()
    for daemon in daemons:
        await daemon.close()


async def test_two_processes_on_one_table_let_one_request_through_for_each_place(dynamodb: Emulated) -> None:
    levels, table = 150, dynamodb.settings().table
    script = Path(__file__).parents[1] / "support" / "racer.py"
    command = [sys.executable, str(script), dynamodb.endpoint, table, CHAIN, KEY]

    def race() -> list[list[int]]:
        racers = [
            subprocess.Popen(
                [*command, digit, str(levels)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for digit in ("1", "2")
        ]
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("go\n")
            racer.stdin.flush()
        ends = [racer.communicate(timeout=100)[0] for racer in racers]
        assert [racer.returncode for racer in racers] == [0, 0]
        return [[int(line) for line in end.split()] for end in ends]

    first, second = await asyncio.to_thread(race)
    assert not set(first) & set(second)
    assert max(first + second) == levels
