"""babelens build annotate: two annotators and an inspector, by way of Label Studio."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelens.cli.build_options import check_folder

if TYPE_CHECKING:
    from babelens.build.annotation.labelstudio import Imported
    from babelens.build.annotation.tasks import Shown

app = typer.Typer(
    help="Have rows annotated by two people each, and inspected by a third.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Part(StrEnum):
    """Whose tasks are meant, as a choice on the command line."""

    annotations = "annotations"
    inspections = "inspections"


class Granularity(StrEnum):
    """What the mouse marks, as a choice on the command line."""

    symbol = "symbol"
    word = "word"


Source = Annotated[Path, typer.Argument(metavar="IN", help="The folder of a step, or a JSONL file.")]
Work = Annotated[Path, typer.Option("-w", "--work", help="The folder of the annotation.")]
People = Annotated[Path, typer.Option(help='JSONL: {"name", "languages"?, "email"?, "annotates"?, "inspects"?}.')]
Types = Annotated[str, typer.Option(help="The entity types, in the order of their keys 1, 2, ...")]
Images = Annotated[Path | None, typer.Option(help="The folder of pictures.")]
Root = Annotated[
    Path | None,
    typer.Option(help="The folder that Label Studio serves pictures from [default: pictures in the tasks]."),
]
Url = Annotated[str, typer.Option(help="The address of Label Studio.")]
Token = Annotated[str, typer.Option(envvar="LABEL_STUDIO_API_KEY", help="A personal access token.", show_default=False)]
Title = Annotated[str, typer.Option(help="What the projects are called: 'TITLE: NAME'.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn.")]
Rate = Annotated[float, typer.Option(min=0, max=1, help="The share of agreeing rows that is inspected as well.")]
WhosePart = Annotated[Part, typer.Option("--part", help="Of the annotators, or of the inspectors.")]

TYPES, LOCAL = "PER,LOC,ORG,MISC", "http://127.0.0.1:8080"


@app.command()
def assign(
    source: Source,
    people: People,
    work: Work,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows in a round [default: one round].")] = None,
    seed: Seed = 0,
) -> None:
    """Give every row two annotators and an inspector; rows that have them keep them."""
    from collections import Counter

    from babelens.build.annotation.work import assign_rows, read_people

    assignments, new = assign_rows(source, read_people(people), work, seed=seed, batch=batch)
    annotated = Counter(name for assignment in assignments for name in assignment.annotators)
    inspected = Counter(assignment.inspector for assignment in assignments)
    typer.echo(f"{len(assignments):,} rows assigned, {new:,} of them now")
    for name in sorted(annotated | inspected):
        typer.echo(f"  {name}: annotates {annotated[name]:,}, may inspect {inspected[name]:,}")


@app.command()
def export(
    source: Source,
    work: Work,
    types: Types = TYPES,
    images: Images = None,
    root: Root = None,
    round: Annotated[int | None, typer.Option(help="Only this round.")] = None,
    granularity: Annotated[
        Granularity, typer.Option(help="word: cannot leave out the 's of Anna's.")
    ] = Granularity.symbol,
) -> None:
    """Write the tasks of each annotator for Label Studio."""
    from babelens.build.annotation.work import INTERFACE, TASKS, write_tasks

    counts = write_tasks(source, work, _split(types), _shown(images, root), round=round, granularity=granularity.value)
    for name, count in sorted(counts.items()):
        typer.echo(f"{count:,} tasks in {work / TASKS / name}.json")
    if counts:
        typer.echo(f"their labelling interface: {work / TASKS / INTERFACE}")
    else:
        typer.echo("warning: none of the rows is assigned, so there are no tasks", err=True)


@app.command("import")
def import_(
    source: Source,
    exports: Annotated[list[str], typer.Argument(metavar="NAME=FILE...", help="What Label Studio exported as JSON.")],
    work: Work,
    types: Types = TYPES,
    part: WhosePart = Part.annotations,
) -> None:
    """Read what people marked from Label Studio's own JSON."""
    from babelens.build.annotation.labelstudio import read_export
    from babelens.build.annotation.work import take_exports

    pairs = [given.partition("=")[::2] for given in exports]
    if not all(name and path for name, path in pairs):
        raise typer.BadParameter(f"expected NAME=FILE, found {' '.join(exports)}")
    read = [read_export(Path(path), name) for name, path in pairs]
    _tell_import(take_exports(read, source, work, _split(types), part=part.value))


@app.command()
def merge(source: Source, work: Work, rate: Rate = 0.1, seed: Seed = 0) -> None:
    """Lay the two versions of each row side by side: what agrees passes, the rest waits for the inspector."""
    from babelens.build.annotation.merge import count_kinds
    from babelens.build.annotation.work import merge_versions

    merged = merge_versions(source, work, rate=rate, seed=seed)
    differ = [case for case in merged.cases if case.disagreements]
    sampled = len(merged.queue) - len(differ)
    typer.echo(f"{len(merged.cases):,} rows done by both, {len(merged.waiting):,} wait for an annotator")
    typer.echo(f"  {len(merged.cases) - len(differ):,} agree, {sampled:,} of them go to the inspector as a sample")
    kinds = count_kinds([disagreement for case in differ for disagreement in case.disagreements])
    typer.echo(f"  {len(differ):,} differ" + (f" ({kinds})" if kinds else ""))


@app.command()
def inspect(source: Source, work: Work, types: Types = TYPES, images: Images = None, root: Root = None) -> None:
    """Write the queue of each inspector for Label Studio: both versions beside each other."""
    from babelens.build.annotation.work import INSPECTION, INTERFACE, write_queue

    counts = write_queue(source, work, _split(types), _shown(images, root))
    for name, count in sorted(counts.items()):
        typer.echo(f"{count:,} tasks in {work / INSPECTION / name}.json")
    typer.echo(f"their labelling interface: {work / INSPECTION / INTERFACE}" if counts else "nothing waits for anyone")


@app.command()
def gold(
    source: Source, work: Work, out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")]
) -> None:
    """Write the final entities of each row, and the trail that leads to them."""
    from babelens.build.annotation.work import write_gold

    summary, counts = write_gold(source, work, out)
    typer.echo(f"{summary.counts['rows']:,} rows in {summary.folder}" + ("; done before" if summary.before else ""))
    typer.echo(f"  {counts.agreed:,} agreed, {counts.inspected:,} inspected, {counts.waiting:,} wait")
    if counts.sampled:
        typer.echo(f"  of {counts.sampled:,} inspected rows that agreed, {counts.sampled_changed:,} were changed")
    if counts.simulated:
        typer.echo("  SIMULATED: none or not all of this was done by people")


@app.command()
def simulate(
    source: Source,
    work: Work,
    types: Types = TYPES,
    missed: Annotated[float, typer.Option(min=0, max=1, help="The share of entities that one leaves out.")] = 0.05,
    boundary: Annotated[float, typer.Option(min=0, max=1, help="The share that is a word too long or short.")] = 0.05,
    type_: Annotated[float, typer.Option("--type", min=0, max=1, help="The share of another type.")] = 0.03,
    invented: Annotated[float, typer.Option(min=0, max=1, help="Entities too many, per sentence.")] = 0.02,
    right: Annotated[float, typer.Option(min=0, max=1, help="How often the inspector is right.")] = 0.98,
    rate: Rate = 0.1,
    seed: Seed = 0,
) -> None:
    """Let simulated people do the work, to try the path; their names must begin with "simulated"."""
    from babelens.build.annotation.simulate import Errors
    from babelens.build.annotation.work import simulate_work

    errors = Errors(missed=missed, boundary=boundary, type=type_, invented=invented)
    merged = simulate_work(source, work, _split(types), errors, right=right, rate=rate, seed=seed)
    typer.echo(f"SIMULATED: {2 * len(merged.cases):,} annotations, {len(merged.queue):,} inspections")


@app.command()
def send(
    work: Work, title: Title, token: Token, url: Url = LOCAL, part: WhosePart = Part.annotations, images: Images = None
) -> None:
    """Send tasks to a running Label Studio, a project for each person; what is there already is not sent again.

    --images is the folder that `export --root` served pictures from.
    """
    from babelens.build.annotation.server import connect, make_project, send_tasks
    from babelens.build.annotation.work import task_file

    files, interface = _tasks(work, part)
    with connect(url, token) as client:
        for path in files:
            project = make_project(client, f"{title}: {path.stem}", interface, pictures=images)
            sent = send_tasks(client, project, task_file(path))
            typer.echo(f"{sent:,} tasks to {url.rstrip('/')}/projects/{project}")


@app.command()
def fetch(
    source: Source,
    work: Work,
    title: Title,
    token: Token,
    people: Annotated[
        Path | None, typer.Option(help="The people with their e-mail addresses, to check who did it.")
    ] = None,
    url: Url = LOCAL,
    types: Types = TYPES,
    part: WhosePart = Part.annotations,
) -> None:
    """Fetch what people marked from a running Label Studio."""
    from babelens.build.annotation.server import account_names, connect, find_project
    from babelens.build.annotation.server import fetch as fetch_project
    from babelens.build.annotation.work import read_people, take_exports

    files, interface = _tasks(work, part)
    names = [path.stem for path in files]
    emails = {} if people is None else {one.name: one.email for one in read_people(people) if one.email}
    with connect(url, token) as client:
        accounts = account_names(client, emails) if emails else None
        exports = [fetch_project(client, find_project(client, f"{title}: {name}", interface), name) for name in names]
    _tell_import(take_exports(exports, source, work, _split(types), part=part.value, people=accounts))


def _tasks(work: Path, part: Part) -> tuple[list[Path], str]:
    """The files of tasks in a work folder, one for each person, and the interface of their projects."""
    from babelens.build.annotation.work import INSPECTION, INTERFACE, TASKS
    from babelens.schema import InputError

    folder, verb = (work / TASKS, "export") if part is Part.annotations else (work / INSPECTION, "inspect")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"{folder}: expected tasks, as `babelens build annotate {verb}` writes them, found none")
    return files, (folder / INTERFACE).read_text("utf-8")


def _split(types: str) -> list[str]:
    names = [type_.strip() for type_ in types.split(",")]
    if not all(names):
        raise typer.BadParameter(f"expected PER,LOC,ORG,MISC, found {types!r}", param_hint="--types")
    return names


def _shown(images: Path | None, root: Path | None) -> "Shown":
    from babelens.build.annotation.tasks import embedded, served, unseen

    check_folder(images, "--images")
    if images is None:
        return unseen
    return embedded(images) if root is None else served(images, root)


def _tell_import(read: "Imported") -> None:
    from collections import Counter

    people: Any = Counter(annotation.annotator for annotation in read.annotations)
    by = ", ".join(f"{name} {count:,}" for name, count in sorted(people.items()))
    typer.echo(f"{len(read.annotations):,} annotations" + (f": {by}" if by else ""))
    changes = Counter(change.did for change in read.changes)
    typer.echo(f"  {changes['snapped']:,} spans moved to word boundaries, {changes['repeated']:,} marked twice")
    for why, count in Counter(version.why for version in read.left_out).items():
        typer.echo(f"  {count:,} {why}")
