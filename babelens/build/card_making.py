"""How a data set came about, as its card tells it: the steps before, the assembly, and what the parts share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from babelens.build.assemble_leaks import Leaks
from babelens.build.markdown import grid


def tell_steps(steps: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """A table of steps, given by name as `step.json` has them; nothing where there are none."""
    rows = []
    for name, step in steps:
        counts = step.get("counts", {})
        did = [
            f"{verb} {sum(whys.values()):,}" + (f" ({reasons})" if (reasons := _reasons(whys)) else "")
            for verb, whys in counts.get("did", {}).items()
        ]
        # With blanks, so that the cell can be broken into lines.
        settings = msgspec.json.format(msgspec.json.encode(step.get("options", {})), indent=0).decode()
        rows.append(
            [name, str(step.get("step")), "; ".join(did), settings, _count(counts, "read"), _count(counts, "rows")]
        )
    return grid(["folder", "step", "what was done", "options", "read", "rows"], rows, left=4) if rows else ""


def _reasons(whys: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {why}" for why, number in whys.items() if why)


def _count(counts: Mapping[str, Any], name: str) -> str:
    return f"{counts[name]:,}" if isinstance(counts.get(name), int) else "–"


def tell_assembly(counts: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    """What was done to the rows when the parts were made, by the counts and options of that step, line by line."""
    yield f"- Assembled by `babelens build assemble` of {counts['read']:,} rows, of which {counts['rows']:,} remain:"
    for verb, whys in counts["did"].items():
        reasons = _reasons(whys)
        yield f"  - {verb} {sum(whys.values()):,}" + (f" ({reasons})" if reasons else "")
    if options["near_text"] is None:
        yield "- Copies: rows of one language with the same text but for letter case and blanks."
    else:
        yield (
            "- Copies: rows of one language whose texts, without links and user names, have sets of 5-character "
            f"shingles with a Jaccard similarity of {options['near_text']} or more."
        )
    yield (
        "- Of copies the row of the earlier input remains, then one with a picture, then the earlier row; "
        f"{counts['labels_of_copies_that_differ']:,} copies of the same words had other labels than that row."
    )
    shown = "the best of them is shown for all" if options["one_picture"] else "each row keeps its own"
    yield (
        "- Pictures of the same bytes are one file. Pictures are nearly the same if their difference hashes "
        f"differ in {options['near_picture']} of 256 bits or fewer: {shown}, and their rows are in one part."
    )
    shares = ":".join(f"{share:g}" for share in options["shares"])
    yield f"- Divided {shares} by seed {options['seed']}, in {counts['units']:,} units that share nothing."
    yield "- `provenance.jsonl` says of every row read what became of it."


def tell_leaks(leaks: Sequence[Leaks]) -> str:
    """The leak report as a table."""
    if not leaks:
        return "There is one part alone."
    kinds = list(leaks[0].kinds)
    rows = [
        [leak.part, leak.other, f"{leak.rows:,}", *(f"{leak.kinds[kind]:,}" for kind in kinds), f"{leak.any:,}"]
        for leak in leaks
    ]
    return "Rows that share something with a row of another part, counted in the files as written:\n\n" + grid(
        ["rows of", "that share with", "rows", *kinds, "any"], rows, left=2
    )
