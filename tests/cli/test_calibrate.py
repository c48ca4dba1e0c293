import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from babelens.cli.calibrate import calibrate
from babelens.models.calibration import read_calibration
from babelens.schema import InputError


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [f"w{number}\tB-PER\nin\tO\nKöln{number}\tB-LOC\n" for number in range(30)]
    (folder / "valid.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "test.txt").write_text("a\tB-OTHER\n\n", encoding="utf-8")
    return folder


@pytest.fixture
def model(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def run(*arguments):
    app = typer.Typer()
    app.command()(calibrate)
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_calibration_is_written_and_told(model, data):
    targets = ("--target-precision", 0.0, "--target-precision", 0.99)
    shown = run(model, "--data", f"de={data}", *targets).stdout
    made = read_calibration(model)
    assert f"temperature {made.temperature:.3f}, fitted on 15 rows, measured on 15 others" in shown
    assert "language de" in shown and "found entities alone" in shown
    assert "precision 0: from score" in shown and "precision 0.99: not shown at any score" in shown
    assert made.facts["data"] == ["set"] and made.facts["split"] == "valid" and "unproven" in made.facts["held_out"]
    plain = json.loads(run(model, "--data", f"de={data}", *targets, "--json").stdout)
    assert plain["temperature"] == made.temperature and [t["target"] for t in plain["thresholds"]] == [0.0]


def test_mistakes_leave_the_model_as_it_was(model, data, tmp_path):
    with pytest.raises(InputError, match="OTHER in the data"):
        run(model, "--data", data, "--split", "test")
    with pytest.raises(InputError, match="expected a model folder"):
        run(tmp_path / "none", "--data", data)
    assert run(model, "--data", data, "--split", "all").exit_code == 2
    assert read_calibration(model) is None
