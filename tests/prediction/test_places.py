"""Places of entities in texts: `text[start:end]` is the entity, for every row of the real data."""

from pathlib import Path

import pytest

from babelens.prediction.inputs import Rows
from babelens.prediction.predictor import Predictor
from babelens.prediction.stream import Pace, stream_answers

PARTS = [
    "event-tweets/tweets.jsonl",
    "mmnerd-en/test.txt",
    "twitter2015/test.txt",
    "twitter2017/test.txt",
    "directories-fr/test.txt",
    *(f"xlime-tweets/{language}.txt" for language in ("de", "es")),
    *(f"wikineural/{language}/test.txt" for language in ("de", "en", "es", "fr")),
    *(f"wikiann/{language}/test.txt" for language in ("de", "en", "es", "fr")),
]


@pytest.fixture(scope="module")
def reader(tiny_tagger):
    """A tagger of text alone that finds many entities of one word or several."""
    import torch

    from babelens.models.checkpoint import new_tagger

    torch.manual_seed(3)
    text = new_tagger(tiny_tagger.model.text_only(), tiny_tagger.tags, lambda: [["Anna", "Paris", "the", "tag"]])
    with torch.no_grad():
        text.head.scores.weight.mul_(8)
        for begun in range(1, len(text.tags), 2):  # B-TYPE; I-TYPE stands after it
            text.head.get_parameter("transitions")[[begun, begun + 1], begun + 1] += 4
    return Predictor(text)


def first(file: Path, rows: int, folder: Path) -> Path:
    """The first rows of a file as a file of their own: what a large one is read for would be most of the time."""
    end = "\n" if file.suffix == ".jsonl" else "\n\n"
    text = file.read_text(encoding="utf-8")
    (folder / file.name).write_text(end.join(text.split(end)[:rows]) + end, encoding="utf-8")
    return folder / file.name


def look(predictor: Predictor, rows) -> tuple[int, int]:
    """Look at every entity of the answers to rows; returns how many there are, and how many of several words."""
    entities = several = 0
    for answer in stream_answers(predictor, rows, Pace(64, makers=0)):
        assert answer.error is None
        end = 0
        for mention in answer.entities:
            assert end <= mention.start < mention.end <= len(answer.text)
            assert answer.text[mention.start : mention.end] == mention.text
            end = mention.end
            entities += 1
            several += " " in mention.text
    return entities, several


@pytest.mark.shared
@pytest.mark.parametrize("part", PARTS)
def test_every_entity_of_real_rows_stands_at_its_place(reader, shared, part, tmp_path):
    entities, several = look(reader, Rows(str(first(shared / part, 300, tmp_path))))
    assert entities > 300 and several > 20


@pytest.mark.shared
@pytest.mark.long
def test_every_entity_of_all_real_rows_stands_at_its_place(reader, shared):
    files = sorted([*shared.rglob("*.jsonl"), *shared.rglob("*.txt")])
    assert len(files) >= len(PARTS)
    for file in files:
        entities, several = look(reader, Rows(str(file)))
        assert entities > 20 and several > 1, file
