"""Prediction over a file, as the command does it: rows a second beside the loop one would write by hand, and memory.

The model is a compact 2M-NER with random weights, which take as long as trained ones. The rows are texts of its
built-in corpus, one in a hundred with a picture. Each subject runs in a process of its own; the loop reads the first
rows only, and its time is that of as many.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from measure import apart, peak_memory, print_line

PACKAGES = ("babelens", "torch", "transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the file [%(default)s]")
    parser.add_argument("--alone", type=int, default=2_000, help="rows that the loop reads [%(default)s]")
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch [%(default)s]")
    parser.add_argument("--threads", type=int, help="threads of torch [default: its own choice]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        apart(make, options, folder)
        rows = options.rows
        alone, facts = apart(one_by_one, options, folder)
        alone *= rows / options.alone
        print_line(
            "bulk", f"{rows:,} rows", "one by one", [alone], alone, PACKAGES, rows_per_s=round(rows / alone, 1), **facts
        )
        seconds, facts = apart(in_bulk, options, folder)
        print_line(
            "bulk",
            f"{rows:,} rows",
            "predict",
            [seconds],
            alone,
            PACKAGES,
            rows_per_s=round(rows / seconds, 1),
            **facts,
        )


def make(options: argparse.Namespace, folder: Path) -> None:
    """Leave a model folder and a file of rows."""
    from PIL import Image

    from babelens.data import read_split
    from babelens.data.postcards import write_postcards
    from babelens.evaluation.demo import sizes_for
    from babelens.models.checkpoint import new_tagger, save_tagger
    from babelens.models.naming import named
    from babelens.schema import TagSet

    write_postcards(folder / "postcards", 0, sizes_for(800))
    corpus = read_split([str(folder / "postcards")], "train")
    torch.manual_seed(0)
    tagger = new_tagger(named("2m-ner", "compact"), TagSet(corpus.types), lambda: [row.words for row in corpus])
    save_tagger(tagger, folder / "model")
    (folder / "images").mkdir()
    for number in range(100):
        Image.new("RGB", (128, 128), (2 * number, 99, 200 - number)).save(folder / "images" / f"{number}.jpg")
    texts = [" ".join(row.words) for row in corpus]
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as file:
        for number in range(options.rows):
            row = {"id": str(number), "text": texts[number % len(texts)]}
            if number % 100 == 0:
                row["image"] = str(number // 100 % 100)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def one_by_one(options: argparse.Namespace, folder: Path) -> tuple[float, dict]:
    """Read the first rows one after the other; also returns what is to be told of it."""
    import babelens

    threads(options)
    predictor = babelens.load(folder / "model", "cpu")
    with open(folder / "rows.jsonl", encoding="utf-8") as file, open(folder / "alone.jsonl", "w") as out:
        start = 0.0
        for number, line in enumerate(file):
            if number == options.alone:
                break
            if number == min(8, options.alone - 1):
                start = time.perf_counter()
            row = json.loads(line)
            image = folder / "images" / f"{row['image']}.jpg" if "image" in row else None
            out.write(json.dumps(predictor.predict(row["text"], image).to_dict()) + "\n")
    return time.perf_counter() - start, {"peak_mib": round(peak_memory(), 1)}


def in_bulk(options: argparse.Namespace, folder: Path) -> tuple[float, dict]:
    """Read the file as `babelens predict` does; also returns what is to be told of it."""
    import babelens
    from babelens.prediction.bulk import answer_file
    from babelens.prediction.inputs import Rows
    from babelens.prediction.stream import Pace

    threads(options)
    predictor = babelens.load(folder / "model", "cpu")
    rows = Rows(str(folder / "rows.jsonl"))
    start = time.perf_counter()
    tally = answer_file(predictor, rows, folder / "out.jsonl", pace=Pace(options.batch))
    seconds = time.perf_counter() - start
    assert tally.rows == options.rows
    return seconds, {"batch": options.batch, "peak_mib": round(peak_memory(), 1)}


def threads(options: argparse.Namespace) -> None:
    """Give torch so many threads as are asked for."""
    if options.threads:
        torch.set_num_threads(options.threads)


if __name__ == "__main__":
    main()
