"""babelens models: what can be trained, what it is made of, and what two models differ in."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from babelens.models.spec import Model

models = typer.Typer(help="List, show and compare the models.", no_args_is_help=True)

Encoders = Annotated[str, typer.Option(help="pretrained, compact or random: whose declaration is shown.")]


@models.command("list")
def list_models() -> None:
    """List all models: year, source, what they read, parameters, and the F1 that was published of them."""
    from rich.console import Console
    from rich.table import Table

    from babelens.models.anatomy import size_of, unfilled
    from babelens.models.published import OWN, PUBLISHED
    from babelens.models.zoo import ZOO

    table = Table("model", "year", "source", "reads", box=None, header_style="bold", pad_edge=False)
    for heading in (
        "million\nparameters",
        "Twitter\n2015",
        "Twitter\n2017",
        "MMNERD\nall",
        "MMNERD\nen",
        "text only\nall",
    ):
        table.add_column(heading, justify="right")
    for name, model in ZOO.items():
        known = PUBLISHED.get(name, OWN)
        figures = (known.twitter2015, known.twitter2017, known.all_languages, known.english)
        text_only = None if known.text_only is None else known.text_only[0]
        table.add_row(
            name,
            "" if known.year is None else str(known.year),
            known.source,
            " + ".join(["text", *model.views]),
            f"{size_of(unfilled(model)).all / 1e6:.1f}",
            *("" if figure is None else f"{figure:.2f}" for figure in (*figures, text_only)),
        )
    Console(width=170).print(table)
    typer.echo(
        "\nF1 in per cent as published, not measured here: Twitter in the papers on UMT and UMGF, MMNERD and text\n"
        "only in the 2M-NER paper. Parameters at published sizes, without word tables learnt from training text.\n"
        "NAME-text is the text-only twin of a model with pictures; NAME-without-PART lacks a view, alignment or\n"
        "collaboration, as in 2m-ner-without-resnet."
    )


@models.command()
def show(name: str, encoders: Encoders = "pretrained") -> None:
    """Show a model's declaration, every field of it, the shapes that flow through it and its parameters."""
    from rich.console import Console
    from rich.table import Table

    from babelens.models.anatomy import flow, sizes, unfilled

    console = Console(soft_wrap=True, highlight=False)
    model = _declared(name, encoders)
    for path, value in _flat(model).items():
        console.print(f"{path} = {value!r}", markup=False)
    tagger = unfilled(model, compact=encoders == "compact")
    table = Table("part", box=None, header_style="bold", pad_edge=False)
    table.add_column("parameters", justify="right")
    table.add_column("trained", justify="right")
    for part, size in sizes(tagger).items():
        table.add_row(part, f"{size.all:,}", f"{size.trained:,}")
    console.print()
    console.print(table)
    console.print("\none sentence of 9 words with one picture, 4 types:")
    steps = flow(tagger)
    width = max(len(step.part) for step in steps)
    for step in steps:
        shapes = ", ".join(" x ".join(map(str, shape)) for shape in step.shapes)
        console.print(f"{step.part:<{width}}  {shapes}", markup=False)


@models.command()
def diff(first: str, second: str, encoders: Encoders = "pretrained") -> None:
    """Show only what differs between two models."""
    from babelens.models.difference import differences

    for difference in differences(_declared(first, encoders), _declared(second, encoders)):
        typer.echo(f"{difference.path}: {difference.first} -> {difference.second}")


def _declared(name: str, encoders: str) -> "Model":
    from babelens.models.encoders import ENCODERS
    from babelens.models.naming import named
    from babelens.models.spec import DeclarationError

    if encoders not in ENCODERS:
        raise DeclarationError(f"--encoders: expected one of {', '.join(ENCODERS)}, found {encoders!r}")
    return named(name, encoders)  # pyright: ignore[reportArgumentType]


def _flat(model: "Model") -> dict[str, object]:
    from babelens.models.spec import to_plain

    flat: dict[str, object] = {}

    def walk(path: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{path}.{key}", inner)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            for number, inner in enumerate(value):
                walk(f"{path}.{number}", inner)
        else:
            flat[path] = value

    walk("model", to_plain(model))
    return flat
