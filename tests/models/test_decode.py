import pytest

from babelens.models.batch import CorpusRows, Row
from babelens.models.decode import (
    ShortOfMemory,
    decode_batch,
    decode_corpus,
    decode_rows,
    decode_source,
    ordered_batches,
)
from babelens.models.loading import BatchLoader, Source, Work
from babelens.schema import Entity, Example


def test_batches_go_from_long_to_short_and_hold_every_row_once():
    assert ordered_batches([3, 9, 1, 9, 5], 2) == [[1, 3], [4, 0], [2]]


def test_answers_come_in_the_order_of_the_corpus(tiny_tagger, tmp_path):
    from babelens.data import read_corpus

    sentences = [
        "Anna visited Paris",
        "Köln",
        "Le maire de Lyon a reçu les joueurs du Real Madrid .",
        "Siemens in 2019",
    ]
    blocks = ["\n".join(f"{word}\tO" for word in sentence.split()) for sentence in sentences]
    (tmp_path / "test.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    corpus = read_corpus(tmp_path / "test.txt")
    rows = CorpusRows(corpus)
    one_by_one = [tiny_tagger.decode(tiny_tagger.collator()([rows[n]], labelled=False))[0] for n in range(len(rows))]
    done = []
    entities, status = decode_corpus(tiny_tagger, corpus, batch=2, step=done.append)
    assert entities == one_by_one
    assert any(entities)
    assert status == ["none"] * 4
    assert done == [2, 2]
    assert decode_rows(tiny_tagger, rows, corpus.lengths, batch=3)[0] == one_by_one
    assert decode_corpus(tiny_tagger, corpus, batch=3, workers=1)[0] == one_by_one


def test_one_source_of_a_loader_is_decoded_between_passes_over_another(tiny_tagger):
    training, validation = (
        [Row(Example(sentence, tuple(sentence.split()), ())) for sentence in part]
        for part in (["Anna sang", "Köln"], ["Real Madrid won", "in Paris", "Siemens"])
    )
    direct = [tiny_tagger.decode(tiny_tagger.collator()([row], labelled=False))[0] for row in validation]
    tiny_tagger.train()
    with BatchLoader(
        Source(training, tiny_tagger.collator(), True), Source(validation, tiny_tagger.collator())
    ) as loader:
        for _ in range(2):
            assert [batch.ids for batch in loader.batches([Work([1]), Work([0])])] == [("Köln",), ("Anna sang",)]
            entities, _ = decode_source(tiny_tagger, loader, 1, [3, 2, 1], batch=2)
            assert entities == direct and tiny_tagger.training
    tiny_tagger.eval()


def test_rows_that_memory_does_not_hold_together_are_tagged_in_halves(tiny_tagger, monkeypatch):
    rows = [Row(Example(id=str(number), words=("Anna", "came"), entities=())) for number in range(5)]
    batch = tiny_tagger.collator()(rows, labelled=False)
    seen, room = [], 2

    def decode(part):
        seen.append(len(part.ids))
        if len(part.ids) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes")
        return [(Entity(int(name), int(name) + 1, "PER"),) for name in part.ids]

    monkeypatch.setattr(tiny_tagger, "decode", decode)
    assert [entities[0].start for entities in decode_batch(tiny_tagger, batch)] == [0, 1, 2, 3, 4]
    assert seen == [5, 2, 3, 1, 2]
    room = 0
    with pytest.raises(ShortOfMemory, match=r"out of memory .* with the row 0 of 2 words alone"):
        decode_batch(tiny_tagger, batch)
