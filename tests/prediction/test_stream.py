import threading

import pytest
from PIL import Image

from babelens.data.images import Picture
from babelens.models.batch import Row
from babelens.prediction.ask import Ask
from babelens.prediction.predictor import Predictor
from babelens.prediction.rows import Unread, text_row
from babelens.prediction.stream import Pace, length_groups, stream_answers


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


def rows(number, opened=None):
    """Rows of many lengths; some have no words, some a picture, some could not be read."""

    def open(key):
        if opened is not None:
            opened.add(threading.get_ident())
        return Picture(key, Image.new("RGB", (40, 30), (int(key) * 40, 9, 200)), "used")

    for n in range(number):
        row = text_row(" ".join(["Anna", "Paris", "Real Madrid"][: n % 4] * (1 + n % 5)), id=str(n))
        if n % 7 == 6:
            yield Unread(str(n), "broken")
        else:
            yield Row(row.example, (str(n % 5),), open) if n % 3 == 0 else row


def plain(answers):
    return [
        (answer.id, answer.error, answer.image_status, [(m.start, m.end, m.type) for m in answer.entities])
        for answer in answers
    ]


@pytest.fixture(scope="module")
def singly(predictor):
    """The answers to 70 rows, each read alone: what blocks of 32 are compared with."""
    return [answer for row in rows(70) for answer in stream_answers(predictor, [row], Pace(1, makers=0))]


@pytest.mark.parametrize("makers", [0, 1, 3])
@pytest.mark.parametrize("number", [0, 1, 31, 33, 70])
def test_whoever_makes_the_batches_the_answers_are_those_of_each_row_alone(predictor, singly, makers, number):
    alone = singly[:number]
    found = list(stream_answers(predictor, rows(number), Pace(2, makers=makers)))
    assert plain(found) == plain(alone)
    for one, two in zip(found, alone, strict=True):
        assert [m.score for m in one.entities] == pytest.approx([m.score for m in two.entities], abs=1e-5)


def test_pictures_are_opened_by_the_makers(predictor):
    opened = set()
    list(stream_answers(predictor, rows(60, opened), Pace(2, makers=2)))
    assert opened and threading.get_ident() not in opened
    opened = set()
    list(stream_answers(predictor, rows(60, opened), Pace(2, makers=0)))
    assert opened == {threading.get_ident()}


def test_what_fails_in_a_maker_is_told_and_no_thread_stays(predictor):
    def broken(key):
        raise RuntimeError("the disk is gone")

    before = threading.active_count()
    row = text_row("Anna in Paris")
    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(stream_answers(predictor, [Row(row.example, ("a",), broken)] * 5, Pace(2, makers=2)))
    assert threading.active_count() == before


def test_rows_that_fail_to_come_end_the_threads(predictor):
    def failing():
        yield from rows(70)
        raise OSError("no more")

    before = threading.active_count()
    with pytest.raises(OSError, match="no more"):
        list(stream_answers(predictor, failing(), Pace(2, makers=2)))
    assert threading.active_count() == before


def test_wishes_reach_every_row(predictor):
    found = list(stream_answers(predictor, rows(20), Pace(4, makers=1), Ask(alternatives=1, model=True)))
    assert all(answer.model == predictor.digest for answer in found if answer.error is None)
    assert all(mention.doubt is not None for answer in found for mention in answer.entities)


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"words": 0}, {"makers": -1}])
def test_a_pace_is_above_nothing(wrong):
    with pytest.raises(ValueError, match="expected"):
        Pace(**wrong)


def test_groups_hold_the_padding_below_the_budget():
    lengths = dict(enumerate([5, 1, 9, 9, 3, 2, 30, 0, 4]))
    groups = length_groups(lengths, 4, 20)
    assert sorted(number for group in groups for number in group) == [0, 1, 2, 3, 4, 5, 6, 8]
    assert groups[0] == [6]  # longer than the budget: alone
    for group in groups[1:]:
        assert len(group) <= 4 and max(lengths[number] for number in group) * len(group) <= 20
