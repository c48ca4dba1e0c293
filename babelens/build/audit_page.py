"""The sheet of an audit as a page: each sentence with its entities marked and its picture, to read and to mark.

The page asks the network for nothing. What is marked stays in the browser until it is saved as a CSV file, which
`audit_sheet.read_sheet` reads like one from a spreadsheet. Without its script, or on paper, it is a sheet to read.
"""

import base64
import hashlib
import io
import unicodedata
from html import escape
from pathlib import Path

from babelens.build.audit_rows import AuditedRow, Sample
from babelens.data.images import ImageStore

_WIDEST = 640
_QUALITY = 80
_RULES = (
    "An entity is <b>right</b> if its words and its type are what they should be, else <b>wrong</b>. <b>Missed</b> are "
    "the entities that should be there and are not: also those of which only other words, or another type, are marked. "
    "Leave the numbers of missed entities empty in all sentences if you do not count them."
)

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--panel:#fff;--ink:#16191d;--soft:#545b66;--rule:#d5dae1;--link:#0b57d0;
--mark:#cfe2ff}
@media (prefers-color-scheme:dark){:root{--page:#101317;--panel:#191d23;--ink:#e9ecf0;--soft:#a9b1bd;--rule:#363d47;
--link:#8ab4f8;--mark:#1d4380}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;margin:.6rem 0}
h2{font-size:1rem;margin:0 0 .5rem}
.soft{color:var(--soft)}
.bar{position:sticky;top:0;background:var(--page);padding:.6rem 0;display:flex;flex-wrap:wrap;gap:.6rem 1rem;
align-items:center;border-bottom:1px solid var(--rule)}
button,input{font:inherit;color:inherit}
button{background:var(--panel);border:1px solid var(--soft);border-radius:.4rem;padding:.4rem .9rem;cursor:pointer}
.row{background:var(--panel);border:1px solid var(--rule);border-radius:.6rem;padding:1rem;margin:1rem 0;
break-inside:avoid}
.text{font-size:1.15rem;line-height:2;white-space:pre-wrap;margin:.4rem 0}
mark{background:var(--mark);color:var(--ink);border-radius:.3em;padding:.1em .3em;
-webkit-box-decoration-break:clone;box-decoration-break:clone}
mark sub{font-size:.7em;font-weight:650;margin-inline-start:.3em;unicode-bidi:isolate}
img{display:block;max-width:100%;width:auto;height:auto;max-height:22rem;border-radius:.4rem;margin:.4rem 0}
fieldset{border:0;border-top:1px solid var(--rule);margin:0;padding:.35rem 0;display:flex;flex-wrap:wrap;
gap:.2rem 1.2rem;min-width:0}
legend{float:inline-start;padding:0;min-width:min(100%,16rem);font-weight:600;line-height:2rem}
label{display:inline-flex;gap:.4rem;align-items:center;min-height:2rem}
input[type=radio]{width:1.1rem;height:1.1rem;accent-color:var(--link)}
input[type=number]{width:5rem;background:var(--page);border:1px solid var(--soft);border-radius:.3rem;
padding:.2rem .4rem}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
@media print{.bar{position:static}.bar button{display:none}}
"""

# Keys and the name of the sample are of letters, digits and hyphens, so no cell needs quotes.
_SCRIPT = """
const main = document.querySelector("main"), sample = main.dataset.sample;
const entities = [...main.querySelectorAll("fieldset[data-key]")];
const counts = [...main.querySelectorAll("input[type=number]")];
const chosen = (entity) => entity.querySelector("input:checked")?.value ?? "";
const tell = () => {
  const done = entities.filter(chosen).length;
  document.querySelector("#done").textContent = `${done} of ${entities.length} entities marked`;
};
const store = {
  read() { try { return JSON.parse(localStorage.getItem(sample)) ?? {}; } catch { return {}; } },
  write(kept) { try { localStorage.setItem(sample, JSON.stringify(kept)); } catch { /* kept until it is closed */ } },
};
const before = store.read();
for (const entity of entities)
  for (const input of entity.querySelectorAll("input")) input.checked = input.value === before[entity.dataset.key];
for (const count of counts) count.value = before[count.dataset.key] ?? "";
main.addEventListener("input", () => {
  const kept = {};
  for (const entity of entities) kept[entity.dataset.key] = chosen(entity);
  for (const count of counts) kept[count.dataset.key] = count.value;
  store.write(kept);
  tell();
});
document.querySelector("#save").addEventListener("click", () => {
  const lines = ["sample,key,verdict,missed"];
  for (const entity of entities) lines.push(`${sample},${entity.dataset.key},${chosen(entity)},`);
  for (const count of counts) lines.push(`${sample},${count.dataset.key},,${count.value}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\\r\\n") + "\\r\\n"], { type: "text/csv" }));
  link.download = `${sample}.csv`;
  link.click();
});
document.querySelector("#save").hidden = false;
tell();
"""


def render_sheet(sample: Sample, images: Path | None = None) -> str:
    """The page of a sample. Pictures are found by their ids in the folder `images`, and are made small."""
    store = None if images is None else ImageStore([images])
    entities = sum(len(row.entities) for row in sample.rows)
    drawn = f"{len(sample.rows):,} of {sample.population:,} sentences, {entities:,} entities, seed {sample.seed}"
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{_markup(sample.name)}</title><style>{_STYLE}</style></head>\n"
        f'<body><main data-sample="{_markup(sample.name)}"><h1>Audit of entities</h1>'
        f'<p class="soft">{drawn} ({_markup(sample.name)})</p><p>{_RULES}</p>'
        '<div class="bar"><span id="done" role="status"></span>'
        '<button id="save" type="button" hidden>Save the sheet (CSV)</button></div>\n'
        + "\n".join(_draw_row(row, store) for row in sample.rows)
        + f"\n</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _draw_row(row: AuditedRow, store: ImageStore | None) -> str:
    parts, end = [], 0
    for entity in row.entities:
        name = f"<sub>{_markup(entity.type)}</sub>"
        parts.append(_markup(row.text[end : entity.start]))
        parts.append(f"<mark><bdi>{_markup(row.text[entity.start : entity.end])}</bdi>{name}</mark>")
        end = entity.end
    parts.append(_markup(row.text[end:]))
    about = " · ".join(_markup(part) for part in (row.id, row.language) if part)
    return (
        f'<section class="row" aria-labelledby="{row.name}"><h2 id="{row.name}">{row.number} '
        f'<span class="soft">{about}</span></h2>'
        + "".join(_draw_picture(image, store) for image in row.images)
        + f'<p class="text" dir="auto">{"".join(parts)}</p>'
        + "".join(_draw_entity(row, place) for place in range(len(row.entities)))
        + "<fieldset><legend>Missed</legend><label>entities that should be marked and are not "
        f'<input type="number" min="0" step="1" data-key="{row.name}"></label></fieldset></section>'
    )


def _draw_entity(row: AuditedRow, place: int) -> str:
    entity, key = row.entities[place], row.key(place)
    boxes = "".join(
        f'<label><input type="radio" name="{key}" value="{verdict}"> {verdict}</label>'
        for verdict in ("right", "wrong")
    )
    name = f'<bdi>{_markup(entity.text)}</bdi> <span class="soft">{_markup(entity.type)}</span>'
    return f'<fieldset data-key="{key}"><legend>{name}</legend>{boxes}</fieldset>'


def _draw_picture(image: str, store: ImageStore | None) -> str:
    if store is None:
        return f'<p class="soft">Picture {_markup(image)}</p>'
    picture = store.open(store.key(image))
    if picture.image is None:
        return f'<p class="soft">Picture {_markup(image)}: {_markup(picture.status)}</p>'
    small = picture.image.copy()
    small.thumbnail((_WIDEST, _WIDEST))
    drawn = io.BytesIO()
    small.save(drawn, "JPEG", quality=_QUALITY)
    content = base64.b64encode(drawn.getvalue()).decode()
    width, height = small.size
    return f'<img src="data:image/jpeg;base64,{content}" alt="{_markup(image)}" width="{width}" height="{height}">'


def _markup(text: str) -> str:
    """A text that is no markup; what no page may hold (controls, lone surrogates) becomes U+FFFD."""
    kept = (
        "\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") and not letter.isspace() else letter for letter in text
    )
    return escape("".join(kept))


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
