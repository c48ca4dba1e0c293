// Where the model looked: the picture lies under a veil that is thin where the weights are large.

const DARK = 0.66;
const STRONG = 0.75;
const MOST_PLACES = 3;
const LIST = new Intl.ListFormat("en");

/**
 * Draw a gaze over a picture of `size` [width, height], on a canvas that covers it.
 *
 * The grid divides `box` (left, top, right, bottom in pixels of the picture) evenly; what lies outside was not seen, and
 * a box whose left edge is right of its right one is mirrored. Weights are shown relative to the largest. Without a
 * gaze nothing is drawn.
 */
export function drawVeil(canvas, size, box, gaze) {
  const ratio = globalThis.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  if (!gaze) return;
  const paint = canvas.getContext("2d");
  const across = canvas.width / size[0];
  const down = canvas.height / size[1];
  const [left, top, right, bottom] = [box[0] * across, box[1] * down, box[2] * across, box[3] * down];
  paint.fillStyle = shade(1);
  paint.fillRect(0, 0, canvas.width, canvas.height);
  const largest = Math.max(...gaze.weights.flat(), Number.MIN_VALUE);
  const rows = gaze.weights.length;
  const strong = [];
  gaze.weights.forEach((row, line) => {
    row.forEach((weight, column) => {
      // Edges are rounded together, so that cells leave no seams.
      const xs = [column, column + 1].map((edge) => Math.round(left + ((right - left) * edge) / row.length));
      const ys = [line, line + 1].map((edge) => Math.round(top + ((bottom - top) * edge) / rows));
      const place = [Math.min(...xs), ys[0], Math.abs(xs[1] - xs[0]), ys[1] - ys[0]];
      paint.clearRect(...place);
      paint.fillStyle = shade(1 - weight / largest);
      paint.fillRect(...place);
      if (weight >= STRONG * largest) strong.push(place);
    });
  });
  for (const [colour, thick] of [["rgb(10 12 18)", 4], ["rgb(255 255 255)", 2]]) {
    paint.strokeStyle = colour;
    paint.lineWidth = thick * ratio;
    for (const [x, y, w, h] of strong) {
      const inset = 1.5 * ratio;
      paint.strokeRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset);
    }
  }
}

function shade(thickness) {
  return `rgb(10 12 18 / ${DARK * thickness})`;
}

/** In words where a gaze rests: the places of the cells that have most of it. */
export function placesOf(gaze) {
  const largest = Math.max(...gaze.weights.flat());
  const found = new Set();
  gaze.weights.forEach((row, line) => {
    row.forEach((weight, column) => {
      if (weight < STRONG * largest) return;
      const high = third(line, gaze.weights.length, ["top", "middle", "bottom"]);
      const wide = third(column, row.length, ["left", "middle", "right"]);
      found.add(high === wide ? "middle" : [high, wide].filter((word) => word !== "middle").join(" "));
    });
  });
  return found.size <= MOST_PLACES ? `at ${LIST.format([...found].map((place) => `the ${place}`))}` : "in many places";
}

function third(number, of, words) {
  return words[Math.min(2, Math.floor((3 * (number + 0.5)) / of))];
}
