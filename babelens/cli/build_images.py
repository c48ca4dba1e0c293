"""babelens build images: the pictures of rows, from folders, tar shards and, by way of img2dataset, URLs."""

from pathlib import Path
from typing import Annotated

import typer

from babelens.cli.build_options import SkipBad, Source, counting, tell_summary


def images(
    source: Source,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The folder to write: rows, provenance, step.json and images.")
    ] = None,
    images: Annotated[list[Path] | None, typer.Option(help="A folder of pictures; can be given several times.")] = None,
    shards: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of tar shards, as img2dataset writes; can be given several times."),
    ] = None,
    urls: Annotated[
        Path | None, typer.Option(help="Only write the URLs, as Parquet, for img2dataset to fetch.")
    ] = None,
    min_size: Annotated[
        int | None, typer.Option(min=1, help="The fewest pixels of a picture's short side [default: 64].")
    ] = None,
    copy: Annotated[
        bool, typer.Option(help="Put good pictures into OUT/images; without, they are only checked.")
    ] = True,
    link: Annotated[bool, typer.Option("--link", help="Hard-link pictures where that is possible.")] = False,
    need_picture: Annotated[
        bool, typer.Option("--need-picture", help="Leave out rows without a picture that can be used.")
    ] = False,
    skip_bad: SkipBad = False,
) -> None:
    """Tie rows to their pictures: look for each, look at it, tell its status, and put the good ones into a folder."""
    from babelens.build.images import MIN_SIZE, Rules, tie_images
    from babelens.build.images_found import Folder
    from babelens.build.images_shards import Shards
    from babelens.build.rows import read_input

    if sum(given is not None for given in (images, shards, urls)) != 1:
        raise typer.BadParameter("expected one of --images, --shards and --urls")
    if (out is None) != (urls is not None):
        raise typer.BadParameter("expected --out, but with --urls, which writes one file only", param_hint="--out")
    if urls is not None:
        _write(source, urls)
        return
    pictures = Shards(shards) if shards is not None else Folder(images or [])
    rules = Rules(min_size or MIN_SIZE, copy, link, need_picture)
    with counting("rows") as tell:
        summary = tie_images(read_input(source), Path(str(out)), pictures, rules, skip_bad=skip_bad, tell=tell)
    tell_summary(summary)


def _write(source: Path, urls: Path) -> None:
    import shlex

    from babelens.build.images_urls import download_command, write_urls
    from babelens.build.rows import Bad, read_input

    rows = read_input(source).rows()
    asked = write_urls((row for row in rows if not isinstance(row, Bad)), urls)
    shards = urls.with_name("shards")
    typer.echo(f"{asked.urls:,} URLs of {asked.rows:,} rows in {urls}")
    if asked.unfit:
        typer.echo(f"warning: {asked.unfit:,} rows have a URL that is no address of http or https", err=True)
    if not asked.urls:
        typer.echo("warning: none of the rows has a url that can be fetched", err=True)
        return
    typer.echo(f"to fetch them:\n  {download_command(urls, shards)}")
    again = shlex.join(["babelens", "build", "images", str(source), "--out", "OUT", "--shards", str(shards)])
    typer.echo(f"then:\n  {again}")
