"""The scores of a chosen model, calibrated on rows that its choice did not use."""

from pathlib import Path

from babelens.data import Corpus
from babelens.models.calibrating import calibrate
from babelens.models.calibration import CALIBRATION, write_calibration
from babelens.models.checkpoint import load_tagger
from babelens.training.recipe import Training


def calibrate_chosen(model: Path, held: Corpus, settings: Training, device: str | None = None) -> None:
    """Calibrate the model of a folder on held-out rows, and write that into the folder, where it is not done yet."""
    if (model / CALIBRATION).exists():
        return
    facts = {
        "by": "babelens train",
        "data": ["half of the validation part"],
        "digest": held.digest,
        "held_out": "the choice of the model used the other half of the validation part alone",
    }
    tagger = load_tagger(model).to(device or "cpu")
    write_calibration(model, calibrate(tagger, held, targets=settings.targets, seed=settings.seed, facts=facts))
