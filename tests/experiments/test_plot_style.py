import itertools
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from babelens.experiments.plot_style import (
    DPI,
    Plot,
    axis_floor,
    label,
    marks,
    new_figure,
    page,
    save_plot,
    spread_caption,
    styled,
)


@styled()
def plot(title: str = "A title", name: str = "a series", caption: str = "What it says.") -> Plot:
    figure = new_figure(4.0, 2.0)
    [line] = figure.subplots().plot([1, 2], [3, 4])
    return page(figure, title, caption, {name: line})


def words(path: Path) -> str:
    return " ".join(text.text or "" for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"))


def test_files_are_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    first = save_plot(plot(), tmp_path / "first")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "svg.hashsalt": None, "lines.linewidth": 9}):
        before = matplotlib.rcParams["font.size"]
        second = save_plot(plot(), tmp_path / "second")
        assert matplotlib.rcParams["font.size"] == before
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    drawn = plot()
    save_plot(drawn, tmp_path / "third")
    assert [path.read_bytes() for path in save_plot(drawn, tmp_path / "third")] == [path.read_bytes() for path in first]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}.{kind}" for name in ("first", "second", "third") for kind in ("png", "svg")
    ]


def test_text_stays_text_and_what_is_drawn_is_twice_as_fine(tmp_path: Path) -> None:
    drawn = plot(title="Title & more", name="$alpha_1$ <b>", caption="The caption.")
    png, svg = save_plot(drawn, tmp_path / "plot")
    found = words(svg)
    assert "Title & more" in found and "$alpha_1$ <b>" in found and "The caption." in found
    root = svg.read_text(encoding="utf-8")
    assert "<dc:date>" not in root and "Matplotlib v" not in root
    with Image.open(png) as image:
        assert image.width == 4 * DPI == 4 * 2 * 96


@pytest.mark.parametrize("name", ["名前付き実体", "_hidden", "a\x00b\nc", "$", "نص", "x" * 200, "\U0001f600"])
def test_no_name_breaks_a_plot(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    png, svg = save_plot(plot(title=name, name=name, caption=name), tmp_path / "plot")
    ElementTree.parse(svg)
    assert png.stat().st_size > 1000
    assert not caplog.records
    if name == "名前付き実体":
        assert words(svg).count(name) == 3


def test_words_lie_within_the_page_and_beside_the_axes() -> None:
    drawn = plot(title="A long title " * 12, name="a name " * 20, caption="A long caption " * 30)
    figure = drawn.figure
    [axes] = figure.axes
    heading, footing = figure.texts
    [legend] = figure.legends
    boxes = [one.get_window_extent() for one in (heading, legend, axes, footing)]
    for above, below in itertools.pairwise(boxes):
        assert above.y0 >= below.y1
    for box in boxes:
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1


def test_no_two_marks_of_eighty_are_alike_and_shapes_differ_without_colour() -> None:
    looks = list(marks(f"system {number}" for number in range(80)).values())
    assert len({(look.colour, look.marker, look.hollow) for look in looks}) == 80
    assert len({(look.marker, look.hollow) for look in looks[:22]}) == 22
    assert len({look.dash for look in looks[:5]}) == 5 and len({look.hatch for look in looks[:8]}) == 8


def test_captions_say_how_many_seeds() -> None:
    assert spread_caption([]) == "There are no figures yet."
    assert "no spread" in spread_caption([1, 1])
    assert spread_caption([5, 5]) == "Means over 5 seeds; bars: one standard deviation (n − 1) to each side."
    assert spread_caption([1, 3], "bands").startswith("Means over 1 to 3 seeds; bands") and "single seed" in (
        spread_caption([1, 3])
    )


@pytest.mark.parametrize(
    ("lowest", "start"), [(0.0, 0), (19.9, 0), (20.0, 15), (55.9, 50), (56.0, 55), (61.0, 60), (70.5, 65), (-3.0, -5)]
)
def test_an_axis_begins_at_nought_or_well_below_all(lowest: float, start: float) -> None:
    assert axis_floor([lowest, lowest + 30]) == start


def test_long_names_are_broken_not_cut() -> None:
    name = "2m-ner-without-collaboration-and-without-alignment"
    assert label(name, 20).replace("\n", "") == name
    assert max(map(len, label(name, 20).split("\n"))) <= 20


def test_nothing_of_pyplot_is_loaded_for_it() -> None:
    import subprocess

    code = "import sys, babelens.experiments.plot_gallery; print('matplotlib.pyplot' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
