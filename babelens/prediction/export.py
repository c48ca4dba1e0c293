"""A model folder as graphs of ONNX: written beside, compared with torch, and only then put in its place."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec

from babelens.data import Corpus
from babelens.models.calibration import write_calibration
from babelens.models.checkpoint import CONFIG, WEIGHTS, replace_folder, save_weights, sync
from babelens.models.tagger import Tagger, count_parameters
from babelens.modules.text.spelling import WordSpeller
from babelens.prediction.export_check import TOLERANCE, Comparison, compare
from babelens.prediction.export_graph import OPSET, blame, make_graph, quiet
from babelens.prediction.onnx_engine import load_exported
from babelens.prediction.onnx_folder import (
    EXPORT,
    HEAD,
    TEXT,
    WITH,
    WITHOUT,
    EngineError,
    Export,
    Mark,
    Speller,
    head_weights,
    mark,
    save_transform,
)
from babelens.prediction.output import make_parent

CARD = "README.md"
_PACKAGES = ("babelens", "torch", "transformers", "onnx", "onnxscript", "onnxruntime")
# One file of protocol buffers holds at most 2 GiB; beyond this the weights stand in a file of their own.
_LARGE = 1 << 30
# Convolutions are left in 32 bits: as integers they are slower on processors.
_QUANTISED = ["MatMul", "Gemm", "LSTM", "Gather"]


@dataclass(frozen=True)
class Exported:
    """What was written: the bytes of its graphs, and how they compare with torch, in 32 bits and in 8 if asked for."""

    folder: Path
    bytes: int
    exact: Comparison
    int8: Comparison | None


def export_tagger(
    tagger: Tagger,
    out: Path,
    *,
    source: Path | None = None,
    text_only: bool = False,
    int8: bool = False,
    corpus: Corpus | None = None,
    step: Callable[[int], None] | None = None,
) -> Exported:
    """Write a tagger as graphs that onnxruntime asks; `source` is its model folder, whose checksums are kept.

    Of a model that sees pictures there are two graphs, with pictures and without; `text_only` leaves the first out.
    `int8` then takes 8 bits for the weights of matrix products, LSTMs and embeddings. The graphs are compared with the
    tagger, on a labelled `corpus` or on a few sentences; `step` is called with the number of rows done.

    Raises:
        EngineError: packages are missing, something stands in the way, a part cannot be put into a graph, or the graphs
            say something else than the tagger.
        OSError: the disk is full or does not allow writing; nothing is left half-written.
    """
    _need_packages()
    if out.exists() and not (out / EXPORT).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise EngineError(f"{out}: expected an exported model or nothing there, found something else; not replaced")
    make_parent(out)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write(tagger, beside, text_only)
        export = _describe(tagger, beside, source)
        exact = _compared(tagger, beside, export, corpus, step)
        if exact.difference > TOLERANCE:
            raise EngineError(
                f"{out}: expected emissions within {TOLERANCE:g} of torch, found {exact.difference:.1e}; not written"
            )
        rough = None
        if int8:
            quantise(beside)
            export = _marked(msgspec.structs.replace(export, int8=True), beside)
            rough = _compared(tagger, beside, export, corpus, step)
        told = {"float32": asdict(exact), **({} if rough is None else {"int8": asdict(rough)})}
        export = msgspec.structs.replace(export, checked=told)
        _put(beside, export)
        (beside / CARD).write_text(_card(export), encoding="utf-8")
        sync(beside)
        replace_folder(beside, out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Exported(out, sum(own.bytes for own in export.files.values()), exact, rough)


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise EngineError(
            f"expected the packages onnx, onnxscript and onnxruntime, found no {error.name}; install them: "
            f"pip install 'babelens[onnx]'"
        ) from error


def _write(tagger: Tagger, folder: Path, text_only: bool) -> None:
    """The graphs, and what makes batches and tags."""
    tagger.backbone.text.save(_made(folder / TEXT))
    weights = head_weights(tagger.head)
    if weights:
        save_weights(weights, folder / HEAD)
    if tagger.calibration is not None:
        write_calibration(folder, tagger.calibration)
    views = bool(tagger.backbone.transforms) and not text_only
    for name, pictured in ((WITHOUT, False), *([(WITH, True)] if views else [])):
        try:
            program = make_graph(tagger, pictured=pictured)
        except Exception as error:  # torch, its exporter and the encoders of transformers raise all kinds
            raise EngineError(blame(tagger, pictured, error)) from error
        large = sum(own.numel() * own.element_size() for own in tagger.state_dict().values()) > _LARGE
        program.save(folder / name, external_data=large)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _describe(tagger: Tagger, folder: Path, source: Path | None) -> Export:
    """What the folder says of itself, written into it; nothing is checked yet."""
    tokens = tagger.backbone.text.tokens
    speller = Speller(tokens.characters, tokens.buckets) if isinstance(tokens, WordSpeller) else Speller(tokens.limit)
    views = () if not (folder / WITH).exists() else tagger.backbone.transforms.items()
    known = () if source is None else (source / CONFIG, source / WEIGHTS)
    export = Export(
        model=tagger.model,
        types=tagger.tags.types,
        int8=False,
        speller=speller,
        views=tuple(save_transform(folder, name, transform) for name, transform in views),
        files={},
        source={path.name: mark(path) for path in known},
        versions={name: version(name) for name in _PACKAGES},
        opset=OPSET,
        checked={},
        parameters=count_parameters([tagger]),
    )
    return _marked(export, folder)


def _marked(export: Export, folder: Path) -> Export:
    """The same with the sizes and checksums of the files that are there now, written into the folder."""
    files = [path for path in sorted(folder.iterdir()) if path.name == HEAD or ".onnx" in path.name]
    found: dict[str, Mark] = {path.name: mark(path) for path in files}
    export = msgspec.structs.replace(export, files=found)
    _put(folder, export)
    return export


def _put(folder: Path, export: Export) -> None:
    (folder / EXPORT).write_bytes(msgspec.json.format(msgspec.json.encode(export), indent=2) + b"\n")


def _compared(
    tagger: Tagger, folder: Path, export: Export, corpus: Corpus | None, step: Callable[[int], None] | None
) -> Comparison:
    return compare(tagger, load_exported(folder), corpus, step=step)


def quantise(folder: Path) -> None:
    """Take 8 bits for the weights of matrix products, LSTMs and embeddings in the graphs of a folder.

    Each column has a scale of its own, a table of embeddings one. Weights take 7 of the 8 bits: with all of them,
    processors without instructions for such products (VNNI) overflow.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for name in (WITHOUT, WITH):
        graph, made = folder / name, folder / f"int8-{name}"
        if not graph.exists():
            continue
        outside = folder / f"{name}.data"
        with quiet():
            quantize_dynamic(
                graph,
                made,
                op_types_to_quantize=_QUANTISED,
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=outside.exists(),
            )
        if outside.exists():
            # The name of the file of weights stands in the graph, which therefore keeps its own.
            _rename_outside(made, folder, name)
        os.replace(made, graph)


def _rename_outside(made: Path, folder: Path, name: str) -> None:
    import onnx

    model = onnx.load(made)
    for path in folder.glob(f"int8-{name}?*"):
        path.unlink()
    (folder / f"{name}.data").unlink()
    onnx.save(model, made, save_as_external_data=True, location=f"{name}.data")


def _card(export: Export) -> str:
    """What a reader of the folder should know."""
    what = "text and pictures" if export.pictured else "text alone"
    lines = [
        "---",
        "library_name: babelens",
        "pipeline_tag: token-classification",
        "---",
        "# A babelens model for onnxruntime",
        "",
        f"- Reads {what}; weights in {'8' if export.int8 else '32'} bits; ONNX opset {export.opset}",
        f"- Entity types: {', '.join(export.types)}",
        *(f"- Made of {name}: SHA-256 {own.sha256}" for name, own in export.source.items()),
        *(f"- {kind} beside torch: {_told(found)}" for kind, found in export.checked.items()),
        f"- Made with {', '.join(f'{name} {number}' for name, number in export.versions.items())}",
        "",
        "```python",
        "import babelens",
        'model = babelens.load("this folder")',
        'model.predict("A sentence.")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _told(found: dict) -> str:
    score = "" if found["f1"] is None else f", F1 {found['f1']:.2f} against {found['torch_f1']:.2f}"
    return f"{found['same']:,} of {found['rows']:,} rows alike, emissions within {found['difference']:.1e}{score}"
