// The picture beside the text: chosen, dropped, pasted or taken from an example.

import { Trouble } from "./asking.js";
import { at } from "./dom.js";

const LARGEST = 10_000_000;
const SIDE = 2048;

/**
 * A place for one picture: `picture` is null, or has the `file` that is sent and the blob that is `shown` for it.
 *
 * `changed()` is called after each change, `refused(trouble)` where a file is no picture.
 */
export class Picker {
  constructor(changed, refused) {
    this.picture = null;
    this.url = null;
    this.changed = changed;
    this.refused = refused;
    at("file").addEventListener("change", () => this.#take(at("file").files));
    at("remove").addEventListener("click", () => {
      this.clear();
      at("file").focus();
    });
    this.#watchDrops(at("composer"));
    document.addEventListener("paste", (event) => {
      const files = event.clipboardData?.files ?? [];
      // Office programs put a picture of the text beside the text.
      if (!files.length || event.clipboardData.types.includes("text/plain")) return;
      event.preventDefault();
      this.#take(files);
    });
  }

  /** Put a file there; says whether it is a picture that can be sent. */
  async put(file) {
    const trouble = await flawOf(file);
    const shown = trouble ? null : await still(file);
    if (!shown) {
      this.refused(trouble ?? new Trouble("This picture cannot be opened", "It may be damaged. Try another one."));
      return false;
    }
    this.#show({ file, shown });
    return true;
  }

  /** Take the picture away. */
  clear() {
    this.#show(null);
  }

  async #take(files) {
    const [file] = files;
    if (file) await this.put(file);
    at("file").value = "";
  }

  #show(picture) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.picture = picture;
    this.url = picture ? URL.createObjectURL(picture.shown) : null;
    const file = picture?.file;
    at("chosen").hidden = !file;
    at("choose").hidden = Boolean(file);
    if (file) at("preview").src = this.url;
    else at("preview").removeAttribute("src");
    at("preview").alt = file ? `The picture: ${file.name}` : "";
    this.changed();
  }

  #watchDrops(place) {
    const over = (event) => {
      if (holdsFiles(event)) place.classList.add("over");
    };
    place.addEventListener("dragenter", over);
    place.addEventListener("dragover", over);
    place.addEventListener("dragleave", (event) => {
      if (!place.contains(event.relatedTarget)) place.classList.remove("over");
    });
    place.addEventListener("drop", (event) => {
      place.classList.remove("over");
      this.#take(event.dataTransfer.files);
    });
    // A picture that misses its place would replace the page.
    for (const kind of ["dragenter", "dragover", "drop"]) {
      document.addEventListener(kind, (event) => holdsFiles(event) && event.preventDefault());
    }
  }
}

function holdsFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

/** What is wrong with a file, told by its first bytes and its size; null where nothing is. */
async function flawOf(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer().catch(() => new ArrayBuffer(0)));
  const letters = String.fromCharCode(...head);
  const known =
    letters.startsWith("\xff\xd8\xff") ||
    letters.startsWith("\x89PNG\r\n\x1a\n") ||
    letters.startsWith("GIF8") ||
    (letters.startsWith("RIFF") && letters.endsWith("WEBP"));
  if (!known) {
    const words = `JPEG, PNG, WebP and GIF can. ${file.name} is something else.`;
    return new Trouble("That is no picture that can be read here", words);
  }
  if (file.size > LARGEST) {
    const size = (file.size / 1e6).toFixed(1);
    const words = `${file.name} has ${size} MB, and 10 MB are the limit. A smaller copy does as well.`;
    return new Trouble("This picture is too large", words);
  }
  return null;
}

/** What is shown of a file: of an animation its first picture, which is what the model gets; null if it cannot be opened. */
async function still(file) {
  try {
    const bitmap = await createImageBitmap(file);
    if (file.type !== "image/gif") {
      bitmap.close();
      return file;
    }
    const canvas = document.createElement("canvas");
    const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve));
  } catch {
    return null;
  }
}
