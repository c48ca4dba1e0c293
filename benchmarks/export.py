"""Texts, and texts with pictures, through torch and through graphs of ONNX, in 32 bits and in 8: rows a second.

The model has random weights, which take as long as trained ones. All that is asked is in one process and takes turns;
batches are made beforehand, for that is the same for all. The answers are compared when the graphs are made.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from material import sentences
from measure import print_line, side_by_side
from step import made_corpus

from babelens.data import read_corpus
from babelens.models.batch import Batch, CorpusRows, Row
from babelens.models.checkpoint import new_tagger
from babelens.models.naming import named
from babelens.models.tagger import Tagger
from babelens.prediction.export import export_tagger
from babelens.prediction.onnx_engine import load_exported
from babelens.schema import TagSet

PACKAGES = ("babelens", "torch", "transformers", "onnx", "onnxruntime")
KINDS = {"text": False, "text and picture": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="2m-ner", help="a model of the zoo [%(default)s]")
    parser.add_argument("--encoders", choices=("compact", "random"), default="compact", help="how large the model is")
    parser.add_argument("--rows", type=int, default=256, help="rows that are read [%(default)s]")
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch [%(default)s]")
    parser.add_argument("--runs", type=int, default=5, help="passes over all rows that are timed [%(default)s]")
    parser.add_argument("--threads", type=int, help="threads of each engine [default: torch's own choice]")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with made_corpus(options.rows) as path:
        corpus = read_corpus(path)
        model = named(options.model, options.encoders)
        tagger = new_tagger(model, TagSet(corpus.types), sentences).eval()
        engines = make_engines(tagger, path.parent)
        rows = [CorpusRows(corpus)[number] for number in range(options.rows)]
        for kind, pictured in KINDS.items():
            if pictured <= bool(model.views):
                report(options, kind, engines, batches(tagger, rows, pictured, options.batch))


def make_engines(tagger: Tagger, folder: Path) -> dict[str, Tagger]:
    """The tagger, and its graphs."""
    export_tagger(tagger, folder / "float32")
    export_tagger(tagger, folder / "int8", int8=True)
    return {
        "torch": tagger,
        "onnxruntime": load_exported(folder / "float32"),
        "onnxruntime, int8": load_exported(folder / "int8"),
    }


def batches(tagger: Tagger, rows: list[Row], pictured: bool, size: int) -> list[Batch]:
    """The rows in batches, with their pictures or as if they had none."""
    asked = rows if pictured else [Row(row.example) for row in rows]
    collator = tagger.collator()
    return [collator(asked[start : start + size], labelled=False) for start in range(0, len(asked), size)]


def report(options: argparse.Namespace, kind: str, engines: dict[str, Tagger], made: list[Batch]) -> None:
    """Time the engines, and print a line for each."""
    subjects = {
        name: lambda engine=engine: [engine.decode(batch) for batch in made] for name, engine in engines.items()
    }
    seconds = side_by_side(subjects, runs=options.runs, warm=1)
    peer = statistics.median(seconds["torch"])
    facts: dict[str, Any] = {
        "model": options.model,
        "encoders": options.encoders,
        "rows": options.rows,
        "batch": options.batch,
        "threads": torch.get_num_threads(),
    }
    for name, own in seconds.items():
        rate = round(options.rows / statistics.median(own), 1)
        print_line("export", kind, name, own, peer, PACKAGES, **facts, rows_per_s=rate)


if __name__ == "__main__":
    main()
