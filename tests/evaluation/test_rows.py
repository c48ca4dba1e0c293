import pytest
import torch

from babelens.data import read_corpus
from babelens.evaluation.rows import over_rows
from babelens.models.decode import ShortOfMemory


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Rows of 2, 1, 4, 3 and 1 words."""
    file = tmp_path_factory.mktemp("rows") / "test.txt"
    sentences = ["a b", "c", "d e f g", "h i j", "k"]
    file.write_text("\n\n".join("\n".join(f"{word}\tO" for word in one.split()) for one in sentences) + "\n")
    return read_corpus(file)


def test_each_chosen_row_is_read_once_longest_first_without_gradients(tiny_tagger, corpus):
    modes, steps = [], []

    def read(batch):
        modes.append((torch.is_grad_enabled(), tiny_tagger.training))
        return batch.ids

    tiny_tagger.train()
    try:
        found = list(over_rows(tiny_tagger, corpus, [0, 2, 3, 4], read, batch=3, step=steps.append))
        assert tiny_tagger.training
    finally:
        tiny_tagger.eval()
    assert [numbers for numbers, _ in found] == [[2, 3, 0], [4]]
    assert all(ids == tuple(corpus[number].id for number in numbers) for numbers, ids in found)
    assert modes == [(False, False)] * 2 and steps == [3, 1]
    assert list(over_rows(tiny_tagger, corpus, [], read)) == []


def test_what_memory_does_not_hold_together_is_read_in_halves(tiny_tagger, corpus):
    room = 2

    def read(batch):
        if len(batch.ids) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes")
        return batch.ids

    found = list(over_rows(tiny_tagger, corpus, range(5), read))
    assert [numbers for numbers, _ in found] == [[2, 3], [0], [1, 4]]
    assert all(ids == tuple(corpus[number].id for number in numbers) for numbers, ids in found)
    room = 0
    with pytest.raises(ShortOfMemory, match="of 4 words alone"):
        list(over_rows(tiny_tagger, corpus, [0, 2], read))
    with pytest.raises(ZeroDivisionError):
        list(over_rows(tiny_tagger, corpus, [0], lambda batch: 1 / 0))
