"""Reading a corpus: the first time, when it is parsed; from the cache; and row by row. With the memory that it takes.

Beside it stands the shortest reader that one would write by hand, which checks nothing and keeps everything in memory.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from measure import peak_memory, report, side_by_side

WORDS = ["the", "rain", "over", "a", "bridge", "was", "seen", "by", "many", "near", "old", "trains", "and", "ships"]
NAMES = ["Ada", "Lisbon", "Orsay", "Nadia", "Kyoto", "Bergen", "Ines", "Porto", "Lena", "Turin"]
TYPES = ["PER", "LOC", "ORG", "MISC"]


def write_corpus(path: Path, rows: int, seed: int = 0) -> None:
    """Write sentences of 5 to 27 words, about as long and as full of names as those of MMNERD."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in range(rows):
            file.write(f"IMGID:{row}\n")
            left = draw.randint(5, 27)
            while left > 0:
                if draw.random() < 0.1:
                    type_, length = draw.choice(TYPES), min(left, draw.randint(1, 3))
                    for place in range(length):
                        file.write(f"{draw.choice(NAMES)}\t{'I' if place else 'B'}-{type_}\n")
                    left -= length
                else:
                    file.write(f"{draw.choice(WORDS)}{draw.randrange(2000)}\tO\n")
                    left -= 1
            file.write("\n")


def by_hand(files: list[Path]) -> list[tuple[list[str], list[str]]]:
    rows: list[tuple[list[str], list[str]]] = []
    for file in files:
        words: list[str] = []
        tags: list[str] = []
        for line in file.read_text(encoding="utf-8").split("\n"):
            if not line:
                if words:
                    rows.append((words, tags))
                words, tags = [], []
            elif not line.startswith("IMGID:"):
                word, tag = line.split("\t")
                words.append(word)
                tags.append(tag)
        if words:
            rows.append((words, tags))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, help="a file or a data directory [default: one made up]")
    parser.add_argument("--rows", type=int, default=25_000, help="sentences of the corpus that is made up")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        os.environ["BABELENS_CACHE"] = str(cache)
        from babelens.data import read_corpus

        path = options.path
        if path is None:
            path = Path(folder) / "train.txt"
            write_corpus(path, options.rows)
        files = [path] if path.is_file() else [path / f"{split}.txt" for split in ("train", "valid", "test")]
        if not all(file.is_file() for file in files):
            sys.exit(f"expected a CoNLL file, or a folder with train.txt, valid.txt and test.txt, found {path}")

        def first_time() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            read_corpus(path)

        before = peak_memory()
        first_time()
        growth = peak_memory() - before
        corpus = read_corpus(path)
        if len(corpus) != len(by_hand(files)):
            sys.exit(f"expected {len(by_hand(files))} rows, as read by hand, found {len(corpus)}")
        facts = {"rows": len(corpus), "words": int(corpus.lengths.sum()), "first_read_adds_mib": round(growth, 1)}
        subjects = {
            "by hand": lambda: by_hand(files),
            "babelens, first time": first_time,
            "babelens, from the cache": lambda: read_corpus(path),
            "babelens, every row": lambda: sum(len(example.words) for example in read_corpus(path)),
        }
        seconds = side_by_side(subjects, options.runs, warm=1)
        report("reading", "CoNLL", seconds, ["babelens", "pyarrow"], **facts)


if __name__ == "__main__":
    main()
