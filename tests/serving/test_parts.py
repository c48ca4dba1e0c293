"""The parts of the service by themselves: headers of pictures, frames, processes, batches, budgets."""

import asyncio
import io
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from babelens.prediction.ask import PLAIN, Ask
from babelens.schema import InputError
from babelens.serving import frames
from babelens.serving.batching import Batcher
from babelens.serving.child import Child, ChildGone
from babelens.serving.decoding import PixelBudget
from babelens.serving.engine import ModelRow, Reply
from babelens.serving.frames import read_frame, write_frame
from babelens.serving.picture_header import read_header
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Flow, read_token


@pytest.mark.parametrize(
    "options",
    [
        {"format": "PNG"},
        {"format": "GIF"},
        {"format": "JPEG"},
        {"format": "JPEG", "progressive": True},
        {"format": "WEBP"},
        {"format": "WEBP", "lossless": True},
        {"format": "WEBP", "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"},
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (17, 300), (1030, 5)])
def test_a_header_is_that_which_pillow_reads(options, size):
    file = io.BytesIO()
    Image.new("RGB", size, (7, 8, 9)).save(file, **options)
    header = read_header(file.getvalue())
    with Image.open(file) as image:
        assert (header.format, header.width, header.height) == (image.format, *image.size)


@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF0000WEBP", b""]), st.binary(max_size=60)
)
def test_any_bytes_have_a_header_or_are_refused(start, rest):
    try:
        header = read_header(start + rest)
    except Refusal as refusal:
        assert refusal.status in (415, 422)
    else:
        assert header.width > 0 and header.height > 0


@given(st.lists(st.lists(st.binary(max_size=40), max_size=3)))
def test_frames_come_out_as_they_went_in(frames):
    stream = io.BytesIO()
    for parts in frames:
        write_frame(stream, *parts)
    stream.seek(0)
    assert [bytes(read_frame(stream) or b"") for _ in frames] == [b"".join(parts) for parts in frames]
    assert read_frame(stream) is None


@pytest.mark.parametrize("content", [b"\0", b"\0" * 7 + b"\5abc", b"\xff" * 8])
def test_a_broken_frame_is_noticed(content):
    with pytest.raises((EOFError, ValueError)):
        read_frame(io.BytesIO(content))


ECHO = (
    "import sys; from babelens.serving.frames import *\n"
    "while (frame := read_frame(sys.stdin.buffer)) is not None:\n"
    "    if frame == b'wait': import time; time.sleep(60)\n"
    "    if frame == b'die': import os; os._exit(1)\n"
    "    write_frame(sys.stdout.buffer, frame)\n"
)


def test_a_child_answers_dies_and_is_ended_in_time():
    child = Child([sys.executable, "-c", ECHO])
    large = bytes(range(256)) * 20_000
    assert child.ask(b"a", large, seconds=60.0) == b"a" + large
    started = time.monotonic()
    with pytest.raises(ChildGone):
        child.ask(b"wait", seconds=0.1)
    assert time.monotonic() - started < 30
    child.close()
    child = Child([sys.executable, "-c", ECHO])
    with pytest.raises(ChildGone):
        child.ask(b"die")
    with pytest.raises(ChildGone):
        child.ask(large)
    child.close()


def test_the_program_of_the_model_says_what_it_is_or_why_there_is_none(tiny_folder, tmp_path):
    """The real program, as the service starts it."""
    import msgspec

    from babelens.serving.engine import Facts
    from babelens.serving.model import ModelProcess, model_command
    from babelens.serving.settings import Settings

    command = model_command(Settings(str(tmp_path / "none"), device="cpu"))
    assert command[-2:] == [str(tmp_path / "none"), "cpu"]
    model = ModelProcess(Settings(str(tiny_folder), device="cpu", threads=1))

    async def ask() -> list[Reply]:
        await model.start()
        return list(await model.answer([row("Anna"), row("Paris"), ModelRow(None, None, None, None, (), PLAIN)]))

    replies = asyncio.run(ask())
    model.close()
    assert isinstance(model.facts, Facts) and model.facts.threads == 1
    assert [reply.status for reply in replies] == [200, 200, 422]
    assert msgspec.json.decode(replies[1].body)["text"] == "Paris"


def test_an_exported_model_tells_its_size_and_answers_without_regions(tiny_tagger, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    import msgspec

    from babelens.prediction.export import export_tagger
    from babelens.prediction.onnx_engine import load_exported
    from babelens.prediction.predictor import Predictor
    from babelens.serving.engine import Facts, answer_frames

    export_tagger(tiny_tagger, tmp_path / "out", text_only=True)
    asked, said = io.BytesIO(), io.BytesIO()
    write_frame(asked, msgspec.msgpack.encode([ModelRow("Anna", None, None, None, (), Ask(regions=True))]))
    asked.seek(0)
    answer_frames(Predictor(load_exported(tmp_path / "out")), "out", asked, said)
    said.seek(0)
    facts = msgspec.msgpack.decode(read_frame(said), type=Facts)
    assert facts.parameters == sum(weights.numel() for weights in tiny_tagger.parameters())
    assert facts.views == () and "onnxruntime" in facts.versions
    [reply] = msgspec.msgpack.decode(read_frame(said), type=list[Reply])
    assert reply.status == 200 and msgspec.json.decode(reply.body)["text"] == "Anna"


def row(text: str) -> ModelRow:
    return ModelRow(text, None, None, None, (), PLAIN)


class Model:
    """Notes the batches that it is given."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[str | None]] = []
        self.seconds = seconds

    async def __call__(self, rows) -> list[Reply]:
        self.batches.append([row.text for row in rows])
        await asyncio.sleep(self.seconds)
        return [Reply((row.text or "").encode()) for row in rows]


def batches(words: list[int], flow: Flow, cancelled=()) -> list[list[str | None]]:
    """The batches that rows of so many words are put into, which are all there at once."""

    async def run() -> None:
        batcher = Batcher(model, flow, lambda *_: None)
        waiting = [batcher.put(row(str(number)), count) for number, count in enumerate(words)]
        for number in cancelled:
            waiting[number].reply.cancel()
        task = asyncio.create_task(batcher.run())
        replies = [await one.reply for number, one in enumerate(waiting) if number not in cancelled]
        task.cancel()
        assert [reply.body.decode() for reply in replies] == [str(n) for n in range(len(words)) if n not in cancelled]
        assert batcher.words == 0 and batcher.dropped == len(cancelled)
        assert batcher.rate is not None and batcher.rate > 0

    model = Model()
    asyncio.run(run())
    return model.batches


def test_a_batch_is_bounded_by_rows_and_by_words_with_their_padding():
    assert batches([1] * 5, Flow(batch_rows=2)) == [["0", "1"], ["2", "3"], ["4"]]
    assert batches([4, 4, 5, 1, 1], Flow(batch_words=10)) == [["0", "1"], ["2", "3"], ["4"]]
    assert batches([100, 1], Flow(batch_words=10)) == [["0"], ["1"]]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 60))
def test_batches_keep_the_order_and_their_bounds(words, rows, most):
    made = batches(words, Flow(batch_rows=rows, batch_words=most, wait=0))
    assert [text for batch in made for text in batch] == [str(number) for number in range(len(words))]
    for batch in made:
        longest = max(words[int(text)] for text in batch if text)
        assert len(batch) == 1 or (len(batch) <= rows and longest * len(batch) <= most)


def test_rows_that_nobody_waits_for_are_dropped():
    assert batches([1] * 4, Flow(batch_rows=2), cancelled=(0, 2)) == [["1", "3"]]


def test_a_row_waits_for_company_but_not_for_long():
    async def run(wait: float) -> list[list[str | None]]:
        model = Model()
        batcher = Batcher(model, Flow(wait=wait), lambda *_: None)
        task = asyncio.create_task(batcher.run())
        first = batcher.put(row("a"), 1)
        await asyncio.sleep(0.05)
        second = batcher.put(row("b"), 1)
        await asyncio.gather(first.reply, second.reply)
        task.cancel()
        return model.batches

    assert asyncio.run(run(2.0)) == [["a", "b"]]
    assert asyncio.run(run(0.0)) == [["a"], ["b"]]


def test_a_batch_that_fails_fails_for_those_who_wait_for_it_only():
    async def run() -> None:
        async def answer(rows):
            if rows[0].text == "bad":
                raise Refusal(503, "gone")
            return [Reply(b"") for _ in rows]

        batcher = Batcher(answer, Flow(batch_rows=1), lambda *_: None)
        task = asyncio.create_task(batcher.run())
        bad, good = batcher.put(row("bad"), 1), batcher.put(row("good"), 1)
        with pytest.raises(Refusal):
            await bad.reply
        assert (await good.reply).status == 200
        task.cancel()

    asyncio.run(run())


def test_pixels_are_bounded_over_all_requests_and_given_in_order():
    async def run() -> None:
        budget, order = PixelBudget(10), []

        async def hold(name: str, size: int, seconds: float) -> None:
            await budget.take(size)
            order.append(name)
            assert budget.held <= 10
            await asyncio.sleep(seconds)
            budget.give(size)

        with pytest.raises(Refusal):
            await budget.take(11)
        tasks = [asyncio.create_task(hold(*one)) for one in (("a", 8, 0.02), ("b", 8, 0.01), ("c", 1, 0.0))]
        await asyncio.sleep(0.005)
        gone = asyncio.create_task(hold("gone", 9, 0.0))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(*tasks)
        assert order == ["a", "b", "c"] and budget.held == 0

    asyncio.run(run())


def test_the_web_side_never_imports_torch():
    program = "import sys, babelens.serving.server as s; assert 'torch' not in sys.modules and s.serve"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_token_comes_from_a_file_or_a_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELENS_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("BABELENS_TOKEN", "abc")
    assert read_token(None) == "abc"
    (tmp_path / "token").write_text("s3cret\n")
    assert read_token(str(tmp_path / "token")) == "s3cret"
    for bad in ("", " \n", "a b", "ключ"):
        (tmp_path / "token").write_text(bad)
        with pytest.raises(InputError, match="token"):
            read_token(str(tmp_path / "token"))


def test_flags_and_variables_become_settings(monkeypatch):
    import typer
    from typer.testing import CliRunner

    from babelens.cli.serve import serve
    from babelens.serving import server

    given = []
    monkeypatch.setattr(server, "serve", lambda settings: given.append(settings) or 0)
    for name, value in {"PORT": "81", "ALLOW_IMAGE_URLS": "a.example, *.b.example", "TOKEN": "t", "LOG": "0"}.items():
        monkeypatch.setenv(f"BABELENS_{name}", value)
    app = typer.Typer()
    app.command()(serve)
    flags = ["model", "--wait", "5", "--words", "70", "--body", "2", "--decode-memory", "100", "--deadline", "90"]
    result = CliRunner().invoke(app, flags, catch_exceptions=False)
    assert result.exit_code == 0
    (settings,) = given
    assert (settings.model, settings.port, settings.token, settings.log_requests) == ("model", 81, "t", False)
    assert settings.url_hosts == ("a.example", "*.b.example") and not settings.log_texts
    assert (settings.flow.wait, settings.flow.words, settings.limits.body) == (0.005, 70, 2 << 20)
    assert settings.limits.decode_memory == 100 << 20 and settings.limits.longest_deadline == 90
    monkeypatch.setenv("BABELENS_ALLOW_IMAGE_URLS", "10.0.0.1")
    with pytest.raises(InputError, match="host"):
        CliRunner().invoke(app, ["model"], catch_exceptions=False)


def test_nothing_here_pickles():
    sources = Path(frames.__file__).parent.glob("*.py")
    assert not [path.name for path in sources if re.search(r"import (pickle|multiprocessing)", path.read_text())]


def test_answers_are_sent_at_once():
    # asyncio sets TCP_NODELAY on connections of such listeners alone.
    from babelens.serving.server import _listen

    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
