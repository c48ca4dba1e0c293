import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
import torch
from PIL import Image

from babelens.data import ImageError, Problem, read_corpus
from babelens.models import loading
from babelens.models.batch import CorpusRows, Row
from babelens.models.checkpoint import new_tagger
from babelens.models.draw import Epoch
from babelens.models.loading import AHEAD, BatchLoader, Source, Work, WorkerError, _portable
from babelens.schema import Example, TagSet

ROWS = [("1", "Anna/B-PER visited/O Paris/B-LOC"), ("2", "Köln/B-LOC"), ("9", "Nobody/O came/O"), ("1", "Anna/B-PER")]


def write(folder):
    (folder / "images").mkdir()
    for number in (1, 2):  # picture 9 is missing on purpose
        picture = Image.new("RGB", (50, 40), (80 * number, 10, 200 - 60 * number))
        picture.paste((255, 255, 255), (0, 0, 10, 10))  # so that it matters how a picture is cut
        picture.save(folder / "images" / f"{number}.jpg")
    blocks = [f"IMGID:{image}\n" + "\n".join(word.replace("/", "\t") for word in text.split()) for image, text in ROWS]
    (folder / "train.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("corpus")
    write(made)
    return made


@pytest.fixture(scope="module")
def tagger(tiny_tagger):
    """The tiny tagger with a view that sees pictures cut anew in each epoch."""
    clip, resnet = tiny_tagger.model.backbone.views
    augmented = msgspec.structs.replace(clip, regions=msgspec.structs.replace(clip.regions, augmented=True))
    backbone = msgspec.structs.replace(tiny_tagger.model.backbone, views=(augmented, resnet))
    words = [[word.split("/")[0] for word in text.split()] for _, text in ROWS]
    return new_tagger(
        msgspec.structs.replace(tiny_tagger.model, backbone=backbone), TagSet(("LOC", "PER")), lambda: words
    )


def sources(folder, tagger, strict=False):
    rows = CorpusRows(read_corpus(folder / "train.txt", strict_images=strict))
    return Source(rows, tagger.collator(), labelled=True), Source(rows, tagger.collator(1 << 20))


@pytest.fixture(scope="module")
def workers(folder, tagger):
    with BatchLoader(*sources(folder, tagger), workers=2) as loader:
        yield loader


WORK = [Work([2, 0]), Work([1]), Work([3, 1, 0]), Work([0]), Work([3]), Work([2, 3]), Work([1, 2])]


def tensors(value):
    """What a batch is made of, in plain values and tensors."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.tolist()
    if isinstance(value, tuple):
        return [tensors(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: tensors(getattr(value, field.name)) for field in fields(value)}
    return value


@pytest.mark.parametrize("count", [0, 2])
def test_batches_are_those_made_one_by_one_in_every_epoch_and_source(folder, tagger, workers, count):
    labelled, plain = sources(folder, tagger)
    with BatchLoader(*sources(folder, tagger)) as thread:
        loader = workers if count else thread
        counts = dict(loader.sources[0].rows.corpus.picture_counts)
        seen = []
        for number in range(2):
            work = [one._replace(epoch=Epoch(5, number)) for one in WORK]
            seen.append([tensors(batch) for batch in loader.batches(work)])
            assert seen[-1] == [tensors(labelled.batch(one)) for one in work]
        assert seen[0] != seen[1]
        after = loader.sources[0].rows.corpus.picture_counts
        opened = {status: after[status] - counts.get(status, 0) for status in after}
        assert opened == labelled.rows.corpus.picture_counts == {"used": 16, "missing": 6}
        found = [tensors(batch) for batch in loader.batches(WORK[:3], source=1)]
        assert found == [tensors(plain.batch(one)) for one in WORK[:3]]
        assert list(loader.batches([])) == []


def test_workers_live_over_passes_and_leave_the_random_numbers_of_this_process_alone(workers):
    next(workers.batches(WORK))
    before = {child.pid for child in multiprocessing.active_children()}
    state = torch.get_rng_state()
    for _ in range(2):
        assert len(list(workers.batches(WORK))) == len(WORK)
    assert {child.pid for child in multiprocessing.active_children()} == before
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("count", [0, 2])
def test_a_pass_that_is_begun_ends_the_one_before(folder, tagger, workers, count):
    with BatchLoader(*sources(folder, tagger)) as thread:
        loader = workers if count else thread
        first = loader.batches(WORK)
        next(first)
        second = loader.batches(WORK[2:4])
        assert [batch.ids for batch in second] == [loader.sources[0].batch(one).ids for one in WORK[2:4]]
        with pytest.raises(RuntimeError, match="one pass"):
            list(first)


def test_an_interrupt_is_left_to_this_process(workers):
    passing = workers.batches(WORK)
    next(passing)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGINT)
    assert len(list(passing)) == len(WORK) - 1
    assert len(list(workers.batches(WORK))) == len(WORK)


@pytest.mark.parametrize("count", [0, 1])
def test_errors_come_as_what_they_are_and_the_next_pass_goes_on(folder, tagger, count):
    strict = sources(folder, tagger, strict=True)
    with pytest.raises(ImageError) as direct:
        strict[0].batch(Work([2]))
    with BatchLoader(*strict, workers=count) as loader:
        passing = loader.batches([Work([0]), Work([2]), Work([1])])
        assert next(passing).status == ("used",)
        with pytest.raises(ImageError) as found:
            next(passing)
        assert str(found.value) == str(direct.value)
        assert found.value.problems == direct.value.problems
        assert [batch.status for batch in loader.batches([Work([1]), Work([3])])] == [("used",)] * 2
        # An error of this program is one, too: it is no worker that ended.
        with pytest.raises(IndexError):
            list(loader.batches([Work([99])]))
        assert loader.sources[0].rows.corpus.picture_counts["missing"] >= 1


def test_a_killed_worker_ends_the_pass_with_what_to_do_and_leaves_no_process(folder, tagger):
    before = {child.pid for child in multiprocessing.active_children()}
    with (
        pytest.raises(WorkerError, match=r"data worker ended.*fewer workers \(training.workers, found 2\)") as error,
        BatchLoader(*sources(folder, tagger), workers=2) as loader,
    ):
        passing = loader.batches(WORK * 50)
        next(passing)
        own = {child.pid for child in multiprocessing.active_children()} - before
        assert len(own) == 2
        os.kill(min(own), signal.SIGKILL)
        list(passing)
    assert error.value.exit_code == 3
    assert {child.pid for child in multiprocessing.active_children()} == before
    assert not any(alive(pid) for pid in own)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Counting:
    """Rows that note when they are asked for; row 7 cannot be read."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 20

    def __getitem__(self, number):
        self.asked.append(number)
        if number == 7:
            raise OSError("no such row")
        return Row(Example(str(number), ("a",), ()))


@pytest.mark.parametrize(("cores", "ahead"), [(5, AHEAD), (4, 0)])
def test_a_thread_makes_so_many_batches_ahead_where_a_core_is_left_for_it(tiny_tagger, monkeypatch, cores, ahead):
    monkeypatch.setattr(loading, "_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    rows = Counting()
    with BatchLoader(Source(rows, tiny_tagger.collator())) as loader:
        passing = loader.batches([Work([number]) for number in range(20)])
        assert rows.asked == []
        for number in range(3):
            assert next(passing).ids == (str(number),)
            deadline = time.monotonic() + 10
            while len(rows.asked) < number + 1 + ahead and time.monotonic() < deadline:
                time.sleep(0.001)
            assert rows.asked == list(range(number + 1 + ahead))
        with pytest.raises(OSError, match="no such row"):
            list(passing)
        assert max(rows.asked) <= 7 + ahead


def test_a_closed_loader_ends_its_pass_and_its_thread(tiny_tagger):
    loader = BatchLoader(Source(Counting(), tiny_tagger.collator()))
    passing = loader.batches([Work([number]) for number in range(5)])
    next(passing)
    loader.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(passing)
    loader.close()


def test_errors_can_be_sent_with_where_they_were_raised():
    def sent(error):
        try:
            raise error
        except Exception as caught:
            return pickle.loads(pickle.dumps(_portable(caught)))

    class Local(ValueError):
        pass

    image = sent(ImageError([Problem(Path("a.jpg"), None, "a readable picture", "none")]))
    assert isinstance(image, ImageError) and image.problems[0].found == "none"
    assert str(image) == "a.jpg: expected a readable picture, found none"
    assert "in sent" in image.__notes__[0]
    local = sent(Local("odd"))
    assert type(local) is RuntimeError and str(local) == "Local: odd"
    assert isinstance(sent(MemoryError()), MemoryError)


ORPHANING = """
    import multiprocessing, os, signal, sys
    from babelens.data import read_corpus
    from babelens.models.batch import CorpusRows
    from babelens.models.checkpoint import load_tagger
    from babelens.models.loading import BatchLoader, Source, Work

    if __name__ == "__main__":
        rows = CorpusRows(read_corpus(sys.argv[1]))
        loader = BatchLoader(Source(rows, load_tagger(sys.argv[2]).collator()), workers=2)
        next(loader.batches([Work([0])] * 100))
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), int(sys.argv[3]))
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, 0])
def test_workers_do_not_outlive_a_process_whatever_ends_it(folder, tiny_folder, tmp_path, number):
    script = tmp_path / "orphaning.py"
    script.write_text(textwrap.dedent(ORPHANING))
    command = [sys.executable, str(script), str(folder / "train.txt"), str(tiny_folder), str(int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    pids = [int(pid) for pid in ended.stdout.split()]
    assert len(pids) == 2, ended.stderr
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))
