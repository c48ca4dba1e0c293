"""What the verbs of `babelens build` have in common: options, a counter, and what is told of a step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from babelens.build.step import Summary

Source = Annotated[Path, typer.Argument(metavar="IN", help="The folder of a step, or a JSONL file.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="The folder to write: rows, provenance and step.json.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read, and record them.")]


def tell_summary(summary: "Summary") -> None:
    """Print what became of the rows of a step."""
    counts = summary.counts
    typer.echo(
        f"{counts['rows']:,} rows in {summary.folder}, of {counts['read']:,} read"
        + ("; this was done before, and nothing is left to do" if summary.before else "")
    )
    for did, whys in counts["did"].items():
        reasons = ", ".join(f"{number:,} {why}" for why, number in whys.items() if why)
        typer.echo(f"  {did}: {sum(whys.values()):,}" + (f" ({reasons})" if reasons else ""))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A line with the number of things done, as a step tells it: after about two seconds, and on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = shown.add_task(what, total=None)

    def tell(done: int) -> None:
        shown.start()
        shown.update(task, completed=done)

    try:
        yield tell
    finally:
        shown.stop()


def pairs(given: list[str] | None, option: str, example: str) -> Mapping[str, str]:
    """NAME=VALUE, each as often as it likes."""
    found: dict[str, str] = {}
    for pair in given or []:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise typer.BadParameter(f"expected {example}, found {pair!r}", param_hint=option)
        found[name] = value
    return found


def check_folder(folder: Path | None, option: str) -> None:
    """Refuse a folder that is not there, where one is named."""
    if folder is not None and not folder.is_dir():
        raise typer.BadParameter(f"expected a folder, found none at {folder}", param_hint=option)
