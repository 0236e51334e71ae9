// Elements made and updated in place. Foreign text only ever becomes textContent.

/** An element: `on` adds listeners, true and false are bare attributes, children are elements or text. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Set a text only when it differs, so that screen readers and selections are left in peace. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make the children of `list` stand for `rows`; a row that stays keeps its element, its focus and its place. */
export function keyed(list, rows, { key, make, update }) {
  const wanted = new Set(rows.map(key));
  const known = new Map();
  for (const node of [...list.children]) {
    if (!wanted.has(node.dataset.key) || known.has(node.dataset.key)) node.remove();
    else known.set(node.dataset.key, node);
  }
  let place = list.firstElementChild;
  for (const row of rows) {
    const name = key(row);
    let node = known.get(name);
    known.delete(name);
    if (!node) {
      node = make(row);
      node.dataset.key = name;
    }
    update(node, row);
    if (node === place) place = place.nextElementSibling;
    else list.insertBefore(node, place);
  }
  for (const node of known.values()) node.remove();
}

/** Pairs of name and value as a description list; pairs whose value is empty are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return element(
    "dl",
    { class: "facts" },
    ...shown.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

/** Show a notice with text, elements or both; without any it is hidden. */
export function notice(box, ...content) {
  box.replaceChildren(...content);
  box.hidden = content.length === 0;
}
