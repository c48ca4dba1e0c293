"""An exported model that is asked through onnxruntime: emissions from its graphs, tags from our own head."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from babelens.models.batch import Batch, Collator
from babelens.models.calibration import Calibration, read_calibration
from babelens.models.region_store import RegionCache
from babelens.models.tagger import Reading, Tagger
from babelens.modules.backbone import State
from babelens.modules.heads import CrfHead, SoftmaxHead
from babelens.modules.shapes import Emissions
from babelens.prediction.onnx_folder import (
    PICTURES,
    PIXELS,
    WITH,
    WITHOUT,
    EngineError,
    Export,
    read_collator,
    read_export,
    read_head,
)
from babelens.schema import TagSet


class OnnxTagger(Tagger):
    """A tagger whose backbone is a graph of ONNX: it can be asked wherever a tagger can, and not be trained.

    A batch with pictures goes through the full graph, one without through that of the text. It has no encoders of
    torch, so what looks into them (`encode`, `attention`, saving) is refused with an `EngineError`.

    Its weights are those of the head; beside them stand the checksums of the graphs, so that its digest tells graphs
    apart.
    """

    def __init__(self, folder: Path, export: Export, sessions: dict[str, Any]) -> None:
        nn.Module.__init__(self)
        self.folder, self.export, self.sessions = folder, export, sessions
        self.model = export.model
        self.tags = TagSet(export.types)
        self.precision: torch.dtype | None = None
        self.calibration: Calibration | None = read_calibration(folder)
        self.head: CrfHead | SoftmaxHead = read_head(folder, export)
        self._collator = read_collator(folder, export)
        marks = b"".join(bytes.fromhex(mark.sha256) for _, mark in sorted(export.files.items()))
        self.register_buffer("graphs", torch.frombuffer(bytearray(marks), dtype=torch.uint8))
        self._sights = [PIXELS + sight.name for sight in export.views]

    def __getattr__(self, name: str) -> Any:
        if name in ("backbone", "dropout"):
            raise EngineError(
                f"{self.folder}: expected a model in torch, found an exported one: attention (regions), training and "
                f"saving need the model folder that it was made of"
            )
        return super().__getattr__(name)

    @property
    def device(self) -> torch.device:
        """Where the model is: on the processor."""
        return torch.device("cpu")

    def collator(self, memory: int = 0, regions: RegionCache | None = None) -> Collator:
        """What makes batches for this model; `memory` bytes of cut pictures are kept.

        Raises:
            EngineError: there are kept regions, of which a graph makes nothing.
        """
        if regions is not None:
            raise EngineError(f"{self.folder}: expected pixels, found kept regions: an exported model encodes pictures")
        return Collator(self._collator.tokens, self._collator.transforms, self.tags, memory)

    def encode(self, batch: Batch) -> State:
        """Refused: a graph gives emissions and nothing of what is before them."""
        return self.backbone(batch.text, batch.pixels, batch.pictures)

    def emissions(self, batch: Batch) -> Emissions:
        """The score of each tag for each word, before the transitions of the head."""
        pictured = any(len(view) for view in batch.pixels)
        session = self.sessions[WITH if pictured else WITHOUT]
        feed = {own.name: self._tensor(own.name, batch).numpy() for own in session.get_inputs()}
        return torch.from_numpy(session.run(["emissions"], feed)[0])

    def _tensor(self, name: str, batch: Batch) -> Tensor:
        if name == PICTURES:
            return batch.pictures
        return batch.pixels[self._sights.index(name)] if name in self._sights else getattr(batch.text, name)

    @torch.no_grad()
    def read(self, batch: Batch, *, attention: bool = False) -> Reading:
        """Read a batch once, for all that the head may then be asked.

        Raises:
            EngineError: `attention` is asked for.
        """
        if attention:
            return super().read(batch, attention=True)
        return Reading(self.emissions(batch), batch.text.mask, {})


def load_exported(place: str | os.PathLike[str], device: str | None = None) -> OnnxTagger:
    """Load an exported model from its folder.

    Threads are as many as torch is set to when it is loaded.

    Raises:
        EngineError: onnxruntime is not installed, the folder is not whole, or the device is no processor.
    """
    folder = Path(place)
    export = read_export(folder)
    if device not in (None, "cpu"):
        raise EngineError(f"{folder}: expected the device cpu for an exported model, found {device!r}")
    graphs = [name for name in (WITHOUT, WITH) if name in export.files]
    return OnnxTagger(folder, export, {name: open_graph(folder / name) for name in graphs})


def open_graph(path: Path) -> Any:
    """A session of onnxruntime for a graph.

    Raises:
        EngineError: onnxruntime is not installed, or the file is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("expected the package onnxruntime; install it: pip install 'babelens[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds of error have no common name that is public
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"{path}: expected a graph of ONNX, found a damaged file ({reason})") from error
