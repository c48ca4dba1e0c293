import csv
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.caption_readers import read_captions
from babelens.build.captions import Cleaner, Rules, take_captions, words_out_of
from babelens.build.rows import entities_fault, read_input
from babelens.data.journal import JournalError
from babelens.data.words import split_words


def clean(text, rules=None, **fields):
    """What becomes of one text: what is said, and the row."""
    result = Cleaner(rules or Rules(min_words=1)).clean({"id": "1", "text": text, "language": "en", **fields})
    return dict(result.said), result.rows[0] if result.rows else None


def test_good_text_is_kept_as_it_is():
    said, row = clean("Zoë’s café in São Paulo 👩‍👩‍👧 — 東京", image="1.jpg", url="u")
    assert said == {"did": "kept"}
    assert row == {
        "id": "1",
        "text": "Zoë’s café in São Paulo 👩‍👩‍👧 — 東京",
        "language": "en",
        "image": "1.jpg",
        "url": "u",
    }


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("  two  blanks\t here\u00a0!\n", "two blanks here !", "blanks"),
        ("cafe\u0301 au lait", "café au lait", "unicode"),
        ("cafe\u0301\u3000au lait", "café au lait", "unicode, blanks"),
    ],
)
def test_unicode_and_blanks_are_made_one(before, after, why):
    said, row = clean(before)
    assert (said, row["text"]) == ({"did": "changed", "why": why}, after)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \t\u2003", "empty"),
        ("it\u0092s here", "control characters"),
        ("a \x07 bell", "control characters"),
        ("half \ud83d of it", "control characters"),
        ("was \ufffd once", "control characters"),
        ("two words", "too few words"),
        ("don't", "too few words"),
        ("one , two . three ! four", "too many words"),
    ],
)
def test_what_is_unfit_is_dropped_with_its_reason(text, why):
    assert clean(text, Rules(min_words=3, max_words=6)) == ({"did": "dropped", "why": why}, None)


@pytest.mark.parametrize("token", ["<PERSON>", "<person>", "< PERSON >", "<PERSONNE>", "<Persona>", "<PERSONEN>"])
def test_what_becomes_of_removed_names(token):
    text = f"{token} meets {token}, and the president"
    assert clean(text) == ({"did": "dropped", "why": "person"}, None)
    assert clean(text, Rules(person="keep"))[1]["text"] == text
    said, row = clean(text, Rules(person="mask"))
    assert row["text"] == "PERSON meets PERSON, and the president"
    assert said == {"did": "changed", "why": "person", "persons": 2}


def test_other_things_in_angle_brackets_are_no_names():
    assert clean("a < b > c, <LOC>, personal <persons> of")[0] == {"did": "dropped", "why": "person"}
    assert clean("a < b > c, <LOC>, a person, <per son>")[0] == {"did": "kept"}


def test_languages_are_chosen_by_any_code_of_theirs():
    rules = Rules(languages=("en", "fr"), min_words=1)
    assert clean("text", rules, language="fr_XX")[1]["language"] == "fr"
    assert clean("text", rules, language="eng_Latn")[1]["language"] == "en"
    assert clean("text", rules, language="de_DE")[0] == {"did": "dropped", "why": "language", "language": "de_DE"}
    assert clean("text", rules, language="und")[0]["language"] == "und"
    assert clean("text", rules, language=None)[0] == {"did": "dropped", "why": "language"}
    assert "language" not in clean("text", language=None)[1]


def test_repeats_are_of_one_language_and_of_what_remained():
    cleaner = Cleaner(Rules(languages=("en", "fr")))
    rows = [("the same old text", "en"), ("the  same old text", "en"), ("the same old text", "fr"),
            ("other text here", "de"), ("other text here", "en"), ("the same old text", "en_XX")]  # fmt: skip
    said = [
        result.said.get("why", result.said["did"])
        for result in cleaner.take({"id": str(i), "text": t, "language": code} for i, (t, code) in enumerate(rows))
    ]
    assert said == ["kept", "repeat", "kept", "language", "kept", "repeat"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=6),
            st.sampled_from(
                ["don't", "l'eau", "U.S.", "1.5", "a_b", "x-y", "#tag", "東京", "…", "A.B.", "http://a.b/c"]
            ),
        ),
        max_size=12,
    ),
    st.integers(1, 8),
    st.integers(0, 20),
)
def test_words_are_counted_as_the_splitter_counts(pieces, fewest, more):
    text = " ".join(" ".join(pieces).split())
    words = len(split_words(text))
    expected = "too few words" if words < fewest else "too many words" if words > fewest + more else None
    if text:
        assert words_out_of(text, fewest, fewest + more) == expected


def one_by_one(text):
    return " ".join(unicodedata.normalize("NFC", text).split())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["Zoe\u0308", "Anna", "Ko\u0308ln", "東京", "PER", "👩‍🚀", "e\u0301", "x"]), min_size=1),
    st.lists(st.sampled_from([" ", "  ", "\u00a0", "\t ", "\n"]), min_size=1),
    st.randoms(),
)
def test_entities_stand_at_their_places_after_all_changes(words, blanks, draw):
    text, spans = draw.choice(["", " "]), []
    for word in words:
        spans.append((len(text), len(text) + len(word)))
        text += word + draw.choice(blanks)
    first = draw.randrange(len(words))
    last = draw.randrange(first, len(words))
    start, end = spans[first][0], spans[last][1]
    entity = {"start": start, "end": end, "text": text[start:end], "type": "MISC", "score": 0.5}
    said, row = clean(text, entities=[entity])
    assert row is not None, said
    (moved,) = row["entities"]
    assert entities_fault(row["entities"], row["text"]) is None
    assert moved["text"] == one_by_one(text[start:end])
    assert moved["start"] == len(one_by_one(text[:start] + "x")) - 1
    assert (moved["type"], moved["score"]) == ("MISC", 0.5)


def test_an_entity_that_a_change_cuts_through_drops_the_row():
    text = "a cafe\u0301 here"
    assert clean(text, entities=[{"start": 2, "end": 6, "text": "cafe", "type": "LOC"}])[0]["why"] == "entities"


def test_types_are_renamed_and_left_out():
    entities = [
        {"start": 0, "end": 4, "text": "Anna", "type": "OTHER"},
        {"start": 8, "end": 12, "text": "Rome", "type": "T"},
    ]
    said, row = clean("Anna in Rome", Rules(types={"OTHER": "MISC", "T": "O"}), entities=entities)
    assert row["entities"] == [{"start": 0, "end": 4, "text": "Anna", "type": "MISC"}]
    assert said == {"did": "changed", "why": "types"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table as the benchmark makes it, of a thousand rows."""
    benchmarks = Path(__file__).resolve().parents[2] / "benchmarks"
    path = tmp_path_factory.mktemp("captions") / "captions.tsv"
    code = f"from pathlib import Path; from captions import write_captions; write_captions(Path({str(path)!r}), 1000)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=benchmarks)
    return path


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_step_writes_what_it_counts(table, tmp_path):
    summary = take_captions(read_captions([str(table)]), tmp_path / "out", Rules())
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    told = [json.loads(line) for line in (tmp_path / "out/provenance.jsonl").read_text().splitlines()]
    with open(table, newline="") as file:
        read = [(row["caption"], row["lang_id"]) for row in csv.DictReader(file, delimiter="\t")]
    distinct = dict.fromkeys(row for row in read if "<PERSON>" not in row[0])
    persons = sum("<PERSON>" in caption for caption, _ in read)
    repeats = 1000 - persons - len(distinct)
    assert repeats > 10
    assert summary.counts["did"] == {
        "dropped": {"person": persons, "repeat": repeats},
        "kept": {"": len(distinct)},
    }
    assert [(row["text"], row["language"]) for row in rows] == list(distinct)
    assert [line["id"] for line in told] == [f"captions:{number}" for number in range(2, 1002)]
    assert [row["id"] for row in rows] == [line["id"] for line in told if line["did"] == "kept"]
    assert {row["group"] for row in rows} == {row["image"] for row in rows}
    assert sum(1 for row in read_input(tmp_path / "out").rows()) == len(rows)


def run(table, out, seconds, pause=0.0):
    source = read_captions([str(table)])
    take_captions(source, out, Rules(), seconds=seconds, tell=lambda done: time.sleep(pause))


def test_sigkill_at_random_moments_gives_the_same_bytes(table, tmp_path):
    run(table, tmp_path / "whole", 2.0)
    out, draw = tmp_path / "out", Random(11)
    journal = out / ".rows.jsonl.journal"
    for _ in range(3):
        before = json.loads(journal.read_bytes())["done"] if journal.exists() else 0
        process = multiprocessing.get_context("fork").Process(target=run, args=(table, out, 0.0, 0.001))
        process.start()
        wanted = before + draw.randint(1, 60)
        while process.is_alive() and not (journal.exists() and json.loads(journal.read_bytes())["done"] >= wanted):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    # Repeats of captions that an earlier run has written are known again.
    run(table, out, 2.0)
    assert content(out) == content(tmp_path / "whole")


def test_other_rules_on_the_same_folder_are_refused(table, tmp_path):
    take_captions(read_captions([str(table)]), tmp_path / "out", Rules())
    with pytest.raises(JournalError, match=r"options\.person: 'mask', was 'drop'"):
        take_captions(read_captions([str(table)]), tmp_path / "out", Rules(person="mask"))


MEMORY = """
import resource, sys
from pathlib import Path
from babelens.build.caption_readers import read_captions
from babelens.build.captions import Rules, take_captions
take_captions(read_captions(sys.argv[1:2]), Path(sys.argv[2]), Rules())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(rows):
        path = tmp_path / f"{rows}.tsv"
        with open(path, "w") as file:
            file.write("image\tcaption\tlang\n")
            file.writelines(f"{row}.jpg\ta caption of number {row} {'word ' * 20}\ten\n" for row in range(rows))
        out = str(tmp_path / f"out-{rows}")
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(path), out], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    small, large = peak(500), peak(40_000)  # 5 MB of text more
    assert large - small < 4 << 20
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1 << 30
