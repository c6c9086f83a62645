// Elements with text. Nothing here, and nothing anywhere in the page, makes markup of a string: what comes from a container is text.

/**
 * @typedef {{
 *   readonly class?: string,
 *   readonly text?: string,
 *   readonly attributes?: Readonly<Record<string, string>>,
 * }} Options
 */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Options} [options]
 * @param {...Node} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  if (options.class !== undefined) made.className = options.class;
  if (options.text !== undefined) made.textContent = options.text;
  for (const [key, value] of Object.entries(options.attributes ?? {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Readonly<Record<string, string>>} attributes
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function graphic(name, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * The element of index.html with that id.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * Changes a text only where it is another one, so that a selection lasts and nothing is announced twice.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {Element} node
 * @param {string} name
 * @param {string} value
 */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * @param {HTMLElement} node
 * @param {boolean} isHidden
 */
export function setHidden(node, isHidden) {
  if (node.hidden !== isHidden) node.hidden = isHidden;
}

/**
 * Rows by key: what stays is changed where it is, so that focus and selection last.
 *
 * @template T
 * @template {{ readonly nodes: readonly HTMLElement[] }} R
 */
export class KeyedRows {
  /**
   * @param {HTMLElement} parent
   * @param {{ key: (item: T) => string, make: (item: T) => R, update: (row: R, item: T) => void }} how
   */
  constructor(parent, how) {
    this.parent = parent;
    this.how = how;
    /** @type {Map<string, R>} */
    this.rows = new Map();
  }

  /** @param {readonly T[]} items */
  show(items) {
    const { how, parent, rows } = this;
    const keys = new Set(items.map(how.key));
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      for (const node of row.nodes) node.remove();
      rows.delete(key);
    }
    /** @type {Element | null} */
    let place = parent.firstElementChild;
    for (const item of items) {
      const key = how.key(item);
      let row = rows.get(key);
      if (row === undefined) {
        row = how.make(item);
        rows.set(key, row);
      }
      how.update(row, item);
      for (const node of row.nodes) {
        if (node === place) place = place.nextElementSibling;
        else parent.insertBefore(node, place);
      }
    }
  }
}
