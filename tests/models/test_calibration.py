import json
import shutil

import pytest

from babelens.models.calibration import (
    Calibration,
    CalibrationError,
    Threshold,
    read_calibration,
    write_calibration,
)
from babelens.models.checkpoint import load_tagger, save_tagger
from babelens.models.digest import model_digest
from babelens.prediction.predictor import Predictor

MADE = Calibration(1.5, (Threshold(0.9, 0.71, 120, 115, 0.905, 0.95),), {"data": ["valid"], "seed": 3})


def test_a_calibration_goes_with_its_model(tiny_folder, tmp_path):
    tagger = load_tagger(tiny_folder)
    assert tagger.calibration is None and tagger.temperature == 1
    assert read_calibration(tiny_folder) is None
    tagger.calibration = MADE
    save_tagger(tagger, tmp_path / "saved")
    again = load_tagger(tmp_path / "saved")
    assert again.calibration == MADE and again.temperature == 1.5
    assert Predictor(again).min_score(0.9) == 0.71
    shutil.copytree(tiny_folder, tmp_path / "written")
    write_calibration(tmp_path / "written", MADE)
    assert load_tagger(tmp_path / "written").calibration == MADE
    assert sorted(path.name for path in (tmp_path / "written").iterdir()) == sorted(
        [*(path.name for path in tiny_folder.iterdir()), "calibration.json"]
    )


def test_a_precision_without_a_threshold_is_refused(tiny_folder):
    with pytest.raises(CalibrationError, match=r"found a threshold \(0\.9\), found 0\.95"):
        MADE.threshold(0.95)
    with pytest.raises(CalibrationError, match=r"none in this model\), found 0\.9"):
        Predictor(load_tagger(tiny_folder)).min_score(0.9)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"temperature": "warm"}',
        '{"temperature": -1}',
        '{"temperature": 0}',
        '{"format": 7}',
        '{"x": 1}',
    ],
)
def test_a_damaged_file_is_named(tiny_folder, tmp_path, content):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "calibration.json").write_text(content)
    with pytest.raises(CalibrationError, match=r"calibration\.json: expected a calibration"):
        load_tagger(folder)


def test_the_file_is_plain_json(tmp_path):
    write_calibration(tmp_path, MADE)
    plain = json.loads((tmp_path / "calibration.json").read_text())
    assert plain["temperature"] == 1.5 and plain["thresholds"][0]["target"] == 0.9 and plain["facts"]["seed"] == 3


def test_the_digest_is_of_what_changes_answers(tiny_folder, tmp_path):
    tagger = load_tagger(tiny_folder)
    digest = model_digest(tagger)
    assert len(digest) == 32 and set(digest) <= set("0123456789abcdef")
    save_tagger(tagger, tmp_path / "again", {"note": "other facts"})
    assert model_digest(load_tagger(tmp_path / "again")) == digest
    tagger.calibration = MADE
    warm = model_digest(tagger)
    tagger.calibration = None
    weight = tagger.head.transitions.data
    weight[0, 0] += 1e-3
    assert len({digest, warm, model_digest(tagger)}) == 3
