"""The supervisor's children: real processes, stopped in order, reaped, and dead when their supervisor is."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.local import processes
from cli.local.processes import ChildDiedError, Children, last_line

SERVE = "import signal; print('listening on x', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE


def start(children: Children, name: str, code: str) -> processes.Child:
    """`timeit` runs the code on its command line: a module that does anything."""
    return children.start(name, "timeit", "-n", "1", "-r", "1", code)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_children_are_stopped_in_reverse_order_and_reaped(tmp_path: Path) -> None:
    children, order = Children(tmp_path), list[str]()

    async def note(child: processes.Child) -> None:
        await child.ended.wait()
        order.append(child.name)

    notes = []
    for name in ("one", "two", "three"):
        child = start(children, name, SERVE)
        await children.listening(child)
        notes.append(asyncio.create_task(note(child)))
    assert await children.stop() == []
    await asyncio.gather(*notes)
    assert order == ["three", "two", "one"]
    assert [child.process.returncode for child in children._all] == [-signal.SIGTERM] * 3


async def test_a_child_that_does_not_listen_to_sigterm_is_killed(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = start(children, "deaf", DEAF)
    await children.listening(child)
    children.hurry.set()
    assert await children.stop() == ["deaf"]
    assert child.process.returncode == -signal.SIGKILL


async def test_a_child_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = start(children, "weak", "import os; print('goodbye', flush=True); os._exit(3)")
    with pytest.raises(ChildDiedError, match="`weak` ended with code 3: goodbye") as caught:
        await children.first_death()
    assert str(child.log) in (caught.value.hint or "")
    await children.stop()


async def test_a_child_that_dies_before_it_listens_is_not_waited_for(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = start(children, "weak", "raise SystemExit('no settings')")
    with pytest.raises(ChildDiedError, match="no settings"):
        await children.listening(child)
    await children.stop()


async def test_logs_are_private_and_the_last_one_is_kept(tmp_path: Path) -> None:
    for text in ("first", "second"):
        children = Children(tmp_path)
        start(children, "one", f"import os; print('{text}', flush=True); os._exit(1)")
        with pytest.raises(ChildDiedError):
            await children.first_death()
        await children.stop()
    names = "one.log.1", "one.log"
    assert [last_line(tmp_path / name) for name in names] == ["first", "second"]
    assert [mode(tmp_path / name) for name in names] == [0o600, 0o600]


async def test_the_operators_aws_settings_do_not_reach_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "precious")
    children = Children(tmp_path)
    start(children, "one", "import os; print(sorted(os.environ), flush=True); os._exit(1)")
    with pytest.raises(ChildDiedError):
        await children.first_death()
    await children.stop()
    assert "PATH" in last_line(tmp_path / "one.log")
    assert "AWS" not in last_line(tmp_path / "one.log")


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from cli.local.processes import Children\n"
        "async def main():\n"
        "    children = Children(Path(sys.argv[1]))\n"
        "    child = children.start('one', 'timeit', '-n', '1', '-r', '1', sys.argv[2])\n"
        "    await children.listening(child)\n"
        "    print(child.process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-I", "-c", supervisor, str(tmp_path), DEAF]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    try:
        assert select.select([child], [], [], 20)[0] == [child]
    finally:
        os.close(child)
