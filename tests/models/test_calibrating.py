"""The temperature against scipy over the enumeration of all paths; candidates against all spans; halves and figures."""

import itertools

import pytest
import torch
from PIL import Image
from scipy.optimize import minimize_scalar

from babelens.data import read_split
from babelens.data.split import split
from babelens.models.calibrating import Sample, calibrate, candidates, fit_temperature, read_samples
from babelens.models.candidates import candidate_spans
from babelens.models.checkpoint import load_tagger
from babelens.models.decode import decode_corpus, decode_corpus_scored
from babelens.models.tagger import Reading
from babelens.schema import Entity, write_tags


def drawn(tagger, temperature, rows=300, width=3):
    """Readings with random scores, tags drawn from the chain at a temperature, and the scores of all paths."""
    generator = torch.Generator().manual_seed(5)
    tags = len(tagger.tags)
    emissions = torch.randn(rows, width, tags, generator=generator) * 3
    paths = torch.tensor(list(itertools.product(range(tags), repeat=width)))
    chain = tagger.head.chain
    scores = (chain.start[paths[:, 0]] + chain.end[paths[:, -1]]).detach() + sum(
        chain.transitions[paths[:, word], paths[:, word + 1]].detach() for word in range(width - 1)
    )
    scores = scores + sum(emissions[:, word, paths[:, word]] for word in range(width))
    chosen = torch.multinomial((scores / temperature).softmax(1), 1, generator=generator)[:, 0]
    reading = Reading(emissions, torch.ones(rows, width, dtype=torch.bool), {})
    return Sample(list(range(rows)), reading, paths[chosen], ("none",) * rows), scores.double(), chosen


@pytest.mark.parametrize("truth", [0.6, 1.0, 2.5])
def test_the_temperature_is_that_of_the_greatest_likelihood(tiny_tagger, truth):
    sample, scores, chosen = drawn(tiny_tagger, truth)

    def surprise(temperature):
        return -(scores / temperature).log_softmax(1)[torch.arange(len(chosen)), chosen].sum().item()

    expected = minimize_scalar(surprise, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-6}).x
    found = fit_temperature(tiny_tagger, [sample])
    assert found == pytest.approx(expected, rel=1e-3) and found == pytest.approx(truth, rel=0.2)


def test_the_temperature_stays_within_its_ends(tiny_tagger):
    sample, _, _ = drawn(tiny_tagger, 1.0, rows=20)
    best = torch.tensor(tiny_tagger.head.decode(sample.reading.emissions, sample.reading.mask))
    assert fit_temperature(tiny_tagger, [sample._replace(tags=best)]) == pytest.approx(0.05, rel=1e-3)
    worst = sample._replace(tags=torch.tensor(tiny_tagger.head.decode(-sample.reading.emissions, sample.reading.mask)))
    assert fit_temperature(tiny_tagger, [worst]) == pytest.approx(20, rel=1e-3)


def test_candidates_are_all_spans_that_are_likely_enough(tiny_tagger):
    sample, _, _ = drawn(tiny_tagger, 1.0, rows=6, width=5)
    emissions, mask = sample.reading.emissions / 2, sample.reading.mask.clone()
    mask[1, 3:] = False
    found = candidate_spans(tiny_tagger, Reading(emissions, mask, {}), 0.03)
    every = [
        [
            Entity(*ends, type_)
            for ends in itertools.combinations(range(length + 1), 2)
            for type_ in tiny_tagger.tags.types
        ]
        for length in mask.sum(1).tolist()
    ]
    scores = tiny_tagger.head.span_marginals(emissions, mask, every)
    for spans, all_spans, own in zip(found, every, scores, strict=True):
        assert sorted(spans) == sorted(s for s, score in zip(all_spans, own, strict=True) if score >= 0.03)
    assert sum(map(len, found)) > 12 and any(entity.end - entity.start > 1 for row in found for entity in row)


@pytest.fixture(scope="module")
def corpus(tiny_tagger, tmp_path_factory):
    """60 rows in two languages, every third with one of 5 pictures; most gold entities are what the model finds."""
    folder = tmp_path_factory.mktemp("calibrating")
    (folder / "images").mkdir()
    for number in range(5):
        Image.new("RGB", (9, 9), (40 * number, 90, 30)).save(folder / "images" / f"p{number}.png")
    text = "Anna Lindqvist visited Paris with the team of Siemens in 2019 hier Köln"
    words = text.split()
    rows = [
        [words[(place * 5 + number) % 13] for place in range(2 + number % 6)] + [f"n{number}"] for number in range(60)
    ]
    write(folder, rows, [[]] * 60)
    found, _ = decode_corpus(tiny_tagger, read_split(folder, "valid"))
    gold = [list(entities)[number % 3 == 0 :] for number, entities in enumerate(found)]
    for entities in gold[::4]:
        entities[:] = [Entity(entity.start, entity.end, "ORG") for entity in entities]
    write(folder, rows, gold)
    return read_split(folder, "valid")


def write(folder, rows, gold):
    for language, part in (("de", range(0, 30)), ("en", range(30, 60))):
        lines = []
        for row in part:
            lines += [f"IMGID:p{row % 5}"] if row % 3 == 0 else []
            tags = write_tags(gold[row], len(rows[row]))
            lines += [f"{word}\t{tag}" for word, tag in zip(rows[row], tags, strict=True)] + [""]
        (folder / language).mkdir(exist_ok=True)
        (folder / language / "valid.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_calibration_says_how_it_was_made_and_changes_no_entity(tiny_folder, corpus):
    tagger = load_tagger(tiny_folder)
    done = []
    made = calibrate(tagger, corpus, targets=(0.05, 0.999), seed=2, batch=16, facts={"data": ["x"]}, step=done.append)
    assert tagger.calibration is None and sum(done) == len(corpus) == 60
    assert made == calibrate(tagger, corpus, targets=(0.05, 0.999), seed=2, batch=16, facts={"data": ["x"]})
    facts, (fitted, held) = made.facts, split(corpus, (1.0, 1.0), seed=2)
    assert facts["rows"] == {"fitted": len(fitted), "held": len(held)} and facts["data"] == ["x"]
    keys = [{key for row in range(len(part)) for key in part.picture_keys(row)} for part in (fitted, held)]
    assert not keys[0] & keys[1]
    assert [threshold.target for threshold in made.thresholds] == [0.05]
    (threshold,) = made.thresholds
    before = decode_corpus_scored(tagger, held)[0]
    tagger.calibration = made
    after = decode_corpus_scored(tagger, held)[0]
    assert [[entity for entity, _ in row] for row in before] == [[entity for entity, _ in row] for row in after]
    kept = [
        (row, entity) for row, entities in enumerate(after) for entity, score in entities if score >= threshold.score
    ]
    assert len(kept) == threshold.entities
    assert sum(entity in held[row].entities for row, entity in kept) == threshold.right
    measures = facts["measures"]
    assert measures["found"]["before"]["spans"] == sum(map(len, before))
    assert set(measures["languages"]) == {"de", "en"} and set(measures["images"]) <= {"used", "none"}
    for groups in (measures["languages"], measures["images"]):
        assert sum(part["before"]["spans"] for part in groups.values()) == measures["all"]["after"]["spans"]


def test_missed_gold_counts_among_the_candidates(tiny_tagger, corpus):
    samples = list(read_samples(tiny_tagger, corpus, 16))
    outcomes = {outcome.id: outcome for outcome in candidates(tiny_tagger, corpus, samples, 2.0)}
    assert len(outcomes) == len(corpus)
    assert all(set(row.entities) <= set(outcomes[row.id].found) for row in corpus)
    first = outcomes[corpus[0].id]
    batch = tiny_tagger.collator()([_row(corpus, 0)], labelled=False)
    emissions = tiny_tagger.emissions(batch).detach()
    expected = tiny_tagger.head.span_marginals(emissions, batch.text.mask, [list(first.found)], 2.0)[0]
    assert list(first.scores) == pytest.approx(expected, abs=1e-5)


def _row(corpus, number):
    from babelens.models.batch import CorpusRows

    return CorpusRows(corpus)[number]
