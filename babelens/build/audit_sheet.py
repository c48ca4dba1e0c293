"""The sheet of an audit as CSV: written for any spreadsheet, and read back once a person has filled it.

One line for each entity, to be marked `right` or `wrong` under `verdict`, and one for each sentence, with the number of
entities that are missing from it under `missed` (or nothing in any of them, where they are not counted). `remark` is
free.

A spreadsheet runs a cell that begins like a formula, and text from the web can hold one (OWASP, CSV injection). So an
apostrophe stands before what begins so, at the start of a cell and behind a semicolon, by which some spreadsheets part
cells whatever the file says. Such cells are for reading only: what is read back are the columns `sample`, `key`,
`verdict`, `missed` and `remark`.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from babelens.build.audit_rows import AuditedRow, Marking, Sample
from babelens.data.problems import Problems, fault, listing, quote

COLUMNS = ("sample", "key", "id", "language", "text", "entity", "type", "verdict", "missed", "remark")
NEEDED = ("sample", "key", "verdict", "missed")
VERDICTS = {"right": True, "r": True, "wrong": False, "w": False}

# The last four are the first ones in the width of East Asian letters, which some spreadsheets take for the same.
_FORMULA = re.compile(r"(^|;)([\s\"']*)(?=[-=+@＝＋－＠])")
_DELIMITERS = ",;\t"


def write_sheet(sample: Sample) -> bytes:
    """The empty sheet of a sample: UTF-8 without a byte order mark, commas, lines ended by CR LF (RFC 4180)."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in sample.rows:
        known = {"sample": sample.name, "id": row.id, "language": row.language or ""}
        for place, entity in enumerate(row.entities):
            around = f"{row.text[: entity.start]}>>{entity.text}<<{row.text[entity.end :]}"
            own = {**known, "key": row.key(place), "text": around, "entity": entity.text, "type": entity.type}
            writer.writerow([_cell(own.get(name, "")) for name in COLUMNS])
        writer.writerow([_cell({**known, "key": row.name, "text": row.text}.get(name, "")) for name in COLUMNS])
    return file.getvalue().encode()


def read_sheet(path: Path, sample: Sample) -> list[Marking]:
    """Read a filled sheet: a marking for each sentence of the sample, in order.

    Lines may stand in any order; spreadsheets may have added a byte order mark, or semicolons or tabs in the place of
    commas. Lines are counted as a spreadsheet does, the head being line 1.

    Raises:
        DataError: columns or lines are missing, doubled or of another sample, or cells cannot be read; all in one go.
        OSError: the file cannot be read.
    """
    lines = _read_lines(path)
    problems = Problems(path)
    wanted = {row.key(place) for row in sample.rows for place in range(len(row.entities))}
    sentences = {row.name for row in sample.rows}
    found: dict[str, tuple[int, Mapping[str, str]]] = {}
    for number, line in lines:
        key = line["key"].strip()
        if line["sample"].strip() != sample.name:
            problems.add(number, f"a line of the sample {sample.name}", quote(line["sample"]))
        elif key not in wanted | sentences:
            problems.add(number, "the key of an entity or a sentence of the sample", quote(key))
        elif key in found:
            problems.add(number, "each key once", f"{key} again (first on line {found[key][0]})")
        else:
            found[key] = number, line
    lost = [
        key for row in sample.rows for key in (*map(row.key, range(len(row.entities))), row.name) if key not in found
    ]
    if lost:
        problems.add(None, f"lines for all {len(wanted) + len(sentences)} keys", f"none for {listing(lost[:10])}")
    problems.raise_if_any()
    if wanted and not any(line["verdict"].strip() for _, line in found.values()):
        raise fault(path, "right or wrong in the column verdict", f"none of {len(wanted):,} entities judged yet")
    verdicts = {key: _verdict(*found[key], problems) for key in wanted}
    counts = _counts({row.name: found[row.name] for row in sample.rows}, problems)
    problems.raise_if_any()
    return [_marking(row, verdicts, found, counts[row.name]) for row in sample.rows]


def _read_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines of a sheet by column, with their numbers; lines without any content are left out."""
    if not path.is_file():
        raise fault(path, "the sheet of an audit (CSV)", "no such file")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"the byte 0x{error.object[error.start]:02X} at {error.start}"
        raise fault(path, "UTF-8 (save the sheet as CSV UTF-8)", found) from None
    head = content.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    try:
        table = list(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise fault(path, "CSV as a spreadsheet saves it", str(error)) from None
    names = [name.strip().casefold() for name in table[0]] if table else []
    if missing := [name for name in NEEDED if names.count(name) != 1]:
        raise fault(path, f"the columns {listing(NEEDED)}, each once", f"not so: {listing(missing)}", 1)
    lines = []
    for number, cells in enumerate(table[1:], 2):
        if any(cell.strip() for cell in cells):
            # A spreadsheet may leave out cells at the end of a line.
            padded = [*cells, *[""] * (len(names) - len(cells))]
            lines.append((number, dict(zip(names, padded, strict=False))))
    return lines


def _verdict(number: int, line: Mapping[str, str], problems: Problems) -> bool:
    said = line["verdict"].strip().casefold()
    if said not in VERDICTS:
        what = f"right or wrong as verdict of {line['key'].strip()}"
        problems.add(number, what, quote(line["verdict"]) if said else "nothing")
    if line["missed"].strip():
        problems.add(
            number, f"missed entities on the line of the sentence, not of {line['key'].strip()}", quote(line["missed"])
        )
    return VERDICTS.get(said, False)


def _counts(lines: Mapping[str, tuple[int, Mapping[str, str]]], problems: Problems) -> dict[str, int | None]:
    """The missed entities of each sentence: numbers in all of them, or in none."""
    said = {name: line["missed"].strip() for name, (_, line) in lines.items()}
    counting = any(said.values())
    for name, (number, line) in lines.items():
        if counting and not (said[name].isascii() and said[name].isdigit()):
            what = f"the number of entities missed in {name} (or in no sentence at all)"
            problems.add(number, what, quote(line["missed"]) if said[name] else "nothing")
        if line["verdict"].strip():
            problems.add(
                number, f"a verdict on the lines of entities, none of the sentence {name}", quote(line["verdict"])
            )
    return {name: int(value) if value.isascii() and value.isdigit() else None for name, value in said.items()}


def _marking(
    row: AuditedRow,
    verdicts: Mapping[str, bool],
    found: Mapping[str, tuple[int, Mapping[str, str]]],
    missed: int | None,
) -> Marking:
    keys = [row.key(place) for place in range(len(row.entities))]
    remarks = (found[key][1].get("remark", "").strip() for key in keys)
    return Marking(tuple(verdicts[key] for key in keys), tuple(remarks), missed)


def _cell(text: str) -> str:
    """A text as it may stand in a cell: on one line, without what no file can hold, and never a formula."""
    plain = "".join(
        " " if letter.isspace() else "\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter
        for letter in text
    )
    return _FORMULA.sub(r"\1'\2", plain)
