"""babelens models: what can be trained, what it is made of, and what two models differ in."""

from typing import Annotated

import typer

models = typer.Typer(help="List, show and compare the models.", no_args_is_help=True)

Encoders = Annotated[str, typer.Option(help="pretrained, compact or random: whose declaration is shown.")]


@models.command("list")
def list_models() -> None:
    """List all models with their parts."""
    from rich.console import Console
    from rich.table import Table

    from babelens.models.zoo import ZOO

    table = Table("model", "text", "pictures", "head", "alpha", box=None, header_style="bold")
    for name, model in ZOO.items():
        text = model.backbone.text
        views = " + ".join(model.views)
        encoder = getattr(text, "name", "from scratch")
        table.add_row(
            name, f"{type(text).__name__} {encoder}", views or "-", type(model.head).__name__, f"{model.alpha:g}"
        )
    Console(width=160).print(table)
    typer.echo("NAME-text is the text-only twin of a model with pictures.")


@models.command()
def show(name: str, encoders: Encoders = "pretrained") -> None:
    """Show a model's declaration, every field of it."""
    from rich.console import Console

    console = Console(soft_wrap=True)
    for path, value in _flat(name, encoders).items():
        console.print(f"{path} = {value!r}", highlight=False, markup=False)


@models.command()
def diff(first: str, second: str, encoders: Encoders = "pretrained") -> None:
    """Show only what differs between two models."""
    one, other = _flat(first, encoders), _flat(second, encoders)
    for path in sorted(one.keys() | other.keys()):
        if one.get(path) != other.get(path):
            typer.echo(f"{path}: {_side(one, path)} -> {_side(other, path)}")


def _side(fields: dict[str, object], path: str) -> str:
    return repr(fields[path]) if path in fields else "(none)"


def _flat(name: str, encoders: str) -> dict[str, object]:
    from babelens.models.encoders import ENCODERS, with_encoders
    from babelens.models.spec import DeclarationError, to_plain
    from babelens.models.zoo import named

    if encoders not in ENCODERS:
        raise DeclarationError(f"--encoders: expected one of {', '.join(ENCODERS)}, found {encoders!r}")
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

    walk("model", to_plain(with_encoders(named(name), encoders)))  # pyright: ignore[reportArgumentType]
    return flat
