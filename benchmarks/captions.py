"""Making a data set: captions read, cleaned and written, then a seeded choice; rows a second and the memory they take.

The captions are made up, in the layout of the multilingual Conceptual 12M: about 20 words each, in four languages, one
in twelve with <PERSON>, one in fifty a repeat. Beside the step stands the shortest loop that one would write by hand,
which reads the same file with Python's csv, checks nothing, and writes JSON. Each subject runs in a process of its own.
Times are those of the processor (`median_ms`), for a busy machine makes others of the clock (`wall_s`).
"""

import argparse
import csv
import json
import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path

from measure import apart, peak_memory, print_line

LANGUAGES = ("en", "fr", "de", "es")
WORDS = ["the", "rain", "over", "bridge", "was", "seen", "by", "many", "near", "old", "trains", "and", "ships"]
WORDS += ["pont", "vieux", "soleil", "marché", "straße", "über", "häuser", "puente", "río", "mañana", "calle", "azul"]
NAMES = ("Lisbon", "Orsay", "Kyoto", "Bergen", "Porto", "Turin", "Zürich", "São Paulo", "Museum of Modern Art")


def write_captions(path: Path, rows: int, seed: int = 0) -> None:
    """Write a table of captions; four rows in a row are of one picture, each in another language."""
    draw = random.Random(seed)
    before = [f"a caption in {language} that stands here for the first time" for language in LANGUAGES]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["image_file", "caption", "url", "lang_id"])
        for row in range(rows):
            words = draw.choices(WORDS, k=draw.randint(6, 34))
            words[draw.randrange(len(words))] = draw.choice(NAMES)
            words[draw.randrange(len(words))] = draw.choice(NAMES)
            if row % 12 == 5:
                words[0] = "<PERSON>"
            language = row % len(LANGUAGES)
            caption = before[language] if row % 50 == 7 else f"{' '.join(words)} {row}"
            before[language] = caption
            picture = f"{row // 4:08d}_{row % 977}.jpg"
            writer.writerow([picture, caption, f"https://pictures.example/{picture}", LANGUAGES[language]])


def by_hand(path: Path, out: Path) -> int:
    """The rows of a table as JSONL, with nothing looked at."""
    with path.open(encoding="utf-8", newline="") as file, out.open("w", encoding="utf-8") as written:
        for number, row in enumerate(csv.DictReader(file, delimiter="\t")):
            written.write(json.dumps({"id": number, **row}, ensure_ascii=False) + "\n")
    return number + 1


def captions(path: Path, out: Path) -> int:
    """The step as the command does it."""
    from babelens.build.caption_readers import read_captions
    from babelens.build.captions import Rules, take_captions

    return take_captions(read_captions([str(path)]), out, Rules()).counts["rows"]


def choose(path: Path, out: Path) -> int:
    """A choice among the rows that remained, in the proportions of the paper."""
    from babelens.build.choose import Wish, choose_rows
    from babelens.build.rows import read_input

    source = read_input(path)
    most = max(json.loads((path / "step.json").read_text())["counts"]["rows"] // 25, 4)
    numbers = {"en": most, **dict.fromkeys(LANGUAGES[1:], most // 4)}
    return choose_rows(source, out, Wish(numbers, entities=0, seed=1)).summary.counts["rows"]


def timed(subject, path: Path, out: Path) -> dict[str, float]:
    """What a subject gives, its seconds of the processor and of the clock, and the most memory that it held, in MiB."""
    clock, processor = time.perf_counter(), time.process_time()
    rows = subject(path, out)
    return {
        "rows": rows,
        "seconds": time.process_time() - processor,
        "wall": time.perf_counter() - clock,
        "peak": peak_memory(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="captions to be made up")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table = place / "captions.tsv"
        apart(write_captions, table, options.rows)
        subjects = {
            "by hand": (by_hand, table, lambda run: place / f"hand-{run}.jsonl"),
            "captions": (captions, table, lambda run: place / f"captions-{run}"),
            "choose": (choose, place / "captions-0", lambda run: place / f"choose-{run}"),
        }
        found = {name: [] for name in subjects}
        for run in range(options.runs):
            for name, (subject, source, out) in subjects.items():
                found[name].append(apart(partial(timed, subject), source, out(run)))
        first = sorted(one["seconds"] for one in found["by hand"])[options.runs // 2]
        read = {"choose": found["captions"][0]["rows"]}
        for name, runs in found.items():
            rows = read.get(name, options.rows)
            seconds = [one["seconds"] for one in runs]
            facts = {
                "rows": rows,
                "rows_kept": runs[0]["rows"],
                "rows_per_s": round(rows / sorted(seconds)[len(runs) // 2]),
                "wall_s": [round(one["wall"], 2) for one in runs],
                "peak_mib": round(max(one["peak"] for one in runs), 1),
                "niceness": os.nice(0),
            }
            print_line("captions", "building", name, seconds, first, ["msgspec", "numpy"], **facts)


if __name__ == "__main__":
    main()
