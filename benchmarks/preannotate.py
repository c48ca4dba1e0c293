"""Making a data set: entities put into captions by spaCy pipelines, in one process and in several; rows a second.

The captions are made of the words of `captions.py`; the pipelines are trained here on a few of them, with the layers of
spaCy's small ones (a convolution over hashed features, 96 wide, 4 deep, one for the tagger and one for the ner; no
parser, which costs real ones still more). What they find means nothing. Beside the step stands `nlp.pipe` as one would
write it by hand: language by language, everything in memory, all components. Each subject runs in a process of its own.
Rows a second of a core count the time that the processor spent on reading (in all processes), for a busy machine makes
others of the clock (`wall_s`, loading included).
"""

import argparse
import json
import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path

from captions import LANGUAGES, NAMES, WORDS
from measure import apart, peak_memory, print_line

WIDTH = 96


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Write rows of four languages, one after the other."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"id": f"r{number}", "text": " ".join(sentence(draw)[0]), "language": LANGUAGES[number % 4]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def sentence(draw: random.Random) -> tuple[list[str], list[str]]:
    """The words of a caption with two names, and their tags."""
    words, tags = [], []
    for _ in range(2):
        for word in draw.choices(WORDS, k=draw.randint(3, 17)):
            words.append(word)
            tags.append("O")
        name = draw.choice(NAMES).split()
        words += name
        tags += ["B-LOC", *["I-LOC"] * (len(name) - 1)]
    return words, tags


def train(folder: Path, rows: int) -> None:
    """Train a pipeline for each language: a tok2vec, a tagger that listens to it, and a ner with one of its own."""
    import spacy
    from spacy.tokens import Doc
    from spacy.training import Example

    attributes = {"width": WIDTH, "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"], "include_static_vectors": False}
    tok2vec = {
        "@architectures": "spacy.Tok2Vec.v2",
        "embed": {"@architectures": "spacy.MultiHashEmbed.v2", "rows": [5000, 1000, 2500, 2500], **attributes},
        "encode": {
            "@architectures": "spacy.MaxoutWindowEncoder.v2",
            **{"width": WIDTH, "window_size": 1, "maxout_pieces": 3, "depth": 4},
        },
    }
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "*"}
    states = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "extra_state_tokens": False}
    states |= {"hidden_width": 64, "maxout_pieces": 2, "use_upper": True, "nO": None}
    tagger = {"@architectures": "spacy.Tagger.v2", "nO": None, "normalize": False, "tok2vec": listener}
    folder.mkdir()
    for language in LANGUAGES:
        nlp, draw = spacy.blank(language), random.Random(1)
        nlp.add_pipe("tok2vec", config={"model": tok2vec})
        nlp.add_pipe("tagger", config={"model": tagger})
        nlp.add_pipe("ner", config={"model": {**states, "tok2vec": tok2vec}})
        examples = []
        for words, tags in (sentence(draw) for _ in range(rows)):
            kinds = ["C" if word[0].isupper() else "c" for word in words]
            examples.append(Example(Doc(nlp.vocab, words), Doc(nlp.vocab, words, tags=kinds, ents=tags)))
        optimizer = nlp.initialize(lambda examples=examples: examples)
        for batch in spacy.util.minibatch(examples, 32):
            nlp.update(batch, sgd=optimizer)
        nlp.to_disk(folder / language)


def by_hand(rows: Path, pipelines: Path, out: Path) -> dict[str, float]:
    """All rows in memory, each language with its whole pipeline, then written."""
    import spacy

    read = [json.loads(line) for line in rows.open(encoding="utf-8")]
    loaded = {language: spacy.load(pipelines / language) for language in LANGUAGES}
    started = time.process_time()
    for language, nlp in loaded.items():
        own = [row for row in read if row["language"] == language]
        for row, doc in zip(own, nlp.pipe((row["text"] for row in own), batch_size=256), strict=True):
            row["entities"] = [{"start": e.start_char, "end": e.end_char, "type": e.label_} for e in doc.ents]
    seconds = time.process_time() - started
    out.write_text("".join(json.dumps(row) + "\n" for row in read), encoding="utf-8")
    return {"rows": len(read), "core_seconds": seconds}


def step(rows: Path, pipelines: Path, out: Path, processes: int, whole: bool) -> dict[str, float]:
    """The step as the command does it."""
    from babelens.build.preannotate import preannotate_rows
    from babelens.build.preannotate_pipelines import Pipelines
    from babelens.build.rows import read_input

    names = {language: str(pipelines / language) for language in LANGUAGES}
    done = preannotate_rows(read_input(rows), out, Pipelines(names, processes=processes, whole=whole))
    return {"rows": done.rows, "core_seconds": done.core_seconds}


def timed(subject, rows: Path, pipelines: Path, out: Path) -> dict[str, float]:
    """What a subject gives, its seconds of the clock, and the most memory of its own process, in MiB."""
    clock = time.perf_counter()
    found = subject(rows, pipelines, out)
    return {**found, "wall": time.perf_counter() - clock, "peak": peak_memory()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="captions to be made up")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--examples", type=int, default=200, help="captions that each pipeline is trained on")
    parser.add_argument("--processes", type=int, default=2, help="processes of the subject with several")
    options = parser.parse_args()
    subjects = {
        "by hand": by_hand,
        "one process, whole": partial(step, processes=1, whole=True),
        "one process": partial(step, processes=1, whole=False),
        f"{options.processes} processes": partial(step, processes=options.processes, whole=False),
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows, pipelines = place / "rows.jsonl", place / "pipelines"
        write_rows(rows, options.rows)
        apart(train, pipelines, options.examples)
        found = {name: [] for name in subjects}
        for run in range(options.runs):
            for number, (name, subject) in enumerate(subjects.items()):
                found[name].append(apart(partial(timed, subject), rows, pipelines, place / f"out-{number}-{run}"))
        first = sorted(one["core_seconds"] for one in found["by hand"])[options.runs // 2]
        for name, runs in found.items():
            seconds = [one["core_seconds"] for one in runs]
            facts = {
                "rows": options.rows,
                "rows_per_core_s": round(options.rows / sorted(seconds)[len(runs) // 2]),
                "wall_s": [round(one["wall"], 2) for one in runs],
                "peak_mib": round(max(one["peak"] for one in runs), 1),
                "niceness": os.nice(0),
            }
            print_line("preannotate", "building", name, seconds, first, ["spacy", "thinc"], **facts)


if __name__ == "__main__":
    main()
