"""Retrieval against a case worked by hand, loops over pairs and all orders of ties."""

import itertools
import json
import math
from fractions import Fraction
from statistics import median, pstdev

import pytest
import torch
from PIL import Image

from babelens.data import Corpus, read_corpus, read_split
from babelens.data.postcards import Sizes, write_postcards
from babelens.evaluation.retrieval import compare, measure_retrieval, rank
from babelens.models.batch import CorpusRows
from babelens.models.checkpoint import new_tagger
from babelens.models.naming import named
from babelens.modules.alignment import Pairs
from babelens.modules.retrieval import Standings
from babelens.schema import InputError, TagSet

TAGS = TagSet(("LOC", "MISC", "ORG", "PER"))


def standings(*rows):
    return Standings(*(torch.tensor(column) for column in zip(*rows, strict=True)))


def test_three_texts_and_three_pictures_by_hand():
    text = torch.tensor([[2.0, 0.0], [0.0, 0.5], [-7.0, 0.0]])
    image = torch.tensor([[3.0, 4.0], [9.0, 0.0], [-0.3, 0.4]])
    # Cosines, a row for each text: (0.6, 1, -0.6), (0.8, 0, 0.8), (-0.6, -1, 0.6).
    found = compare(Pairs(text, image), torch.arange(3), torch.arange(3))
    assert (found.rows, found.pictures) == (3, 3)
    # Ranks 2, 3, 1 of the pictures for the texts; 2, 2, 2 of the texts for the pictures.
    texts, pictures = found.text_to_picture, found.picture_to_text
    assert texts.found.recalls == pytest.approx({1: 100 / 3, 5: 100, 10: 100}) and texts.found.median == 2
    assert pictures.found.recalls == pytest.approx({1: 0, 5: 100, 10: 100}) and pictures.found.median == 2
    assert texts.chance.recalls == pytest.approx({1: 100 / 3, 5: 100, 10: 100}) and texts.chance.median == 2
    matched, unmatched = found.cosines.matched, found.cosines.unmatched
    assert (matched.pairs, unmatched.pairs) == (3, 6)
    assert matched.mean == pytest.approx(0.4) and matched.deviation == pytest.approx(math.sqrt(0.08))
    assert unmatched.mean == pytest.approx(0.4 / 6)
    assert found.cosines.auc == pytest.approx(0.5)
    bins = dict(zip(found.cosines.edges, matched.histogram, strict=False))
    assert {edge: count for edge, count in bins.items() if count} == {0.0: 1, 0.6: 2}
    bins = dict(zip(found.cosines.edges, unmatched.histogram, strict=False))
    assert {edge: count for edge, count in bins.items() if count} == {-1.0: 1, -0.6: 2, 0.8: 2, 0.95: 1}
    assert found.alignment == pytest.approx(1.2)
    assert found.text_uniformity == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3))
    far = math.exp(-2 * 0.8) + math.exp(-2 * 1.44) + math.exp(-2 * 3.2)
    assert found.picture_uniformity == pytest.approx(math.log(far / 3))
    assert found.gap == pytest.approx(math.hypot(1 / 3, 0.2))


def test_ranks_count_over_all_orders_of_what_is_tied():
    def brute(rows):
        """Every query's ranks in each order of its ties, each with its probability."""
        shares = []
        for above, right, wrong in rows:
            places = list(itertools.combinations(range(right + wrong), right))
            shares += [(above + min(own) + 1, Fraction(1, len(places) * len(rows))) for own in places]
        return shares

    rows = [(0, 1, 0), (2, 1, 3), (0, 2, 4), (7, 3, 2), (4, 1, 8)]
    for kept in (rows, rows[:1], rows[1:2], rows[2:4], [*rows, *rows[:2]]):
        shares, found = brute(kept), rank(standings(*kept))
        for first in (1, 5, 10):
            expected = sum(share for place, share in shares if place <= first)
            assert found.recalls[first] == pytest.approx(100 * float(expected))
        upto = [(place, sum(share for other, share in shares if other <= place)) for place, _ in shares]
        low = min(place for place, share in upto if share >= Fraction(1, 2))
        high = min(place for place, share in upto if share > Fraction(1, 2))
        assert found.median == (low + high) / 2
    # Without ties, the ordinary median.
    places = [4, 1, 9, 30]
    assert rank(standings(*((place - 1, 1, 0) for place in places))).median == median(places)


def simple(pairs, groups, pictures):
    """The figures of `compare` by loops, for vectors without ties."""
    first = [pictures.index(picture) for picture in dict.fromkeys(pictures)]
    cosines = [[torch.cosine_similarity(text, pairs.image[row], dim=0).item() for row in first] for text in pairs.text]
    right = [[group == groups[row] for row in first] for group in groups]

    def ranks(values, rights):
        return [
            min(1 + sum(other > value for other in own) for value, good in zip(own, rightly, strict=True) if good)
            for own, rightly in zip(values, rights, strict=True)
        ]

    turned = [list(column) for column in zip(*cosines, strict=True)]
    places = ranks(cosines, right), ranks(turned, [list(column) for column in zip(*right, strict=True)])
    flat = list(zip(itertools.chain(*cosines), itertools.chain(*right), strict=True))
    matched = [value for value, good in flat if good]
    unmatched = [value for value, good in flat if not good]
    return places, right, matched, unmatched


@pytest.mark.parametrize("seed", range(3))
def test_equals_loops_over_pairs_of_rows_that_share_pictures_and_groups(seed):
    generator = torch.Generator().manual_seed(seed)
    pictures = [0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    groups = [0, 1, 1, 2, 3, 3, 3, 2, 5, 6, 6, 8, 9, 10, 11]  # 2 and 4, 6 and 7 are tied by translation
    text = torch.randn(15, 6, generator=generator)
    image = torch.randn(12, 6, generator=generator)[pictures] + text[pictures] / 2
    pairs = Pairs(text, image)
    found = compare(pairs, torch.tensor(groups), torch.tensor(pictures))
    places, right, matched, unmatched = simple(pairs, groups, pictures)
    turned = list(zip(*right, strict=True))
    directions = (found.text_to_picture, found.picture_to_text)
    for direction, own, rights in zip(directions, places, (right, turned), strict=True):
        assert (direction.queries, direction.candidates) == (len(rights), len(rights[0]))
        assert direction.found.median == median(own)
        for first in (1, 5, 10):
            assert direction.found.recalls[first] == pytest.approx(100 * sum(p <= first for p in own) / len(own))
            # None of the first is right: so many ways to draw them from the wrong ones.
            wrong = [len(row) - sum(row) for row in rights]
            none = [math.comb(own, first) / math.comb(direction.candidates, first) for own in wrong]
            assert direction.chance.recalls[first] == pytest.approx(100 * (1 - sum(none) / len(none)))
    wins = sum((a > b) + (a == b) / 2 for a in matched for b in unmatched)
    assert found.cosines.auc == pytest.approx(wins / (len(matched) * len(unmatched)), abs=1e-6)
    assert found.cosines.matched.mean == pytest.approx(sum(matched) / len(matched), abs=1e-6)
    assert found.cosines.unmatched.deviation == pytest.approx(pstdev(unmatched), abs=1e-6)
    squares = [2 - 2 * value for value in matched]
    assert found.alignment == pytest.approx(sum(squares) / len(squares), abs=1e-5)
    for spread, values in ((found.cosines.matched, matched), (found.cosines.unmatched, unmatched)):
        expected = torch.histogram(torch.tensor(values), bins=torch.linspace(-1, 1, 41)).hist
        assert list(spread.histogram) == expected.long().tolist()


def test_the_area_is_that_of_another_library():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(4)
    pairs = Pairs(*torch.randint(-2, 3, (2, 30, 3), generator=generator).float().add(0.25))
    groups = torch.arange(30) % 20
    found = compare(pairs, groups, torch.arange(30))
    text, image = (torch.nn.functional.normalize(side.double(), dim=1) for side in pairs)
    values = (text @ image.T).mul(1e6).round().flatten()
    assert found.cosines.auc == pytest.approx(metrics.roc_auc_score((groups[:, None] == groups).flatten(), values))


def test_vectors_that_are_all_the_same_find_what_chance_finds():
    groups = torch.tensor([0, 0, 0, 3, 4, 4, 6, 7, 8, 9, 10, 11])
    alike = torch.randn(1, 50, generator=torch.Generator().manual_seed(5)).expand(12, 50)
    found = compare(Pairs(alike, 3 * alike), groups, torch.arange(12))
    for direction in (found.text_to_picture, found.picture_to_text):
        assert direction.found == direction.chance and 0 < direction.chance.recalls[1] < 50
    assert found.cosines.auc == pytest.approx(0.5)
    assert found.text_uniformity == pytest.approx(0, abs=1e-5) == found.alignment
    # 12 candidates of which one is right stand at 6.5 in the middle.
    apart = compare(Pairs(alike, alike), torch.arange(12), torch.arange(12)).text_to_picture
    assert apart.found.median == apart.chance.median == 6.5
    assert apart.found.recalls == pytest.approx({1: 100 / 12, 5: 500 / 12, 10: 1000 / 12})


def test_a_single_row_leaves_nothing_to_tell_apart():
    found = compare(Pairs(torch.ones(1, 3), torch.eye(3)[:1]), torch.tensor([4]), torch.tensor([0]))
    assert found.text_to_picture.found == found.text_to_picture.chance
    assert found.cosines.auc is None and found.cosines.unmatched.mean is None and found.text_uniformity is None
    assert json.loads(json.dumps(found.to_dict()))["cosines"]["unmatched"]["pairs"] == 0


@pytest.fixture(scope="module")
def postcards(tmp_path_factory):
    """The validation part of a small built-in corpus, then two rows without a picture."""
    folder = tmp_path_factory.mktemp("retrieval") / "postcards"
    write_postcards(folder, sizes=Sizes(train=8, valid=80, test=8), workers=1)
    extra = folder.parent / "extra.txt"
    extra.write_text("no\tO\npicture\tO\n\nIMGID:nowhere\na\tO\nmissing\tO\none\tO\n")
    return Corpus.concatenate([read_split(folder, "valid"), read_corpus(extra)])


@pytest.fixture(scope="module")
def tagger(postcards):
    torch.manual_seed(0)
    return new_tagger(named("2m-ner", "compact"), TAGS, lambda: [example.words for example in postcards]).eval()


def test_an_untrained_model_finds_what_chance_finds_over_the_rows_that_have_a_picture(tagger, postcards):
    assert len(postcards) == 82
    steps = []
    found = measure_retrieval(tagger, postcards, batch=32, step=steps.append)
    assert set(found) == {"clip", "resnet"} and sum(steps) == 81  # one row names no picture
    for view in found.values():
        assert (view.rows, view.pictures) == (80, 80)
        for direction in (view.text_to_picture, view.picture_to_text):
            assert direction.chance.recalls == pytest.approx({1: 1.25, 5: 6.25, 10: 12.5})
            assert direction.chance.median == 40.5
            for first, share in direction.chance.recalls.items():
                deviation = math.sqrt(share * (100 - share) / 80)
                assert abs(direction.found.recalls[first] - share) < 4 * deviation
        assert view.cosines.auc == pytest.approx(0.5, abs=0.1)
        assert view.cosines.matched.pairs == 80 and view.cosines.unmatched.pairs == 80 * 79
    plain = json.loads(json.dumps({name: view.to_dict() for name, view in found.items()}))
    assert plain["clip"]["text_to_picture"]["chance"]["recall@10"] == pytest.approx(12.5)


def test_vectors_are_those_of_the_loss_in_whatever_batches(tagger, postcards):
    rows = [CorpusRows(postcards)[number] for number in range(80)]
    with torch.no_grad():
        terms = tagger(tagger.collator()(rows, labelled=True))
    for batch in (7, 64):
        found = measure_retrieval(tagger, postcards, batch=batch)
        for name, view in found.items():
            expected = compare(terms.pairs[name], torch.arange(80), torch.arange(80))
            assert view.cosines.matched.mean == pytest.approx(expected.cosines.matched.mean, abs=1e-5)
            assert view.cosines.auc == pytest.approx(expected.cosines.auc, abs=1e-3)
            assert view.gap == pytest.approx(expected.gap, abs=1e-5)
            assert view.text_uniformity == pytest.approx(expected.text_uniformity, abs=1e-4)


def test_a_model_that_knows_every_pair_finds_it(tagger, postcards, monkeypatch):
    """Vectors of a row that hang on its picture alone: what `pairs` gives is searched, and rows keep their numbers."""

    def pairs(state):
        image = state.views["clip"].image
        return {"clip": Pairs(image, image)}

    monkeypatch.setattr(tagger.backbone, "pairs", pairs)
    found = measure_retrieval(tagger, postcards, batch=16)["clip"]
    assert found.text_to_picture.found.recalls[1] == found.picture_to_text.found.recalls[1] == 100
    assert found.text_to_picture.found.median == 1 and found.alignment == pytest.approx(0, abs=1e-5)
    assert found.cosines.auc == pytest.approx(1) and found.gap == pytest.approx(0, abs=1e-5)


def test_rows_with_one_picture_are_one_candidate_and_right_for_one_another(tagger, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.effect_noise((40, 30), 90 + number).convert("RGB").save(tmp_path / "images" / f"{number}.png")
    rows = [["0"], ["1"], ["0"], ["2", "1"], ["1", "2"], ["2"], [], ["gone", "0"]]
    text = "".join(
        json.dumps({"tokens": ["word", str(place)], "entities": [], "images": images}) + "\n"
        for place, images in enumerate(rows)
    )
    (tmp_path / "test.jsonl").write_text(text)
    corpus = read_corpus(tmp_path / "test.jsonl", images=tmp_path / "images")
    found = measure_retrieval(tagger, corpus)["clip"]
    # 0, 1, 2, the last two together, and 0 beside one that is gone. Rows of both tie those of 1 and of 2.
    assert (found.rows, found.pictures) == (7, 5)
    assert found.text_to_picture.chance.recalls[1] == pytest.approx(100 * (3 * 2 + 4 * 3) / 5 / 7)
    assert found.picture_to_text.chance.recalls[1] == pytest.approx(100 * (2 * 3 + 3 * 4) / 7 / 5)


def test_a_limit_takes_rows_from_all_over_the_corpus(tagger, postcards):
    steps = []
    found = measure_retrieval(tagger, postcards, limit=10, step=steps.append)
    assert found["clip"].rows == 10 and steps == [10]
    assert measure_retrieval(tagger, postcards, limit=1000)["clip"].rows == 80
    assert measure_retrieval(tagger, postcards, limit=0) == {}


def test_a_model_or_a_corpus_that_has_nothing_to_compare(tagger, postcards):
    for name in ("bert-crf", "2m-ner-without-alignment", "umt", "mkgformer"):
        other = new_tagger(named(name, "compact"), TAGS, lambda: [example.words for example in postcards])
        assert measure_retrieval(other, postcards) == {}
    assert measure_retrieval(tagger, postcards.select([80, 81])) == {}


def test_the_published_arithmetic_has_both_views_too(postcards):
    torch.manual_seed(0)
    model = named("2m-ner-official", "compact")
    official = new_tagger(model, TAGS, lambda: [example.words for example in postcards])
    found = measure_retrieval(official, postcards, limit=20)
    assert {name: view.rows for name, view in found.items()} == {"clip": 20, "resnet": 20}
    again = measure_retrieval(official, postcards, limit=20)
    assert again["resnet"].to_dict() == found["resnet"].to_dict()


def test_precision_reaches_the_encoders_and_not_the_comparison(tagger, postcards):
    exact = measure_retrieval(tagger, postcards, limit=20)["clip"]
    tagger.precision = torch.bfloat16
    try:
        rough = measure_retrieval(tagger, postcards, limit=20)["clip"]
    finally:
        tagger.precision = None
    assert rough.cosines.matched.mean != exact.cosines.matched.mean
    assert rough.cosines.matched.mean == pytest.approx(exact.cosines.matched.mean, abs=0.02)


def test_vectors_that_are_not_finite_are_told(tagger, postcards, monkeypatch):
    def pairs(state):
        image = state.views["clip"].image
        return {"clip": Pairs(image, torch.full_like(image, torch.nan))}

    monkeypatch.setattr(tagger.backbone, "pairs", pairs)
    with pytest.raises(InputError, match="clip: expected finite vectors of texts and pictures, found 8 rows without"):
        measure_retrieval(tagger, postcards, limit=8)
