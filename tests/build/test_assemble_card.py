import json
from collections import Counter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.agreement import measure_agreement, write_agreement
from babelens.build.agreement_rows import read_annotations
from babelens.build.assemble import assemble
from babelens.build.assemble_inputs import Source
from babelens.build.card import Card
from babelens.build.card_tables import order_types, size_category
from babelens.build.markdown import escape, grid
from babelens.data.problems import DataError

NAMES = {"Anna": "PER", "Lyon": "LOC", "Siemens": "ORG"}


def row_of(number):
    name = list(NAMES)[number % 3]
    text = f"{name} | met {hash_of(number)} <b>people</b>"
    entities = [{"start": 0, "end": len(name), "text": name, "type": NAMES[name]}]
    return {
        "id": f"r{number}",
        "text": text,
        "language": "de" if number % 5 == 0 else "en",
        "source": "captions" if number % 2 else "tweets",
        "entities": entities,
    }


def hash_of(number):
    return "".join(chr(97 + (number * step) % 26) for step in (1, 3, 5, 7, 11, 17, 19, 21, 23, 25, 2, 9)) + str(number)


@pytest.fixture
def rows():
    return [row_of(number) for number in range(50)]


@pytest.fixture
def source(rows, tmp_path):
    folder = tmp_path / "gold"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    step = {"step": "gold", "options": {"rate": 0.5}, "counts": {"read": 60, "rows": 50, "did": {"kept": {"": 50}}}}
    (folder / "step.json").write_text(json.dumps(step))
    return Source(str(folder))


def tables(card):
    """The tables of a card: lists of rows, cells by the names of their columns, with those of one name numbered."""
    found, head = [], None
    for line in card.splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")]
        if head is None:
            head = cells
            found.append([])
        elif not set(cells) <= {"---", "---:"}:
            found[-1].append(dict(zip(head, cells, strict=True)))
    return found


def test_the_front_matter_is_what_the_hub_reads(source, tmp_path):
    assemble([source], tmp_path / "out", card=Card(title="A: set #1", licence="cc-by-4.0"))
    front = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---\n")[1])
    assert front["language"] == ["de", "en"]
    assert (front["license"], front["pretty_name"]) == ("cc-by-4.0", "A: set #1")
    assert (front["multilinguality"], front["size_categories"]) == ("multilingual", "n<1K")
    files = front["configs"][0]["data_files"]
    assert [file["split"] for file in files] == ["train", "validation", "test"]
    assert all((tmp_path / "out" / file["path"]).is_file() for file in files)


def test_table_2_counts_the_rows(source, rows, tmp_path):
    out = tmp_path / "out"
    assemble([source], out)
    counts = tables((out / "README.md").read_text())[0]
    expected = Counter()
    for part in ("train", "valid", "test"):
        for line in (out / f"{part}.jsonl").read_text().splitlines():
            row = json.loads(line)
            expected[row["language"], "sentences", part] += 1
            expected[row["language"], "all entities", part] += len(row["entities"])
            for entity in row["entities"]:
                expected[row["language"], entity["type"], part] += 1
    found = {
        (line["language"], line[""], part): int(line[part]) for line in counts for part in ("train", "valid", "test")
    }
    assert found == {key: expected[key] for key in found}
    assert set(expected) <= set(found)
    assert sum(int(line["all"]) for line in counts if line[""] == "sentences") == len(rows)
    assert [line[""] for line in counts[:5]] == ["PER", "LOC", "ORG", "all entities", "sentences"]


def test_the_whole_card(source, rows, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "train.txt").write_text("IMGID:1\nLyon\tB-LOC\n\nParis\tB-CITY\n\n")
    before = tmp_path / "captions"
    before.mkdir()
    (before / "step.json").write_text(
        json.dumps({"step": "captions", "options": {}, "counts": {"read": 100, "rows": 60, "did": {}}})
    )
    card = Card(
        licences={"tweets": "CC BY 4.0"},
        compared={"other": other},
        steps=(before,),
        examples=3,
        limits=["Only two annotators."],
    )
    assemble([source], tmp_path / "out", card=card)
    text = (tmp_path / "out" / "README.md").read_text()
    _, comparison, shown, licences, steps, leaks, _ = tables(text)
    assert [line["sentences"] for line in comparison] == ["50", "2"]
    assert (comparison[1]["entities"], comparison[1]["types"], comparison[1]["picture files"]) == (
        "2",
        "LOC, CITY",
        "0",
    )
    assert Counter((line["source"], line["language"]) for line in shown) == dict.fromkeys(
        [(source, language) for source in ("captions", "tweets") for language in ("de", "en")], 3
    )
    assert all("**" in line["text"] and "<b>" not in line["text"].replace("\\<", "") for line in shown)
    assert [(line["source"], line["licence"]) for line in licences] == [
        ("captions", "not stated: ask before passing it on"),
        ("tweets", "CC BY 4.0"),
    ]
    assert [(line["folder"], line["step"], line["read"], line["rows"]) for line in steps] == [
        ("captions", "captions", "100", "60"),
        ("gold", "gold", "60", "50"),
    ]
    assert len(leaks) == 6
    assert {line["any"] for line in leaks} == {"0"}
    assert "- Only two annotators." in text
    assert "- 50 of 50 sentences have no picture." in text
    assert "- No licence is stated for captions." in text


def test_agreement_is_told(source, tmp_path):
    annotations = tmp_path / "annotations.jsonl"
    lines = []
    for number in range(4):
        text, entity = "Anna met Tom", {"start": 0, "end": 4, "text": "Anna", "type": "PER"}
        second = [entity] if number else []
        for name, entities in (("a", [entity]), ("b", second)):
            lines.append({"id": f"r{number}", "text": text, "annotator": name, "entities": entities})
    annotations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = measure_agreement(read_annotations(annotations), draws=20)
    write_agreement(report, tmp_path / "agreement")
    assemble([source], tmp_path / "out", card=Card(agreement=tmp_path / "agreement" / "agreement.json"))
    text = (tmp_path / "out" / "README.md").read_text()
    # Of 7 spans marked, 3 pairs are alike: 2 * 3 / 7.
    (found,) = [line for table in tables(text) for line in table if line.get("figure") == "F1, spans and types"]
    assert found["value (95 % interval)"].startswith("85.7")
    assert "was not told" not in text


def test_what_is_not_there(source, tmp_path):
    with pytest.raises(DataError, match=r"expected an agreement\.json"):
        assemble([source], tmp_path / "out", card=Card(agreement=tmp_path / "agreement.json"))
    with pytest.raises(DataError, match="the folder of a step that is done"):
        assemble([source], tmp_path / "out", card=Card(steps=(tmp_path,)))
    (tmp_path / "agreement.json").write_text("{}")
    with pytest.raises(DataError, match="the report of an agreement"):
        assemble([source], tmp_path / "out", card=Card(agreement=tmp_path / "agreement.json"))
    assert not (tmp_path / "out").exists()


@given(st.text())
def test_cells_stay_cells(text):
    line = grid(["a"], [[text]], left=1).splitlines()[-1]
    assert len(grid(["a"], [[text]], left=1).split("\n")) == 3
    plain = line[2:-2].replace("\\\\", "").replace("\\|", "")
    assert "|" not in plain


def test_words_of_the_hub():
    assert [size_category(rows) for rows in (10, 1_000, 99_999, 42_908_000)] == [
        "n<1K",
        "1K<n<10K",
        "10K<n<100K",
        "n>10M",
    ]
    assert order_types(["MISC", "ACT", "PER"]) == ["PER", "MISC", "ACT"]
    assert escape("a|b\nc") == "a\\|b c"
