import itertools

import pytest
from matplotlib.patches import Rectangle, StepPatch

from babelens.experiments.plot_alignment import CosineBins, draw_cosines, draw_recalls


def seed(matched: list[int], unmatched: list[int]) -> dict:
    return {"edges": [-1.0, 0.0, 1.0], "matched": {"histogram": matched}, "unmatched": {"histogram": unmatched}}


def test_cosines_of_all_seeds_are_drawn_as_shares() -> None:
    bins = CosineBins.of([seed([1, 2], [30, 10]), seed([0, 5], [30, 30])])
    assert bins == CosineBins((-1.0, 0.0, 1.0), (1, 7), (60, 40))
    plot = draw_cosines({"2m-ner, clip": bins, "none": CosineBins((-1.0, 0.0, 1.0), (0, 0), (0, 0))}, title="t")
    clip, none = plot.figure.axes
    steps = [patch.get_data() for patch in clip.patches if isinstance(patch, StepPatch)]
    assert [list(one.values) for one in steps] == [[12.5, 87.5], [60.0, 40.0]]
    assert [list(one.edges) for one in steps] == [[-1, 0, 1]] * 2
    assert "2m-ner, clip: 8 and 100" in plot.caption and none.get_ylim()[0] == 0


def test_recalls_stand_beside_chance_and_nothing_is_cut_off() -> None:
    found = {"clip": {"a": {1: [10.0, 14.0], 5: [30.0, 34.0]}, "b": {1: [2.0]}}, "resnet": {"a": {5: [90.0, 92.0]}}}
    plot = draw_recalls(found, chance={"clip": {1: 0.5, 5: 2.5}}, title="t")
    clip, resnet = plot.figure.axes
    bars = [patch for patch in clip.patches if isinstance(patch, Rectangle)]
    assert [bar.get_height() for bar in bars] == [12, 32, 2, 0.5, 2.5]
    # Bars of one rank stand around its place, and none upon another.
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
    assert all(end <= begin + 1e-9 for (_, end), (begin, _) in itertools.pairwise(spans))
    assert [round((begin + end) / 2) for begin, end in spans] == [0, 0, 0, 1, 1]
    assert clip.get_ylim() == resnet.get_ylim() and resnet.get_ylim()[0] == 0 and resnet.get_ylim()[1] > 91 + 2**0.5
    reach = [(segment[0][1], segment[1][1]) for some in clip.collections for segment in some.get_segments()]
    assert reach == [pytest.approx((12 - 8**0.5, 12 + 8**0.5)), pytest.approx((32 - 8**0.5, 32 + 8**0.5))]
    assert [text.get_text() for text in plot.figure.legends[0].get_texts()] == ["a", "b", "chance"]
    hatches = {bar.get_hatch() for bar in bars[:3]}
    assert len(hatches) == 2
