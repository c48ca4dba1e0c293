import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from babelens.data.postcards import Card, Sizes, write_postcards
from babelens.schema import read_tags

SMALL = Sizes(train=24, valid=8, test=16)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_bytes_in_another_process_with_another_hash_seed_and_more_workers(tmp_path: Path) -> None:
    write_postcards(tmp_path / "here", seed=3, sizes=SMALL, workers=1)
    program = (
        "import sys; from pathlib import Path; from babelens.data.postcards import Sizes, write_postcards\n"
        "if __name__ == '__main__':\n"
        "    write_postcards(Path(sys.argv[1]), seed=3, sizes=Sizes(train=24, valid=8, test=16), workers=2)\n"
    )
    script = tmp_path / "make.py"
    script.write_text(program)
    root = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": root}
    subprocess.run([sys.executable, str(script), str(tmp_path / "there")], check=True, env=environment)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


def test_another_seed_gives_another_corpus(tmp_path: Path) -> None:
    write_postcards(tmp_path / "a", seed=0, sizes=SMALL, workers=1)
    write_postcards(tmp_path / "b", seed=1, sizes=SMALL, workers=1)
    one, other = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert one.keys() == other.keys()
    assert not {name for name in one if one[name] == other[name]}


def test_complete_corpus_is_reused_and_another_replaces_it(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    write_postcards(folder, sizes=SMALL, workers=1)
    made = digests(folder)
    kept = folder.stat().st_ino
    write_postcards(folder, sizes=SMALL, workers=1)
    assert folder.stat().st_ino == kept
    write_postcards(folder, seed=1, sizes=SMALL, workers=1)
    assert digests(folder) != made
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_foreign_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="expected a new folder"):
        write_postcards(tmp_path / "letters", sizes=SMALL, workers=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["letters", "mine.txt"]


def test_broken_off_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("babelens.data.postcards.writer.write_cards", fail)
    with pytest.raises(OSError, match="No space"):
        write_postcards(tmp_path / "corpus", sizes=SMALL, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_conll_files_say_what_the_cards_say(corpus: Path, cards: list[Card]) -> None:
    found = []
    for language in ("en", "fr", "de", "es"):
        for part in ("train", "valid", "test"):
            text = (corpus / language / f"{part}.txt").read_text(encoding="utf-8")
            for block in text.removesuffix("\n\n").split("\n\n"):
                first, *lines = block.split("\n")
                words, tags = zip(*(line.split("\t") for line in lines), strict=True)
                reading = read_tags(tags)
                assert reading.violations == ()
                found.append((first, language, part, words, reading.entities))
    expected = [(f"IMGID:{card.id}", card.language, card.split, card.words, card.entities) for card in cards]
    assert sorted(found) == sorted(expected)
    assert len({card.id for card in cards}) == len(cards)


def test_every_row_has_a_picture_of_its_own(corpus: Path, cards: list[Card]) -> None:
    pictures = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (corpus / "images").iterdir()}
    assert pictures.keys() == {card.id for card in cards}
    assert len(set(pictures.values())) == len(pictures)


def test_boxes_hold_their_things(corpus: Path, cards: list[Card]) -> None:
    for card in cards[::7]:
        with Image.open(corpus / "images" / f"{card.id}.jpg") as picture:
            pixels = np.asarray(picture.convert("HSV"), np.int16)
        assert pixels.shape == (128, 128, 3)
        outside = np.ones(pixels.shape[:2], bool)
        for thing in card.things:
            x0, y0, x1, y1 = thing.box
            assert 0 <= x0 < x1 <= 128
            assert 0 <= y0 < y1 <= 128
            assert max(x1 - x0, y1 - y0) >= 0.35 * 128
            outside[y0:y1, x0:x1] = False
            vivid = pixels[y0:y1, x0:x1, 1] > 100
            assert vivid.mean() > 0.08
            shares = {
                colour: (abs((pixels[y0:y1, x0:x1, 0][vivid] - hue + 128) % 256 - 128) < 18).mean()
                for colour, hue in {"red": 0, "yellow": 34, "green": 96, "blue": 159}.items()
            }
            # A thing alone is never told by its colour; hatching on a tinted ground may leave little of it.
            assert shares[thing.colour] > (0.2 if len(card.things) > 1 else 0.1), (card.id, thing, shares)
            others = [shares[other.colour] for other in card.things if other != thing]
            assert all(shares[thing.colour] > share for share in others), (card.id, thing, shares)
        # A margin: JPEG bleeds colour over the edge of a box.
        assert (pixels[..., 1][outside] > 140).mean() < 0.02


def test_things_do_not_overlap_and_positions_are_true(cards: list[Card]) -> None:
    for card in cards:
        for number, thing in enumerate(card.things):
            for other in card.things[:number]:
                apart_x = thing.box[0] >= other.box[2] - 1 or other.box[0] >= thing.box[2] - 1
                apart_y = thing.box[1] >= other.box[3] - 1 or other.box[1] >= thing.box[3] - 1
                assert apart_x or apart_y
                assert thing.colour != other.colour
        centres = {thing.position: (thing.box[0] + thing.box[2]) / 2 for thing in card.things}
        if "left" in centres:
            assert centres["left"] < centres.get("middle", 64) < centres["right"]
