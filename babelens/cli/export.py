"""babelens export: a model as graphs of ONNX, for onnxruntime."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelens.cli.corpora import Boxes

if TYPE_CHECKING:
    from rich.table import Table

    from babelens.prediction.export import Exported


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A model folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")],
    text_only: Annotated[
        bool, typer.Option("--text-only", help="Leave out the graph that sees pictures; every row is read without.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights of matrix products, LSTMs and embeddings in 8 bits.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A data directory to compare on, with the F1 of each; can be given several times."),
    ] = None,
    split: Annotated[str, typer.Option(help="The part of --data: train, valid or test.")] = "valid",
    limit: Annotated[int | None, typer.Option(min=1, help="Compare on the first N rows only.")] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, where it is not DIR/images.")] = None,
    boxes: Boxes = None,
    types: Annotated[
        list[str] | None, typer.Option(help="Rename an entity type of the data: OTHER=MISC; OTHER=O leaves it out.")
    ] = None,
) -> None:
    """Write a model as graphs of ONNX, compared with torch before they are put in place.

    The folder that comes out is asked as a model folder is, by babelens predict and by babelens.load.
    """
    from functools import partial

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from babelens.cli.corpora import type_map
    from babelens.data import read_split
    from babelens.data.reading import SPLITS
    from babelens.models.checkpoint import load_tagger
    from babelens.prediction.export import export_tagger

    if not any(split in names for names in SPLITS.values()):
        raise typer.BadParameter(f"expected {', '.join(SPLITS)}, found {split!r}", param_hint="--split")
    corpus = None
    if data:
        corpus = read_split(data, split, types=type_map(types or []), images=images, boxes=boxes or None)
        if limit is not None:
            corpus = corpus.select(range(min(limit, len(corpus))))
    tagger = load_tagger(model)
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("exporting, {task.completed:,.0f} rows compared"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        advance = partial(bar.advance, bar.add_task("", total=None))
        done = export_tagger(tagger, out, source=model, text_only=text_only, int8=int8, corpus=corpus, step=advance)
    printed = Console()
    printed.print(table(done))
    printed.print(f"graphs of {done.bytes / 2**20:,.1f} MiB written to {out}", highlight=False, soft_wrap=True)


def table(done: "Exported") -> "Table":
    """How the graphs compare with torch."""
    from rich.table import Table

    made = Table("beside torch", title=f"{done.exact.rows:,} rows", title_justify="left")
    scored = done.exact.f1 is not None
    for name in ("rows alike", "emissions within", *(("F1", "F1 of torch", "cost") if scored else ())):
        made.add_column(name, justify="right")
    for name, found in {"float32": done.exact, "int8": done.int8}.items():
        if found is None:
            continue
        figures = [f"{found.same:,}", f"{found.difference:.1e}"]
        if found.f1 is not None and found.torch_f1 is not None:
            figures += [f"{found.f1:.2f}", f"{found.torch_f1:.2f}", f"{found.torch_f1 - found.f1:+.2f}"]
        made.add_row(name, *figures)
    return made
