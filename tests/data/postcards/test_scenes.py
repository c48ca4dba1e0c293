from collections import Counter, defaultdict

import pytest

from babelens.data.postcards import Card, Sizes
from babelens.data.postcards.grammar import LANGUAGES
from babelens.data.postcards.scenes import PARTS, plan_scenes
from babelens.data.postcards.sentences import Ambiguous, tell
from babelens.data.postcards.styles import STYLES


def gold_types(card: Card) -> tuple[str, ...]:
    return tuple(entity.type for entity in card.entities)


def test_sizes_are_those_asked_for(cards: list[Card]) -> None:
    assert Counter(card.split for card in cards) == {"train": 160, "valid": 40, "test": 320}
    assert set(Counter((card.split, card.language) for card in cards).values()) == {40, 10, 80}
    with pytest.raises(ValueError, match="expected a multiple of 8 rows for valid, found 12"):
        Sizes(valid=12)


@pytest.mark.parametrize("part", PARTS)
def test_shares(cards: list[Card], part: str) -> None:
    rows = [card for card in cards if card.split == part]
    entities = sum(len(card.entities) for card in rows)
    assert sum(len(card.ambiguous) for card in rows) >= 0.5 * entities
    open_rows = [card for card in rows if card.ambiguous]
    assert sum(len(card.entities) == 2 for card in open_rows) >= 0.5 * len(open_rows)
    plain = [card for card in rows if not card.ambiguous]
    assert sum(card.contradicting for card in plain) == pytest.approx(0.2 * len(plain), abs=4)


def test_every_ambiguous_text_occurs_twice_with_the_other_gold(cards: list[Card]) -> None:
    texts: dict[tuple, list[Card]] = defaultdict(list)
    for card in cards:
        if card.ambiguous:
            texts[card.language, card.words].append(card)
    assert texts
    for one, other in texts.values():
        assert (one.pair, other.pair) == (other.id, one.id)
        assert one.split == other.split
        assert one.candidates == other.candidates
        assert all(
            {a, b} == set(types) for a, b, types in zip(gold_types(one), gold_types(other), one.candidates, strict=True)
        )
        assert all(len(types) == 2 for types in one.candidates)
        assert sorted(thing.type for thing in one.things) == sorted(thing.type for thing in other.things) or (
            len(one.things) == 1
        )


def test_unambiguous_texts_have_one_gold(cards: list[Card]) -> None:
    golds: dict[tuple, set] = defaultdict(set)
    for card in cards:
        if not card.ambiguous:
            golds[card.language, card.words].add(card.entities)
            assert card.pair is None
            assert card.candidates == tuple((type_,) for type_ in gold_types(card))
    assert all(len(gold) == 1 for gold in golds.values())


def test_two_mentions_differ_in_type_and_are_bound_beside_a_distractor(cards: list[Card]) -> None:
    for card in cards:
        if len(card.ambiguous) == 2:
            assert len(set(gold_types(card))) == 2
            bound = {thing.entity: thing for thing in card.things}
            assert set(bound) == {0, 1, None}
            assert bound[None].type not in gold_types(card)
            assert all(bound[n].cue in (bound[n].colour, bound[n].position) for n in (0, 1))
            assert bound[0].cue != bound[1].cue


def test_pictures_agree_with_gold_unless_contradicting(cards: list[Card]) -> None:
    for card in cards:
        drawn = {thing.entity: thing.type for thing in card.things if thing.entity is not None}
        assert set(drawn) == set(range(len(card.entities)))
        agree = [drawn[number] == type_ for number, type_ in enumerate(gold_types(card))]
        assert not any(agree) if card.contradicting else all(agree)


def test_rows_of_a_group_are_translations(cards: list[Card]) -> None:
    groups: dict[str, list[Card]] = defaultdict(list)
    for card in cards:
        groups[card.group].append(card)
    for rows in groups.values():
        assert {row.language for row in rows} == set(LANGUAGES)
        names = {tuple(row.words[entity.start : entity.end] for entity in row.entities) for row in rows}
        assert len({tuple(sorted(spans)) for spans in names}) == 1
        assert len({tuple(sorted(gold_types(row))) for row in rows}) == 1


def test_names_frames_and_styles_of_test_are_new() -> None:
    scenes = plan_scenes(0, Sizes())
    names = {part: {w for scene in scenes[part] for name in scene.text.names for w in name} for part in PARTS}
    assert not names["train"] & names["test"]
    assert not names["valid"] & (names["train"] | names["test"])

    def frames(part: str) -> set:
        texts = [scene.text for scene in scenes[part]]
        return {(text.shape, text.lines) if isinstance(text, Ambiguous) else (text.lines,) for text in texts}

    assert not frames("train") & frames("test")

    def traits(part: str) -> list[set]:
        return [{getattr(style, name) for style in STYLES[part]} for name in ("filling", "ground", "ink")]

    for trained, tested in zip(traits("train"), traits("test"), strict=True):
        assert not trained & tested


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_test_occur_in_training(seed: int, language: str) -> None:
    words: dict[str, set[str]] = {}
    for part, scenes in plan_scenes(seed, Sizes()).items():
        words[part] = set()
        for scene in scenes:
            sentence = tell(scene.text, language)
            inside = {n for start, end in sentence.spans for n in range(start, end)}
            words[part] |= {word for n, word in enumerate(sentence.words) if n not in inside}
    assert words["test"] <= words["train"]
    assert words["valid"] <= words["train"]


def test_names_do_not_tell_types() -> None:
    scenes = plan_scenes(0, Sizes())["train"]
    counts: dict[str, Counter] = defaultdict(Counter)
    for scene in scenes:
        for name, type_ in zip(scene.text.names, scene.gold, strict=True):
            for word in name:
                counts[word][type_] += 1
    total = sum((counter for counter in counts.values()), Counter())
    share = {type_: count / total.total() for type_, count in total.items()}
    assert all(0.22 < value < 0.28 for value in share.values())
    # Pearson's statistic of names against types. Twins of one name make the two types of a pair balance, so it lies
    # below its mean under independence (3 per name); names that told the type would push it far above.
    statistic = sum(
        (counter[type_] - counter.total() * share[type_]) ** 2 / (counter.total() * share[type_])
        for counter in counts.values()
        for type_ in share
    )
    assert statistic < 3 * len(counts) * 1.15
    endings = defaultdict(Counter)
    for word, counter in counts.items():
        endings[word[-1]] += counter
    for counter in endings.values():
        if counter.total() > 200:
            assert max(counter.values()) < 0.36 * counter.total()


def test_small_corpora_can_be_planned() -> None:
    assert {part: len(s) for part, s in plan_scenes(5, Sizes(8, 0, 8)).items()} == {"train": 2, "valid": 0, "test": 2}
