"""Small spaCy pipelines, trained here: one whose parts share a tok2vec, and one whose ner has its own."""

import json
import multiprocessing
import os
import re
import signal
import time
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from random import Random

import pytest

from babelens.build.choose import Wish, choose_rows
from babelens.build.preannotate import preannotate_rows
from babelens.build.preannotate_labels import Labels
from babelens.build.preannotate_pipelines import Pipelines, Reader
from babelens.build.rows import read_input
from babelens.data.journal import JournalError
from babelens.schema import InputError

spacy = pytest.importorskip("spacy", reason="the extra build is not installed")

EN = {
    "PERSON": ["Anna Reed", "Tom", "Maria de Souza", "Omar"],
    "GPE": ["Paris", "New York", "Mali"],
    "ORG": ["Siemens", "the Red Cross"],
    "DATE": ["2019", "last May"],
    "NORP": ["French", "Malian"],
}
FR = {"PER": ["Luc Morel", "Zoé"], "LOC": ["Lyon", "la Loire"], "ORG": ["Renault"], "MISC": ["Tour de France"]}
PATTERNS = {
    "en": ["{PERSON} left {GPE} in {DATE} .", "a {NORP} team of {ORG} met {PERSON} !", "so “ {GPE} ” it is", "no one"],
    "fr": ["{PER} quitte {LOC} .", "{ORG} gagne le {MISC}", "« {LOC} » plaît à {PER}", "rien du tout"],
}
NAMES = {"en": EN, "fr": FR}
WIDTH = 32
PATIENCE = 300.0


def sentence(language, draw):
    """A sentence of invented people and real places, and its entities as (start, end, label)."""
    text, spans = "", []
    for piece in re.split(r"({\w+})", draw.choice(PATTERNS[language])):
        if piece.startswith("{"):
            name = draw.choice(NAMES[language][piece[1:-1]])
            spans.append((len(text), len(text) + len(name), piece[1:-1]))
            piece = name
        text += piece
    return text, spans


def encoder(shared):
    if shared:
        return {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "*"}
    settings = {"depth": 2, "embed_size": 500, "window_size": 1, "maxout_pieces": 2, "subword_features": True}
    return {"@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": WIDTH, **settings}


def train(language, golds, folder, shared, epochs):
    """Train a pipeline on (words, tags of entities); its tagger says whether a word has a capital."""
    from spacy.tokens import Doc
    from spacy.training import Example

    nlp = spacy.blank(language)
    parser = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "extra_state_tokens": False}
    parser |= {"hidden_width": 32, "maxout_pieces": 2, "use_upper": False, "tok2vec": encoder(shared)}
    nlp.add_pipe("tok2vec", config={"model": encoder(False)})
    tagger = {"@architectures": "spacy.Tagger.v2", "nO": None, "normalize": False, "tok2vec": encoder(True)}
    nlp.add_pipe("tagger", config={"model": tagger})
    nlp.add_pipe("ner", config={"model": parser})
    examples = []
    for words, tags in golds:
        capitals = ["C" if word[0].isupper() else "c" for word in words]
        examples.append(Example(Doc(nlp.vocab, words), Doc(nlp.vocab, words, tags=capitals, ents=tags)))
    spacy.util.fix_random_seed(3)
    optimizer = nlp.initialize(lambda: examples)
    draw = Random(1)
    for _ in range(epochs):
        draw.shuffle(examples)
        for batch in spacy.util.minibatch(examples, 32):
            nlp.update(batch, sgd=optimizer, drop=0.1)
    nlp.to_disk(folder)
    return folder


# Making one takes a tenth of a second.
blank = cache(spacy.blank)


def gold(language, text, spans):
    doc = blank(language)(text)
    tags = ["O"] * len(doc)
    for start, end, label in spans:
        span = doc.char_span(start, end)
        tags[span.start : span.end] = [f"B-{label}"] + [f"I-{label}"] * (len(span) - 1)
    return [token.text for token in doc], tags


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place, draw = tmp_path_factory.mktemp("pipelines"), Random(7)
    made = {}
    for language, shared in (("en", True), ("fr", False)):
        golds = [gold(language, *sentence(language, draw)) for _ in range(160)]
        made[language] = str(train(language, golds, place / language, shared, epochs=6))
    return made


@pytest.fixture
def rows():
    draw = Random(11)
    made = []
    for number, language in enumerate(draw.choices(["en", "fr"], [2, 1], k=150)):
        text = " \U0001f389 ".join(sentence(language, draw)[0] for _ in range(draw.randint(1, 2)))
        text = text.replace("Zoé", "Zoe\u0301") if number % 2 else f"\t{text}\u00a0 "
        made.append({"id": f"r{number}", "text": text, "language": language, "image": f"{number}.jpg"})
    return made


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_input(path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def by_tokens(nlp, text):
    """The entities of a text read alone by the whole pipeline, put together from the tags of its tokens."""
    doc, spans, tokens = nlp(text), [], []
    for token in [*doc, None]:
        if tokens and (token is None or token.ent_iob_ != "I"):
            spans.append((tokens[0].idx, tokens[-1].idx + len(tokens[-1].text), tokens[0].ent_type_))
            tokens = []
        if token is not None and token.ent_iob_ != "O":
            tokens.append(token)
    return spans


def test_entities_are_those_of_the_whole_pipeline_text_by_text(folders, rows, tmp_path):
    done = preannotate_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "out", Pipelines(folders, batch=16))
    alone = {language: spacy.load(folder) for language, folder in folders.items()}
    made, told = lines(tmp_path / "out/rows.jsonl"), lines(tmp_path / "out/provenance.jsonl")
    number = 0
    for row, new, said in zip(rows, made, told, strict=True):
        expected = by_tokens(alone[row["language"]], row["text"])
        types = [Labels().type_of(label) for _, _, label in expected]
        found = [(one["start"], one["end"], one["text"], one["type"]) for one in new["entities"]]
        assert found == [(s, e, row["text"][s:e], type_) for (s, e, _), type_ in zip(expected, types, strict=True)]
        assert said == {"id": row["id"], "did": "preannotated", "labels": [label for _, _, label in expected]}
        assert {name: value for name, value in new.items() if name != "entities"} == row
        number += len(found)
    assert number > 200
    assert done.rows == 150 and done.core_seconds > 0 and done.seconds > 0


def test_the_small_pipelines_have_learnt_something(folders):
    draw, right, all_ = Random(2), 0, 0
    for language, folder in folders.items():
        nlp = spacy.load(folder)
        for _ in range(25):
            text, spans = sentence(language, draw)
            right += len(set(by_tokens(nlp, text)) & set(spans))
            all_ += len(spans)
    assert right / all_ > 0.7


def test_only_what_entities_hang_on_is_run(folders):
    pipelines = Pipelines(folders)
    assert {language: facts["components"] for language, facts in pipelines.by.items()} == {
        "en": ["tok2vec", "ner"],
        "fr": ["ner"],
    }
    whole = Pipelines(folders, whole=True)
    assert {tuple(facts["components"]) for facts in whole.by.values()} == {("tok2vec", "tagger", "ner")}
    assert pipelines.by["en"]["digest"] == whole.by["en"]["digest"] != pipelines.by["fr"]["digest"]


def test_a_pipeline_with_a_ruler_is_run_as_it_is(folders, tmp_path):
    nlp = spacy.load(folders["en"])
    ruler = nlp.add_pipe("entity_ruler", config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "GIFT", "pattern": [{"TAG": "c", "LOWER": "team"}]}])
    nlp.to_disk(tmp_path / "ruled")
    pipelines = Pipelines({"en": str(tmp_path / "ruled")})
    assert pipelines.by["en"]["components"] == ["tok2vec", "tagger", "ner", "entity_ruler"]
    (block,) = pipelines.annotate([[{"id": "a", "text": "a French team", "language": "en-GB"}]])
    assert (8 + 1, 13, "GIFT") in [span[:3] for span in block.readings[0].spans]


def slowly(source, out, folders, processes):
    """Runs the step so slowly that it can be killed in between."""
    pipelines = Pipelines(folders, batch=2, processes=processes)
    annotate = pipelines.annotate

    def wait(blocks):
        for block in annotate(blocks):
            time.sleep(0.02)
            yield block

    pipelines.annotate = wait
    preannotate_rows(source, out, pipelines, seconds=0.0)


def test_neither_sigkill_nor_processes_change_a_byte(folders, rows, tmp_path):
    source, out, draw = write(tmp_path / "in.jsonl", rows), tmp_path / "out", Random(5)
    preannotate_rows(source, tmp_path / "whole", Pipelines(folders, batch=2))
    journal = out / ".rows.jsonl.journal"
    for processes in (1, 1, 2):
        start = json.loads(journal.read_bytes())["done"] if journal.exists() else 0
        process = multiprocessing.get_context("fork").Process(target=slowly, args=(source, out, folders, processes))
        process.start()
        wanted, end = start + draw.randint(1, 30), time.monotonic() + PATIENCE
        while not (journal.exists() and json.loads(journal.read_bytes())["done"] >= wanted):
            assert process.is_alive() and time.monotonic() < end
            time.sleep(0.002)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert len(children) >= processes - 1 and all(gone(child) for child in children)
    assert not (out / "step.json").exists()
    preannotate_rows(source, out, Pipelines(folders, batch=2, processes=2))
    assert content(out) == content(tmp_path / "whole")


def gone(process):
    """Whether a process that lost its parent has ended (or is only waiting for somebody to hear of it)."""
    status, end = Path(f"/proc/{process}/stat"), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_rows_with_entities_are_left_alone_unless_they_are_replaced(folders, rows, tmp_path):
    own = [{"start": 0, "end": 2, "type": "GENE"}]
    rows = [row for row in rows if row["language"] == "en"][:40]
    for row, entities in zip(rows, (own, [], None), strict=False):
        row["entities"] = [{**one, "text": row["text"][:2]} for one in entities] if entities is not None else None
    source, pipelines = write(tmp_path / "in.jsonl", rows), Pipelines(folders)
    done = preannotate_rows(source, tmp_path / "kept", pipelines)
    made = lines(tmp_path / "kept/rows.jsonl")
    assert made[:2] == rows[:2] and made[2]["entities"] is not None
    assert (done.rows, done.summary.counts["did"]) == (38, {"kept": {"labelled": 2}, "preannotated": {"": 38}})

    preannotate_rows(source, tmp_path / "replaced", pipelines, Labels(numbers=False), replace=True)
    made, told = lines(tmp_path / "replaced/rows.jsonl"), lines(tmp_path / "replaced/provenance.jsonl")
    nlp, dates = spacy.load(folders["en"]), 0
    for row, said in zip(made, told, strict=True):
        found = by_tokens(nlp, row["text"])
        assert [one["start"] for one in row["entities"]] == [start for start, _, label in found if label != "DATE"]
        assert said.get("left_out", []) == [list(span) for span in found if span[2] == "DATE"]
        dates += len(said.get("left_out", []))
    assert dates > 3
    assert told[0]["had"] == [[0, 2, "GENE"]] and "had" not in told[1]


def test_languages_without_a_pipeline(folders, tmp_path):
    rows = [{"id": "a", "text": "Tom left Mali .", "language": "en_XX"}, {"id": "b", "text": "x", "language": "de"}]
    rows += [{"id": "c", "text": "x"}]
    source, pipelines = write(tmp_path / "in.jsonl", rows), Pipelines(folders)
    with pytest.raises(InputError, match=r"\(en, fr\), found de \(1 rows\), no language \(1 rows\)"):
        preannotate_rows(source, tmp_path / "out", pipelines)
    assert not (tmp_path / "out").exists()
    done = preannotate_rows(source, tmp_path / "out", pipelines, skip_languages=True)
    assert done.summary.counts["did"] == {"kept": {"language": 2}, "preannotated": {"": 1}}
    made = lines(tmp_path / "out/rows.jsonl")
    assert made[1:] == rows[1:] and made[0]["entities"] is not None


def test_step_json_says_who_it_was_and_another_one_is_refused(folders, rows, tmp_path):
    source = write(tmp_path / "in.jsonl", rows[:5])
    preannotate_rows(source, tmp_path / "out", Pipelines(folders))
    step = json.loads((tmp_path / "out/step.json").read_text())
    assert step["versions"]["spacy"] == spacy.__version__
    assert step["options"]["by"]["en"]["pipeline"] == "en_pipeline" and len(step["options"]["by"]["en"]["digest"]) == 32
    assert str(tmp_path.parent) not in json.dumps(step)
    assert preannotate_rows(source, tmp_path / "out", Pipelines(folders)).summary.before
    other = spacy.load(folders["en"])
    other.meta["version"] = "9.9.9"
    other.to_disk(tmp_path / "other")
    with pytest.raises(JournalError, match=r"options\.by\.en\.version: '9\.9\.9', was '0\.0\.0'"):
        preannotate_rows(source, tmp_path / "out", Pipelines({**folders, "en": str(tmp_path / "other")}))


def test_choose_takes_rows_of_two_entities_or_more(folders, rows, tmp_path):
    preannotate_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "labelled", Pipelines(folders))
    choice = choose_rows(read_input(tmp_path / "labelled"), tmp_path / "chosen", Wish({"en": 20, "fr": 10}, seed=1))
    assert choice.chosen == {"en": 20, "fr": 10}
    chosen = lines(tmp_path / "chosen/rows.jsonl")
    assert all(len(row["entities"]) >= 2 for row in chosen)
    few = sum(len(row["entities"]) < 2 for row in lines(tmp_path / "labelled/rows.jsonl"))
    assert few and choice.summary.counts["did"]["dropped"]["few entities"] == few


def test_texts_that_cannot_be_read_are_told(folders):
    reader = Reader(Pipelines(folders)._plan)
    nlp = reader._pipelines["en"]
    nlp.max_length = 10
    plain = nlp.tokenizer
    nlp.tokenizer = lambda text: plain(text.replace("!", "?"))
    texts = ["Tom", "", "   ", "Tom left Mali", "Tom !"]
    found = reader.read([("en", text) for text in texts]).readings
    assert [reading.why for reading in found] == [None, None, None, "too long", "other text"]


def test_missing_and_wrong_pipelines(folders, tmp_path):
    with pytest.raises(InputError, match="python -m spacy download fr_core_news_nosuch"):
        Pipelines({"fr": "fr_core_news_nosuch"})
    with pytest.raises(InputError, match=r"expected a pipeline for fr \(or xx, for any\), found one for en"):
        Pipelines({"fr": folders["en"]})
    with pytest.raises(InputError, match="expected a spaCy pipeline, found one that cannot be loaded"):
        Pipelines({"fr": str(tmp_path)})
    with pytest.raises(InputError, match="expected a spaCy pipeline, found one that cannot be loaded"):
        Pipelines({"fr": "pytest"})
    nlp = spacy.blank("fr")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "dumb")
    with pytest.raises(InputError, match=r"marks entities \(with a component ner\), found sentencizer"):
        Pipelines({"fr": str(tmp_path / "dumb")})


def sentences(path, most):
    """Words and tags of the first sentences of a file of the data sets."""
    for block in islice(path.read_text().split("\n\n"), most):
        fields = [line.split("\t") for line in block.split("\n") if line]
        yield [word for word, _ in fields], [tag for _, tag in fields]


@pytest.mark.shared
def test_a_pipeline_of_real_text_on_real_tweets(shared, tmp_path):
    golds = list(sentences(shared / "wikineural/en/valid.txt", 200))
    folder = train("en", golds, tmp_path / "pipeline", True, epochs=3)
    tweets = [row for row in lines(shared / "event-tweets/tweets.jsonl") if row["language"] == "en"][:150]
    rows = [{"id": f"t{number}", "text": row["text"], "language": "en"} for number, row in enumerate(tweets)]
    pipelines = Pipelines({"en": str(folder)}, batch=32)
    preannotate_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "out", pipelines)
    nlp = spacy.load(folder)
    found = 0
    for row in lines(tmp_path / "out/rows.jsonl"):
        places = [(one["start"], one["end"], one["type"]) for one in row["entities"]]
        assert places == by_tokens(nlp, row["text"])
        assert all(end <= start for (_, end, _), (start, _, _) in pairwise(places))
        assert all(row["text"][one["start"] : one["end"]] == one["text"] for one in row["entities"])
        found += len(places)
    assert found > 20
