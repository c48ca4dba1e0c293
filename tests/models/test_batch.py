import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from babelens.data import Picture
from babelens.models.batch import Collator, PixelMemory, Row, tie
from babelens.models.draw import Epoch, draw_of
from babelens.schema import Entity, Example, TagSet


class Words:
    def __init__(self, sentences):
        longest = max(len(words) for words in sentences)
        self.mask = torch.tensor([[n < len(words) for n in range(longest)] for words in sentences])

    def to(self, device, non_blocking=False):
        return self

    def pin_memory(self):
        return self

    def part(self, start, stop):
        return self


def cut(image, boxes=(), draw=0):
    return torch.full((3, 2, 2), image.getpixel((0, 0))[0], dtype=torch.uint8)


class Album:
    def __init__(self):
        self.opened = []

    def __call__(self, key):
        self.opened.append(key)
        if key.startswith("bad"):
            return Picture(key, None, "unreadable")
        return Picture(key, Image.new("RGB", (4, 4), (int(key), 0, 0)), "used")


def example(number, words=("a", "b"), entities=(), group=None):
    return Example(str(number), tuple(words), tuple(entities), group=group)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=3), max_size=7))
def test_rows_are_tied_exactly_when_a_chain_of_shared_marks_joins_them(marks):
    numbers = tie(marks)
    joined = {(a, b): bool({*marks[a]} & {*marks[b]} - {None}) for a in range(len(marks)) for b in range(len(marks))}
    for middle, a, b in itertools.product(range(len(marks)), repeat=3):
        joined[a, b] = joined[a, b] or (joined[a, middle] and joined[middle, b])
    for a, b in itertools.combinations(range(len(marks)), 2):
        assert (numbers[a] == numbers[b]) == joined[a, b]


def test_each_distinct_picture_is_opened_and_cut_once():
    album = Album()
    rows = [
        Row(example(0), ("7",), album),
        Row(example(1), ("9", "7"), album),
        Row(example(2)),
        Row(example(3), ("7",), album),
    ]
    batch = Collator(Words, [cut, cut], TagSet(("PER",)))(rows, labelled=False)
    assert album.opened == ["7", "9"]
    assert [view[:, 0, 0, 0].tolist() for view in batch.pixels] == [[7, 9], [7, 9]]
    assert batch.pictures.tolist() == [[0, -1], [1, 0], [-1, -1], [0, -1]]
    assert batch.status == ("used", "used", "none", "used")
    assert batch.groups[0] == batch.groups[1] == batch.groups[3] != batch.groups[2]


def test_a_bad_picture_is_left_out_of_its_row_alone():
    album = Album()
    rows = [Row(example(0), ("bad", "5"), album), Row(example(1), ("bad",), album), Row(example(2), ("5",), album)]
    batch = Collator(Words, [cut], TagSet(("PER",)))(rows, labelled=False)
    assert batch.pictures.tolist() == [[0], [-1], [0]]
    assert batch.status == ("used", "unreadable", "used")


def test_tags_are_those_of_the_entities_and_zero_beyond_the_words():
    rows = [Row(example(0, "abc", [Entity(1, 3, "PER")])), Row(example(1, "a", [Entity(0, 1, "LOC")]))]
    batch = Collator(Words, [], TagSet(("LOC", "PER")))(rows, labelled=True)
    assert batch.tags.tolist() == [[0, 3, 4], [1, 0, 0]]
    assert batch.pixels == ()


def test_pixel_memory_drops_what_was_used_longest_ago():
    memory = PixelMemory(24)
    one, two, three = (torch.zeros((3, 2, 2), dtype=torch.uint8) for _ in range(3))
    memory.put("one", 0, one)
    memory.put("two", 0, two)
    assert memory.get("one", 0) is not None and memory.get("one", 1) is None
    memory.put("one", 1, three)
    assert memory.get("two", 0) is None and memory.get("one", 0) is not None and memory.get("one", 1) is not None


def test_a_picture_in_memory_is_not_opened_again():
    album = Album()
    collator = Collator(Words, [cut], TagSet(("PER",)), memory=1000)
    for _ in range(2):
        batch = collator([Row(example(0), ("7",), album)], labelled=False)
        assert batch.pixels[0][0, 0, 0, 0] == 7
    assert album.opened == ["7"]


class Chancy:
    """A transform that shows its draw; random always, or in training alone."""

    def __init__(self, always):
        self.always = always

    def draws(self, training):
        return self.always or training

    def __call__(self, image, boxes=(), draw=0):
        return torch.tensor(list(draw.to_bytes(8)) + [0] * 4, dtype=torch.uint8).view(3, 2, 2)


def test_what_is_random_hangs_on_the_picture_the_seed_and_the_epoch_alone():
    album = Album()
    rows = [Row(example(0), ("7",), album), Row(example(1), ("9",), album), Row(example(2), ("7",), album)]

    def pixels(rows, epoch, always=True, memory=1000):
        collator = Collator(Words, [cut, Chancy(always)], TagSet(("PER",)), memory)
        collator(rows, labelled=False)
        batch = collator(rows, labelled=False, epoch=epoch)
        places = zip(rows, batch.pictures[:, 0].tolist(), strict=True)
        return {row.keys[0]: batch.pixels[1][place] for row, place in places}

    first = pixels(rows, Epoch(3, 0))
    assert not first["7"].equal(first["9"])
    for other in (pixels(rows[::-1], Epoch(3, 0)), pixels(rows[:2], Epoch(3, 0), memory=0)):
        assert other.keys() == first.keys() and all(view.equal(first[key]) for key, view in other.items())
    drawn = [first, *(pixels(rows, epoch) for epoch in (Epoch(3, 1), Epoch(4, 0), None))]
    for one, other in itertools.combinations(drawn, 2):
        assert not one["7"].equal(other["7"])
    assert pixels(rows, None)["7"].equal(drawn[3]["7"])
    # Augmented in training alone.
    assert pixels(rows, Epoch(3, 0), always=False)["7"].equal(first["7"])
    assert not pixels(rows, None, always=False)["7"].any()


def test_pixels_are_kept_unless_they_are_cut_anew_in_each_epoch():
    for always, epochs, opened in [
        (True, [None, None], 1),
        (True, [Epoch(1, 0), Epoch(1, 1)], 2),
        (False, [None, Epoch(1, 0), None], 2),
        (False, [Epoch(1, 0), None, Epoch(1, 1), None], 3),
    ]:
        album = Album()
        collator = Collator(Words, [Chancy(always)], TagSet(("PER",)), memory=1000)
        for epoch in epochs:
            collator([Row(example(0), ("7",), album)], labelled=False, epoch=epoch)
        assert len(album.opened) == opened


def test_a_draw_is_of_what_the_picture_shows():
    one, other = (Image.new("RGB", size, "red") for size in ((4, 6), (6, 4)))
    assert draw_of(one, None) == draw_of(one.copy(), None) != draw_of(other, None)
    assert 0 < draw_of(one, Epoch(0, 0)) < 2**64
