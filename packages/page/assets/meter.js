// How much of a limit is used.
import { element, setAttribute } from './dom.js';

export class Meter {
  /** @param {string} label */
  constructor(label) {
    this.fill = element('span', { class: 'fill' });
    this.node = element(
      'span',
      { class: 'meter', attributes: { role: 'meter', 'aria-label': label, 'aria-valuemin': '0' } },
      this.fill,
    );
  }

  /**
   * @param {number} used
   * @param {number} limit
   * @param {string} text
   */
  show(used, limit, text) {
    const share = limit > 0 ? Math.min(1, used / limit) : 0;
    setAttribute(this.node, 'aria-valuemax', String(limit));
    setAttribute(this.node, 'aria-valuenow', String(Math.min(used, limit)));
    setAttribute(this.node, 'aria-valuetext', text);
    setAttribute(this.node, 'data-level', share >= 0.9 ? 'high' : share >= 0.75 ? 'raised' : 'low');
    this.fill.style.width = `${(share * 100).toFixed(1)}%`;
  }
}
