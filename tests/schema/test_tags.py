import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from babelens.schema import SCHEMES, Entity, TagError, TagSet, read_tags, write_tags

TYPES = ("PER", "LOC", "ORG")
PREFIXES = {"iob1": "IB", "iob2": "IB", "bioes": "BIES", "bilou": "BILU"}


def tag_sequences(scheme):
    tags = ["O", *(f"{prefix}-{type_}" for prefix in PREFIXES[scheme] for type_ in TYPES[:2])]
    return st.lists(st.sampled_from(tags), max_size=8)


@st.composite
def sentences(draw):
    length = draw(st.integers(0, 12))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=8)))
    spans = [span for span in itertools.pairwise(cuts) if draw(st.booleans())]
    return length, tuple(Entity(start, end, draw(st.sampled_from(TYPES))) for start, end in spans)


def seqeval_entities(tags, scheme):
    if scheme == "bilou":
        tags = [{"L": "E", "U": "S"}.get(tag[0], tag[0]) + tag[1:] for tag in tags]
    return [Entity(start, end + 1, type_) for type_, start, end in get_entities(tags)]


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
def test_any_tags_are_read_as_seqeval_reads_them(scheme, data):
    tags = data.draw(tag_sequences(scheme))
    reading = read_tags(tags, scheme)
    assert list(reading.entities) == seqeval_entities(tags, scheme)
    assert all(0 <= position < len(tags) for position in reading.violations)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(sentence=sentences())
def test_written_tags_are_read_back_without_violations(scheme, sentence):
    length, entities = sentence
    tags = write_tags(entities, length, scheme)
    assert len(tags) == length
    assert read_tags(tags, scheme) == (entities, ())


@given(sentence=sentences())
def test_tag_numbers_are_the_iob2_tags(sentence):
    length, entities = sentence
    tag_set = TagSet(TYPES)
    numbers = tag_set.encode(entities, length)
    assert [tag_set.tags[number] for number in numbers] == write_tags(entities, length)
    assert tag_set.decode(numbers) == entities


@pytest.mark.parametrize(
    ("scheme", "tags", "violations"),
    [
        ("iob2", ["I-PER", "I-PER", "O", "B-PER", "I-LOC"], (0, 4)),
        ("iob1", ["I-PER", "B-PER", "O", "B-PER"], (3,)),
        ("iob1", ["I-PER", "I-LOC", "O", "I-PER"], ()),
        ("bioes", ["B-PER", "O"], (1,)),
        ("bioes", ["I-PER"], (0,)),
        ("bioes", ["S-PER", "E-PER"], (1,)),
        ("bioes", ["B-PER", "E-LOC"], (1,)),
        ("bilou", ["B-PER", "I-PER"], (1,)),
        ("bilou", ["B-PER", "L-PER", "U-LOC"], ()),
    ],
)
def test_violations_are_where_the_scheme_is_broken(scheme, tags, violations):
    assert read_tags(tags, scheme).violations == violations


@pytest.mark.parametrize("tag", ["PER", "X-PER", "B-", "b-PER", "", "o", "S-PER"])
def test_unknown_tags_are_refused_with_their_place(tag):
    with pytest.raises(TagError) as caught:
        read_tags(["O", tag])
    assert caught.value.position == 1
    assert f"found {tag!r}" in str(caught.value)


def test_types_may_hold_hyphens():
    assert read_tags(["B-LOC-GPE", "I-LOC-GPE"]).entities == (Entity(0, 2, "LOC-GPE"),)


@pytest.mark.parametrize("entities", [[Entity(0, 4, "PER")], [Entity(2, 2, "PER")], [Entity(-1, 1, "PER")]])
def test_entities_outside_the_sentence_are_refused(entities):
    with pytest.raises(ValueError, match=r"within 0\.\.3"):
        write_tags(entities, 3)


def test_overlapping_entities_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        write_tags([Entity(0, 2, "PER"), Entity(1, 3, "LOC")], 3)


def test_forbidden_transitions_are_those_that_read_tags_calls_violations():
    tag_set = TagSet(TYPES[:2])
    allowed = tag_set.transition_allowed()
    for (i, before), (j, after) in itertools.product(enumerate(tag_set.tags), repeat=2):
        assert allowed[i][j] == (1 not in read_tags([before, after]).violations)
    assert tag_set.start_allowed() == [not read_tags([tag]).violations for tag in tag_set.tags]
