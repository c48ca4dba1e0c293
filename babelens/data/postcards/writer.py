"""Writing the corpus to a folder: CoNLL files per language, pictures, and what is known of each row."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random

from babelens.data.postcards.cards import Card, Thing, write_cards
from babelens.data.postcards.grammar import LANGUAGES
from babelens.data.postcards.pictures import draw_picture
from babelens.data.postcards.scenes import PARTS, Role, Scene, Sizes, plan_scenes
from babelens.data.postcards.sentences import tell
from babelens.schema import Entity, write_tags

VERSION = 9  # of the generator: raised whenever the same seed gives another corpus
_MANIFEST = "postcards.json"
_QUALITY = 90


@dataclass(frozen=True)
class _Job:
    """A picture to draw."""

    id: str
    part: str
    roles: tuple[Role, ...]
    stream: str


def write_postcards(folder: Path, seed: int = 0, sizes: Sizes | None = None, workers: int = 2) -> None:
    """Write the built-in corpus: folder/<language>/{train,valid,test}.txt, folder/images/<id>.jpg, folder/scenes.jsonl.

    The same seed, sizes and version give the same bytes whatever the number of workers (processes that draw). The
    folder is made beside its place and renamed, so it is there as a whole or not at all; a complete one with the same
    seed, sizes and version is left as it is, and one of this generator with others is replaced.

    Raises:
        FileExistsError: the folder holds something else.
    """
    sizes = sizes or Sizes()
    manifest = json.dumps({"generator": "postcards", "version": VERSION, "seed": seed, "sizes": asdict(sizes)})
    if folder.exists():
        found = folder / _MANIFEST
        if found.is_file():
            if found.read_text(encoding="utf-8") == manifest:
                return
        elif not folder.is_dir() or any(folder.iterdir()):
            raise FileExistsError(
                f"{folder}: expected a new folder or one of the built-in corpus, found something else"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        made = Path(beside) / "corpus"
        _write(made, seed, sizes, workers)
        (made / _MANIFEST).write_text(manifest, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)


def _write(folder: Path, seed: int, sizes: Sizes, workers: int) -> None:
    scenes = plan_scenes(seed, sizes)
    planned = [(part, language, scene) for part in PARTS for language, scene in _order(seed, part, scenes[part])]
    ids: dict[tuple[str, str], str] = {}
    numbers = dict.fromkeys(((part, language) for part in PARTS for language in LANGUAGES), 0)
    for part, language, scene in planned:
        ids[scene.group, language] = f"{part}-{language}-{numbers[part, language]:05d}"
        numbers[part, language] += 1
    (folder / "images").mkdir(parents=True)
    jobs = [
        _Job(ids[scene.group, language], part, scene.roles, f"{seed}-picture-{ids[scene.group, language]}")
        for part, language, scene in planned
    ]
    drawn = _draw_all(jobs, folder / "images", workers)
    cards = [_card(*row, ids, things) for row, things in zip(planned, drawn, strict=True)]
    write_cards(folder / "scenes.jsonl", cards)
    for language in LANGUAGES:
        (folder / language).mkdir()
        for part in PARTS:
            blocks = [_block(card) for card in cards if (card.split, card.language) == (part, language)]
            (folder / language / f"{part}.txt").write_text("".join(blocks), encoding="utf-8", newline="\n")


def _order(seed: int, part: str, scenes: Sequence[Scene]) -> Iterator[tuple[str, Scene]]:
    """The rows of a part: for each language all scenes, in an order of its own."""
    for language in LANGUAGES:
        shuffled = list(scenes)
        Random(f"{seed}-order-{part}-{language}").shuffle(shuffled)
        yield from ((language, scene) for scene in shuffled)


def _draw_all(jobs: Sequence[_Job], folder: Path, workers: int) -> list[tuple[Thing, ...]]:
    draw = partial(_draw, folder)
    if workers < 2:
        return [draw(job) for job in jobs]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(draw, jobs, chunksize=64))


def _draw(folder: Path, job: _Job) -> tuple[Thing, ...]:
    picture, things = draw_picture(job.roles, job.part, Random(job.stream))
    picture.save(folder / f"{job.id}.jpg", quality=_QUALITY)
    return things


def _card(part: str, language: str, scene: Scene, ids: dict[tuple[str, str], str], things: tuple[Thing, ...]) -> Card:
    sentence = tell(scene.text, language)
    return Card(
        id=ids[scene.group, language],
        language=language,
        split=part,
        group=scene.group,
        pair=None if scene.twin is None else ids[scene.twin, language],
        words=sentence.words,
        entities=tuple(Entity(*span, type_) for span, type_ in zip(sentence.spans, scene.gold, strict=True)),
        ambiguous=tuple(number for number, types in enumerate(scene.candidates) if len(types) > 1),
        contradicting=scene.contradicting,
        candidates=scene.candidates,
        things=things,
    )


def _block(card: Card) -> str:
    """A row in the form of MMNERD."""
    tags = write_tags(card.entities, len(card.words))
    lines = [f"IMGID:{card.id}", *(f"{word}\t{tag}" for word, tag in zip(card.words, tags, strict=True))]
    return "\n".join(lines) + "\n\n"
