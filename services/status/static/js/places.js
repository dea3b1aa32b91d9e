// Which part of a long list is in the page. Pure.

/** Rows drawn above and below what is seen, so that a quick scroll does not show holes. */
const AROUND = 6;

/**
 * Which items of a list are seen.
 * @param {{top: number, height: number, row: number, columns: number, total: number}} of `top`: where the list begins,
 *   seen from the upper edge of the window, whose height is `height`
 * @returns {[number, number]} from this one to before that one
 */
export function seen({ top, height, row, columns, total }) {
  const first = Math.max(0, Math.floor(-top / row) - AROUND);
  const last = Math.ceil((height - top) / row) + AROUND;
  return [Math.min(total, first * columns), Math.max(0, Math.min(total, last * columns))];
}
