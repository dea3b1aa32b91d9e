// A list of any length of which only what is seen, and a little around it, is in the page.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { seen } from "./places.js";

/** @param {HTMLElement} list @param {string} name a length in pixels the style sheet says; 0 where it says none */
const length = (list, name) => Number.parseFloat(getComputedStyle(list).getPropertyValue(name)) || 0;

/**
 * Draws a list. The style sheet says how high a row is (`--row`) and how narrow a column may be (`--column`; without: one).
 * @param {{total: number, label: string, name: string, draw: (at: number) => any, onSee?: (first: number, last: number) => void}} props
 *   `draw` gives the inside of the item at a place
 */
export function Windowed({ total, label, name, draw, onSee }) {
  const list = useRef(/** @type {any} */ (null));
  const [view, setView] = useState({ first: 0, last: 0, row: 0, columns: 1 });
  const measure = () => {
    if (!list.current) return; // left the page before its effects ran
    const { top, width } = list.current.getBoundingClientRect();
    const row = length(list.current, "--row") || 1, column = length(list.current, "--column");
    const columns = column ? Math.max(1, Math.floor(width / column)) : 1;
    const [first, last] = seen({ top, height: innerHeight, row, columns, total });
    setView((was) => (was.first === first && was.last === last && was.row === row && was.columns === columns ? was : { first, last, row, columns }));
  };
  useEffect(measure, [total]);
  useEffect(() => {
    let due = 0;
    const later = () => (due ||= requestAnimationFrame(() => ((due = 0), measure())));
    const watcher = new ResizeObserver(later);
    watcher.observe(document.body);
    addEventListener("scroll", later, { passive: true });
    return () => (cancelAnimationFrame(due), watcher.disconnect(), removeEventListener("scroll", later));
  }, [total]);
  useEffect(() => onSee?.(view.first, view.last), [view.first, view.last, onSee]);
  const { first, last, row, columns } = view;
  const places = Array.from({ length: Math.max(0, Math.min(last, total) - first) }, (_, at) => first + at);
  return html`<ul class=${`windowed ${name}`} ref=${list} aria-label=${label} style=${{ height: `${Math.ceil(total / columns) * row}px` }}>
    ${places.map((at) => html`<${Item} key=${at} at=${at} total=${total} row=${row} columns=${columns}>${draw(at)}<//>`)}</ul>`;
}

function Item({ at, total, row, columns, children }) {
  const style = { top: `${Math.floor(at / columns) * row}px`, left: `${(100 / columns) * (at % columns)}%`, width: `${100 / columns}%`, height: `${row}px` };
  return html`<li style=${style} aria-posinset=${at + 1} aria-setsize=${total}>${children}</li>`;
}
