import json
import multiprocessing
import os
import resource
import signal
import time
from random import Random

import pytest

from babelens.data.journal import DiskFull, Journal, JournalError, differences, locked

IDENTITY = {"step": "upper", "options": {"seed": 1}, "input": "ab12"}
ROWS = [f"row {number} {'x' * (number % 37)}" for number in range(60)]
LONG, SHORT = ("\n".join(f"{row.upper()} {number}" for number, row in enumerate(ROWS)), "".join(r[0] for r in ROWS))


class Crash(BaseException):
    """Stands for the end of the process."""


def write(folder, every=7, rows=ROWS, identity=IDENTITY):
    """Two files from the rows, going on where an earlier call was stopped."""
    goals = [folder / "long.txt", folder / "short.txt"]
    with Journal(goals, identity) as journal:
        if not journal.whole:
            count = journal.state.get("count", 0)
            assert count == journal.done
            for number in range(journal.done, len(rows)):
                journal.write(0, f"{rows[number].upper()} {number}\n".encode())
                journal.write(1, rows[number][:1].encode())
                count += 1
                if count % every == 0:
                    journal.checkpoint(count, {"count": count})
        journal.finish()
    return [goal.read_text() for goal in goals]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_appear_together_and_nothing_else_is_left(tmp_path):
    assert write(tmp_path) == [LONG + "\n", SHORT]
    assert names(tmp_path) == ["long.txt", "short.txt"]


def test_a_stop_at_any_system_call_leaves_what_can_be_gone_on_with(tmp_path, monkeypatch):
    left = None

    def counted(call):
        def wrapped(*arguments, **options):
            nonlocal left
            if left is not None:
                left -= 1
                if left < 0:
                    raise Crash
            return call(*arguments, **options)

        return wrapped

    monkeypatch.setattr(os, "fsync", counted(lambda file: None))  # the kernel outlives a process, and disks are slow
    for name in ("write", "replace", "ftruncate", "lseek"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    stops = 0
    for stop in range(1000):
        folder = tmp_path / str(stop)
        folder.mkdir()
        left = stop
        try:
            write(folder, every=16)
        except Crash:
            left, stops = stop // 2, stops + 1  # a second stop, while it goes on
            try:
                write(folder, every=16)
            except Crash:
                left = None
                assert not {"long.txt", "short.txt"} <= set(names(folder)) or ".long.txt.journal" in names(folder)
                write(folder)
        else:
            break
        left = None
        assert [(folder / name).read_text() for name in ("long.txt", "short.txt")] == [LONG + "\n", SHORT]
        assert names(folder) == ["long.txt", "short.txt"]
    assert stops > 30


def slowly(folder):
    goals = [folder / "long.txt", folder / "short.txt"]
    with Journal(goals, IDENTITY) as journal:
        for number in range(journal.done, len(ROWS)):
            journal.write(0, f"{ROWS[number].upper()} {number}\n".encode())
            journal.write(1, ROWS[number][:1].encode())
            journal.checkpoint(number + 1, {"count": number + 1})
            time.sleep(0.002)
        journal.finish()


def test_sigkill_loses_and_doubles_nothing(tmp_path):
    draw, killed = Random(7), 0
    journal = tmp_path / ".long.txt.journal"
    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(target=slowly, args=(tmp_path,))
        before = json.loads(journal.read_bytes())["done"] if journal.exists() else 0
        process.start()
        wanted = before + draw.randint(1, 15)
        while process.is_alive() and not (journal.exists() and json.loads(journal.read_bytes())["done"] >= wanted):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert json.loads(journal.read_bytes())["done"] >= wanted
    assert killed == 3
    assert write(tmp_path) == [LONG + "\n", SHORT]


def test_other_work_is_refused_and_what_differs_is_named(tmp_path):
    with Journal([tmp_path / "long.txt", tmp_path / "short.txt"], IDENTITY) as journal:
        journal.write(0, b"a")
        journal.checkpoint(1)
    other = {**IDENTITY, "options": {"seed": 2}}
    with pytest.raises(JournalError, match=r"options\.seed: 2, was 1"):
        write(tmp_path, identity=other)
    with pytest.raises(JournalError, match="files"), Journal([tmp_path / "long.txt"], IDENTITY):
        pass
    assert (tmp_path / ".long.txt.part").read_bytes() == b"a"


def test_what_follows_the_last_checkpoint_is_cut(tmp_path):
    with Journal([tmp_path / "out"], IDENTITY) as journal:
        journal.write(0, b"kept")
        journal.checkpoint(1)
        journal.write(0, b"x" * (3 << 20))  # more than is held back in memory
    part = tmp_path / ".out.part"
    assert part.stat().st_size > 1 << 20
    with Journal([tmp_path / "out"], IDENTITY) as journal:
        assert (journal.done, part.read_bytes()) == (1, b"kept")


def test_a_part_that_was_cut_from_outside_is_an_error(tmp_path):
    with Journal([tmp_path / "out"], IDENTITY) as journal:
        journal.write(0, b"kept")
        journal.checkpoint(1)
    (tmp_path / ".out.part").write_bytes(b"k")
    with pytest.raises(JournalError, match="expected at least 4 bytes, found 1"), Journal([tmp_path / "out"], IDENTITY):
        pass
    (tmp_path / ".out.journal").write_bytes(b"{")
    with pytest.raises(JournalError, match="expected a journal"), Journal([tmp_path / "out"], IDENTITY):
        pass


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    with Journal([tmp_path / "out"], IDENTITY) as journal:
        with pytest.raises(JournalError, match="another process is writing this"):
            write_one(tmp_path)
        journal.write(0, b"first")
        journal.finish()
    write_one(tmp_path)
    assert (tmp_path / "out").read_bytes() == b"second"


def write_one(folder):
    with Journal([folder / "out"], IDENTITY) as journal:
        journal.write(0, b"second")
        journal.finish()


def count_up(folder, times):
    for _ in range(times):
        while True:
            try:
                with locked(folder / "number"):
                    value = int((folder / "number").read_text())
                    (folder / "number").write_text(str(value + 1))
                break
            except JournalError:
                time.sleep(0.0005)


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_up, args=(tmp_path, 40)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "number").read_text() == "120"
    assert names(tmp_path) == ["number"]


def on_a_small_disk(folder, size, pipe):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        write(folder, every=5)
    except DiskFull as error:
        pipe.send((error.exit_code, str(error)))


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=on_a_small_disk, args=(tmp_path, 600, theirs))
    process.start()
    process.join()
    code, message = ours.recv()
    assert code == 3
    assert "the disk is full" in message and "run the same command to go on" in message
    done = json.loads((tmp_path / ".long.txt.journal").read_bytes())["done"]
    assert 0 < done < len(ROWS) and f"first {done} rows" in message
    assert write(tmp_path) == [LONG + "\n", SHORT]


def test_discarded_work_leaves_nothing(tmp_path):
    with Journal([tmp_path / "out"], IDENTITY) as journal:
        journal.write(0, b"a")
        journal.checkpoint(1)
        journal.discard()
    assert names(tmp_path) == []


def test_differences_are_named_by_their_path():
    before, now = {"a": {"b": 1, "c": [1]}, "d": None}, {"a": {"b": 2, "c": [1]}, "e": "x"}
    assert differences(before, now) == ["a.b: 2, was 1", "e: 'x', was None"]
