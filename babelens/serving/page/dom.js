// Making elements; whatever is said becomes text, never markup.

/** An element with attributes and children; strings among the children become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The element of an id. */
export function at(id) {
  return document.getElementById(id);
}
