"""Real processes, really killed: what they released is below what the next one finds."""

import asyncio
import json
import random
import shutil
import sys
from pathlib import Path

import pytest
from mark_samples import CHAIN, ahead, mark, opened, written

from signatory.errors import WatermarkError
from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark

LIVES = 30
HELPER = Path(__file__).with_name("killed_signer.py")
Released = list[tuple[str, int]]
ROOT = Path(__file__).parents[2]


async def test_a_signer_that_is_killed_again_and_again_never_released_more_than_it_kept(
    tmp_path: Path,
) -> None:
    chance = random.Random(11)  # noqa: S311 - no secret
    base = tmp_path / "base"
    base.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HELPER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    total = 0
    for life in range(LIVES):
        process.stdin.write(f"{base} {chance.randrange(300)}\n".encode())
        released = json.loads(await process.stdout.readline())
        total += len(released)
        await seen_by_a_command(base, released)
        await check(shutil.copytree(base, tmp_path / f"{life}"), released)
        if life % 3 == 0:  # else the next life starts on what the killed one left
            await check(base, released)
    process.stdin.close()
    assert await process.wait() == 0
    assert total > 1000


async def seen_by_a_command(base: Path, released: Released) -> None:
    """Without the lock, and without a change."""
    found = await FileStore(base).inspect()
    for key, level in released:
        assert found[CHAIN][key]["block"].level >= level


async def check(base: Path, released: Released) -> None:
    assert ahead(base).exists() or not released
    store = await opened(base)
    for key, level in released:
        with pytest.raises(WatermarkError):
            await store.advance(CHAIN, key, "block", mark(level, digit=9))
    for key in {key for key, _ in released}:
        now = await store.current(CHAIN, key, "block")
        assert now is not None
        assert now == Mark(now.level, 0, now.level.to_bytes(32, "big"))
        await store.advance(CHAIN, key, "block", now)
    await store.close()
    assert not ahead(base).exists()
    if released:
        rows = json.loads(written(base).read_bytes())
        assert all(rows[key]["block"]["level"] >= level for key, level in released)


async def test_two_processes_never_hold_one_folder(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from signatory.watermark.file import FileStore\n"
        "try: asyncio.run(FileStore(Path(sys.argv[1])).open())\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert output.decode().startswith("UnavailableError another process holds")
    await store.close()
