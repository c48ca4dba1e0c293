// What stands in the text: pieces of it, and the names that each reading finds.

/** The text cut at its marks, which are in order and do not overlap; places count code points, strings UTF-16 units. */
export function cutText(text, marks) {
  const pieces = [];
  let point = 0;
  let unit = 0;
  const reach = (place) => {
    for (; point < place && unit < text.length; point += 1) unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
    return unit;
  };
  let end = 0;
  for (const mark of marks) {
    const start = reach(mark.mention.start);
    if (start > end) pieces.push({ text: text.slice(end, start), mark: null });
    end = reach(mark.mention.end);
    pieces.push({ text: text.slice(start, end), mark });
  }
  if (end < text.length) pieces.push({ text: text.slice(end), mark: null });
  return pieces;
}

/**
 * The marks of a reading, in the order of the text: with the picture, or `without` it.
 *
 * `note` says what differs from the other reading: null, "type" (`before` is the type with the picture), "borders",
 * "new", or "gone" for what only the reading with the picture found. Names of a score below `least` are left out.
 */
export function marksOf(answer, without, least) {
  const enough = (mention) => mention.score >= least;
  if (!without) return answer.entities.filter(enough).map((mention) => ({ mention, note: null, before: null }));
  const found = answer.without_image.filter(enough).map(withoutMark);
  const free = (mention) => found.every(({ mention: other }) => other.end <= mention.start || mention.end <= other.start);
  const gone = answer.entities
    .filter((mention) => enough(mention) && mention.image_effect.change === "only_here" && free(mention))
    .map((mention) => ({ mention, note: "gone", before: mention.type }));
  return [...found, ...gone].sort((one, other) => one.mention.start - other.mention.start);
}

function withoutMark(mention) {
  const { change, type } = mention.image_effect;
  const note = { same: null, type: "type", borders: "borders", only_here: "new" }[change];
  return { mention, note, before: note === "type" ? type : null };
}

const USUAL = ["PER", "LOC", "ORG", "MISC"];
const TONES = 8;

/** The number of a type's colour, as in the package: the usual four have their own, others hang on the name alone. */
export function toneOf(type) {
  const own = USUAL.indexOf(type);
  return own >= 0 ? own : USUAL.length + (crc32(new TextEncoder().encode(type)) % (TONES - USUAL.length));
}

function crc32(bytes) {
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit += 1) rest = (rest >>> 1) ^ (rest & 1 ? 0xedb88320 : 0);
  }
  return ~rest >>> 0;
}

const NAMES = { PER: "person", LOC: "place", ORG: "organisation", MISC: "another name" };

/** What a type means, where that is known. */
export function meaningOf(type) {
  return NAMES[type] ?? "";
}

/** A share as people read it; only what is certain has 100 %, and only what is impossible 0 %. */
export function percent(share) {
  const rounded = Math.round(100 * share);
  if (rounded === 0 && share > 0) return "<1\u00a0%";
  return `${rounded === 100 && share < 1 ? 99 : rounded}\u00a0%`;
}
