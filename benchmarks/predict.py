"""Answers of a trained model that is loaded from its folder: how long one takes, and how many a second there are.

The model is a compact 2M-NER with random weights, which take as long as trained ones. What many answers a second are
beside is the loop that one would write by hand: one text after the other.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from material import sentences
from measure import apart, peak_memory, print_line
from step import made_corpus

import babelens
from babelens.data import Corpus, read_corpus
from babelens.models.checkpoint import new_tagger, save_tagger
from babelens.models.naming import named
from babelens.schema import TagSet

PACKAGES = ("babelens", "torch", "transformers")
WARM = 8
KINDS = {"text": False, "text and picture": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=256, help="texts that are answered [%(default)s]")
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch [%(default)s]")
    parser.add_argument("--runs", type=int, default=3, help="passes over all texts that are timed [%(default)s]")
    parser.add_argument("--encoders", choices=("compact", "random"), default="compact", help="how large the model is")
    parser.add_argument("--threads", type=int, help="threads of torch [default: its own choice]")
    options = parser.parse_args()
    with made_corpus(options.rows) as path:
        folder = path.parent / "model"
        apart(make_model, options, path, folder)
        for kind, pictured in KINDS.items():
            measured = {
                name: apart(measure, options, path, folder, pictured)
                for name, measure in {"one by one": one_by_one, "in batches": in_batches}.items()
            }
            seconds, latencies, facts = measured["one by one"]
            print_line("predict", "one text", kind, latencies, None, PACKAGES, **facts, **percentiles(latencies))
            peer = statistics.median(seconds)
            for name, (times, _, own) in measured.items():
                rate = {"rows_per_s": round(options.rows / statistics.median(times), 1)}
                print_line("predict", f"many: {kind}", name, times, peer, PACKAGES, **own, **rate)


Measured = tuple[list[float], list[float], dict[str, Any]]


def make_model(options: argparse.Namespace, path: Path, folder: Path) -> None:
    """Leave a model folder."""
    torch.manual_seed(0)
    save_tagger(new_tagger(named("2m-ner", options.encoders), TagSet(read_corpus(path).types), sentences), folder)


def one_by_one(options: argparse.Namespace, path: Path, folder: Path, pictured: bool) -> Measured:
    """Ask for one text after the other; also returns the seconds of each."""
    predictor, rows = load(options, folder), questions(read_corpus(path), pictured)
    for row in rows[:WARM]:
        predictor.predict(row["tokens"], row.get("image"))
    passes, latencies = [], []
    for _ in range(options.runs):
        start = time.perf_counter()
        for row in rows:
            asked = time.perf_counter()
            predictor.predict(row["tokens"], row.get("image"))
            latencies.append(time.perf_counter() - asked)
        passes.append(time.perf_counter() - start)
    return passes, latencies, facts_of(options, 1)


def in_batches(options: argparse.Namespace, path: Path, folder: Path, pictured: bool) -> Measured:
    """Ask for all texts at once."""
    predictor, rows = load(options, folder), questions(read_corpus(path), pictured)
    passes = []
    list(predictor.predict_batch(rows[:WARM], batch=options.batch))
    for _ in range(options.runs):
        start = time.perf_counter()
        answers = list(predictor.predict_batch(rows, batch=options.batch))
        passes.append(time.perf_counter() - start)
        used = sum(answer.image_status == "used" for answer in answers)
        assert len(answers) == len(rows) and used == pictured * len(rows)
    return passes, [], facts_of(options, options.batch)


def load(options: argparse.Namespace, folder: Path) -> Any:
    """The model, as a user has it."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return babelens.load(folder, device="cpu")


def questions(corpus: Corpus, pictured: bool) -> list[dict[str, Any]]:
    """What is asked, as a mapping: words, and the path of a picture."""
    asked = []
    for number, example in enumerate(corpus):
        picture = corpus.picture_source(corpus.picture_keys(number)[0])
        asked.append({"tokens": list(example.words), **({"image": picture} if pictured else {})})
    return asked


def facts_of(options: argparse.Namespace, batch: int) -> dict[str, Any]:
    """What was measured; the peak is of the process of this subject, libraries included."""
    return {
        "encoders": options.encoders,
        "rows": options.rows,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "peak_mib": round(peak_memory()),
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The time within which half of the answers came, and 99 in 100 (ms)."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": round(1000 * cuts[49], 2), "p99_ms": round(1000 * cuts[98], 2)}


if __name__ == "__main__":
    main()
