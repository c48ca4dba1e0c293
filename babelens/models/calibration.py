"""What is known of how far a model's scores are to be believed; it stands in the model's folder as calibration.json."""

import os
from pathlib import Path
from typing import Any

import msgspec

from babelens.schema import InputError

CALIBRATION = "calibration.json"
FORMAT = 1


class CalibrationError(InputError):
    """A calibration that cannot be read, or that does not hold what is asked of it."""


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least score from which entities are right often enough: `target` is the precision, a share from 0 to 1.

    `right` of `entities` held-out ones with this score or more were right. `low` is the bound below which their
    precision is not believed to lie, at a confidence of `level` over the whole search.
    """

    target: float
    score: float
    entities: int
    right: int
    low: float
    level: float


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the scores of paths are divided by, the thresholds that were found, and how both came about.

    `facts` are plain values for a reader: the data, its parts, figures before and after.

    Raises:
        CalibrationError: the temperature is not above 0.
    """

    temperature: float = 1.0
    thresholds: tuple[Threshold, ...] = ()
    facts: dict[str, Any] = {}
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise CalibrationError(f"temperature: expected a number above 0, found {self.temperature}")
        if self.format != FORMAT:
            raise CalibrationError(f"format: expected {FORMAT}, found {self.format} (made by another version?)")

    def threshold(self, target: float) -> Threshold:
        """The threshold of a target precision (a share).

        Raises:
            CalibrationError: none was found for it.
        """
        for threshold in self.thresholds:
            if abs(threshold.target - target) < 1e-9:
                return threshold
        known = ", ".join(f"{threshold.target:g}" for threshold in self.thresholds)
        raise CalibrationError(
            f"expected a target precision for which babelens calibrate found a threshold "
            f"({known or 'none in this model'}), found {target:g}"
        )


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration into a model folder; it is there whole or as it was before.

    Raises:
        OSError: the disk is full or does not allow writing.
    """
    beside = folder / f".{CALIBRATION}.{os.getpid()}"
    try:
        with beside.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(calibration), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / CALIBRATION)
    finally:
        beside.unlink(missing_ok=True)


def read_calibration(folder: Path) -> Calibration | None:
    """The calibration of a model folder; None where it has none.

    Raises:
        CalibrationError: the file is damaged.
    """
    path = folder / CALIBRATION
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, CalibrationError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: expected a calibration, found another file ({error})") from error
