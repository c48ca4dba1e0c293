"""`python -m babelens`: the command line, for launchers that start modules."""

from babelens.cli.main import run

if __name__ == "__main__":
    run()
