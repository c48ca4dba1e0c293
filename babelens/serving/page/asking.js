// Asking the service, and what is said where it does not answer.

/** Why there is no answer: `title` and `text` for the reader, `retry` in how many seconds asking again may help. */
export class Trouble extends Error {
  constructor(title, text, { status = 0, retry = null } = {}) {
    super(title);
    Object.assign(this, { title, text, status, retry });
  }
}

const WISHES = { alternatives: 3, model: true };
const PICTURE_WISHES = { image_effect: true, regions: true };
const PATH = "v1/predict";
const LONGEST_WAIT = 60_000;

/** What the page asks beyond the names: more where there is a picture. */
export function wishesFor(picture) {
  return picture ? { ...WISHES, ...PICTURE_WISHES } : WISHES;
}

/** The answer of the service to a text and a picture (a file, or null). Throws Trouble. */
export async function askNames(text, picture, token) {
  const row = { text, ask: wishesFor(picture) };
  if (picture) row.image = await base64(picture);
  const headers = { "content-type": "application/json" };
  return read(PATH, { method: "POST", headers, body: JSON.stringify(row) }, token);
}

/** What the service says of its model. Throws Trouble. */
export function askModel(token) {
  return read("v1/model", {}, token);
}

async function read(path, request, token) {
  const headers = { ...request.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  let response;
  let body;
  try {
    response = await fetch(path, { ...request, headers, signal: AbortSignal.timeout(LONGEST_WAIT) });
    body = await response.text();
  } catch (error) {
    if (error.name === "TimeoutError") throw troubleOf(504, "", null, false);
    throw new Trouble("The service cannot be reached", "Is it running, and are you online? Your text is still here.");
  }
  const said = parsed(body);
  if (response.ok && said !== null) return said;
  throw troubleOf(response.status, said?.error ?? "", response.headers.get("retry-after"), Boolean(token));
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function troubleOf(status, said, after, bore) {
  const seconds = Number.parseInt(after ?? "", 10);
  const retry = Number.isFinite(seconds) ? Math.max(1, seconds) : null;
  const words = said ? `The service says: ${said}.` : "";
  const make = (title, text, more = {}) => new Trouble(title, text, { status, ...more });
  switch (status) {
    case 401:
      if (bore) return make("That is not the right token", "Look at it again, or ask the owner of the service for one.");
      return make("This service wants a token", "Enter the one that its owner gave you. It is kept until you leave the page.");
    case 408:
    case 504:
      return make("That took too long", "The service is busy, or the text is very long. Ask again, or send a part of it.");
    case 413:
      return make("That is too much at once", words || "Send a shorter text or a smaller picture.");
    case 415:
      return make("This picture cannot be read here", `JPEG, PNG, WebP and GIF can. ${words}`.trim());
    case 400:
    case 422:
      return make("This cannot be read", words || "Look at the text and the picture again.");
    case 429:
      return make("Many are asking right now", "Your turn comes in a moment.", { retry: retry ?? 2 });
    case 503:
      return make("The model is not ready", "It is being loaded, or about to be replaced.", { retry: retry ?? 3 });
    default:
      return make("The service failed over this", `That is not your fault. ${words}`.trim());
  }
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Trouble("The picture cannot be opened", "Perhaps it was moved. Choose it again."));
    reader.readAsDataURL(file);
  });
}

/** A command line that asks the same; the picture stands in it by the name of its file. */
export function curlOf(text, picture, token) {
  const parts = [`curl ${quoted(new URL(PATH, document.baseURI).href)}`];
  if (token) parts.push('-H "Authorization: Bearer $BABELENS_TOKEN"');
  const wishes = wishesFor(picture);
  if (picture) {
    parts.push(`--form-string ${quoted(`text=${text}`)}`, `--form-string ${quoted(`ask=${JSON.stringify(wishes)}`)}`);
    parts.push(`-F ${quoted(`image=@"${picture.name.replace(/[\\"]/g, "\\$&")}"`)}`);
  } else {
    parts.push("-H 'Content-Type: application/json'", `--data-raw ${quoted(JSON.stringify({ text, ask: wishes }))}`);
  }
  return parts.join(" \\\n  ");
}

function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
