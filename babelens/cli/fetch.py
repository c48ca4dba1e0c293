"""babelens data fetch: public data sets, downloaded, verified and converted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelens.cli.progress import bars

if TYPE_CHECKING:
    from babelens.data.fetch import Fetched
    from babelens.data.fetch_recipe import Recipe


def fetch(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A set of the list, or a recipe of your own (my.toml).")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The folder to write [default: data/NAME].")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only this language; can be given several times.")] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            envvar="BABELENS_MIRROR",
            help="Another server, which has each file at MIRROR/ and its address without https://.",
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the sets there are, as without a name.")] = False,
) -> None:
    """Fetch a public data set into a data directory; without a name, list what there is.

    What is there already is verified and not downloaded again; the same command goes on where it was stopped.
    """
    from babelens.data.fetch import Channel
    from babelens.data.fetch import fetch as run
    from babelens.data.fetch_recipe import find_recipe, known_recipes
    from babelens.data.journal import Interrupted

    if name is None or listing:
        _print_list(list(known_recipes().values()) if name is None else [find_recipe(name)])
        return
    recipe = find_recipe(name)
    folder = out or Path("data") / recipe.name
    try:
        with bars() as progress:
            fetched = run(recipe, folder, language or (), Channel(mirror or None, progress=progress))
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; what has come is kept in {folder}: the same command goes on") from None
    _print_fetched(recipe, folder, fetched)


def _print_list(recipes: "list[Recipe]") -> None:
    for number, recipe in enumerate(recipes):
        asked = "" if recipe.files else " (must be asked for)"
        typer.echo(f"{'' if not number else chr(10)}{recipe.name}: {recipe.title}{asked}")
        lines = {
            "languages": ", ".join(recipe.languages) or "not said",
            "sentences": recipe.sentences,
            "pictures": recipe.pictures,
            "licence": recipe.licence,
            "from": recipe.home,
            "more": recipe.ask,
        }
        for what, said in lines.items():
            if said:
                typer.echo(f"  {what + ':':<11}{said}")


def _print_fetched(recipe: "Recipe", folder: Path, fetched: "list[Fetched]") -> None:
    for path, how, taken in fetched:
        verified = "" if taken.trust == "first" else ", and has the checksum of the recipe"
        typer.echo(f"{path}: {taken.rows:,} sentences, {_HOW[how]}{verified}")
        if taken.trust == "first" and how != "there":
            typer.echo(f"  the recipe knows no checksum; written down is that of this file: sha256 {taken.sha256}")
    typer.echo(f"licence: {recipe.licence}")
    if recipe.ask:
        typer.echo(f"not here: {recipe.ask}")
    typer.echo(f"next: babelens data check {folder}")


_HOW = {"downloaded": "downloaded", "by hand": "taken from the published file there", "there": "there already"}
