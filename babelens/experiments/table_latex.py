"""Tables as LaTeX with booktabs, each a file to be read into a paper."""

from collections.abc import Iterator

from babelens.experiments.table import Table
from babelens.experiments.table_grid import Grid, Line, Shown, grid
from babelens.experiments.table_notes import Note

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a line it would begin an option
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "‖": r"\textbardbl{}",
    "±": r"\textpm{}",
    "–": "--",
    "−": r"\textminus{}",
    "*": r"\textasteriskcentered{}",
}


def latex(table: Table) -> str:
    """A float of the width of the page: caption, label, the best of each block in bold, and the lines below.

    It needs the packages fontenc (with T1) and booktabs. Blocks are told apart by rules.
    """
    shown = grid(table)
    lines = [
        f"% {_plain(table.results.command)}",
        *(f"% {_plain(note)}" for note in table.results.notes),
        r"\begin{table*}[t]",
        r"  \centering",
        rf"  \caption{{{escape(shown.title)}}}",
        rf"  \label{{tab:{label(table.name)}}}",
        *(_tabular(shown) if shown.blocks else ()),
        *(f"  {line}" for line in _below(shown.notes)),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX takes as it is; letters of all scripts stay."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def label(name: str) -> str:
    """A name that can be referred to."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in name)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _tabular(shown: Grid) -> Iterator[str]:
    yield r"  \small\setlength{\tabcolsep}{4pt}"
    yield rf"  \begin{{tabular}}{{@{{}}{'l' * len(shown.axes)}{'r' * len(shown.heads)}@{{}}}}"
    yield r"    \toprule"
    yield f"    {' & '.join((*map(_head, shown.axes), *map(_head, shown.heads)))} \\\\"
    for block in shown.blocks:
        yield r"    \midrule"
        yield from (f"    {_line(line)} \\\\" for line in block)
    yield r"    \bottomrule"
    yield r"  \end{tabular}"


def _head(text: str) -> str:
    """A head; a long one in lines of its own."""
    words = text.split()
    if len(text) <= 12:
        return escape(text)
    half = (len(words) + 1) // 2
    return rf"\shortstack[r]{{{escape(' '.join(words[:half]))}\\{escape(' '.join(words[half:]))}}}"


def _line(line: Line) -> str:
    return " & ".join((*map(escape, line.labels), *map(_figure, line.figures)))


def _figure(figure: Shown) -> str:
    text = rf"\textbf{{{figure.text}}}" if figure.bold else escape(figure.text) or "--"
    spread = rf"{{\scriptsize\,\textpm\,{figure.spread}}}" if figure.spread else ""
    raised = escape(figure.mark + figure.number)
    return f"{text}{spread}" + (rf"\rlap{{\textsuperscript{{{raised}}}}}" if raised else "")


def _below(notes: tuple[Note, ...]) -> Iterator[str]:
    if not notes:
        return
    yield r"\par\smallskip"
    yield r"\begin{minipage}{\linewidth}\footnotesize"
    for note in notes:
        mark = rf"\textsuperscript{{{escape(note.mark)}}}\," if note.mark else ""
        yield f"  {mark}{escape(note.text)}\\par"
    yield r"\end{minipage}"
