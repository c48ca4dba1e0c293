"""The command line: one verb a file, and one place that turns errors into words and exit codes."""

import errno
import sys
from typing import Annotated

import typer

from babelens.cli import build, data
from babelens.cli.calibrate import calibrate
from babelens.cli.demo import demo
from babelens.cli.evaluate import evaluate
from babelens.cli.experiment import experiment
from babelens.cli.export import export
from babelens.cli.info import info
from babelens.cli.models import models
from babelens.cli.predict import predict
from babelens.cli.serve import serve
from babelens.cli.train import train

app = typer.Typer(
    name="babelens",
    help="Multilingual, multimodal named entity recognition: text in any language and its picture in, entities out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo)
app.add_typer(data.app, name="data")
app.add_typer(build.app, name="build")
app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.command()(calibrate)
app.command()(export)
app.command()(serve)
app.add_typer(models, name="models")
app.command()(experiment)
app.command()(info)


def print_version(asked: bool | None) -> None:
    """Print the version, when asked, and end."""
    if asked:
        from babelens import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool | None, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Multilingual, multimodal named entity recognition: text in any language and its picture in, entities out."""


def run() -> None:
    """Run the command line; exit codes: 0 done, 1 input at fault, 2 wrong usage, 3 disk or memory, 130 Ctrl-C."""
    sys.exit(answer())


def answer(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; a user's mistake is answered by a message, not a traceback."""
    from babelens.schema import InputError

    try:
        result = app(arguments, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.Exit as exit_:
        return exit_.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _say("stopped", 130)
    except InputError as error:
        return _say(f"error: {error}" if error.exit_code == 1 else str(error), error.exit_code)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "disk" in str(error).lower():
            return _say(f"error: the disk is full ({error.filename or error}); what was saved before is whole", 3)
        if error.errno == errno.EPIPE:
            return 0
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"error: {where}{error.strerror or error}", 1)
    except MemoryError:
        return _say("error: memory ran out; a smaller --batch or fewer --workers needs less", 3)
    except RuntimeError as error:
        if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
            return _say(f"error: memory ran out; a smaller batch needs less ({str(error).splitlines()[0]})", 3)
        raise
    except Exception as error:
        # Usage errors of the command-line parser carry their own message and exit code.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            context = getattr(error, "ctx", None)
            usage = f"{context.get_usage()}\n" if context is not None else ""
            return _say(f"{usage}error: {error.format_message()}", int(error.exit_code))  # pyright: ignore
        raise


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    run()
