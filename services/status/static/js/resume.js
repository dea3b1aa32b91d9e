// What a client does with the frames of one subscription. Pure, so that it can be tested without a socket.

/**
 * @typedef {{seq: number, n: number, epoch: string}} Cursor
 * @typedef {{type: string, id: string, seq: number, n: number, epoch?: string, merged?: number}} Frame
 */

/**
 * Judge a frame against what is known.
 *  - `take`: show it; `cursor` is the new one
 *  - `skip`: it is not newer than what is shown
 *  - `gap`: something is missing in between, ask for a snapshot
 * @param {Cursor | null} known
 * @param {Frame} frame
 * @returns {{verdict: "take" | "skip" | "gap", cursor: Cursor | null}}
 */
export function judge(known, frame) {
  if (frame.type === "snap") {
    const older = known !== null && known.epoch === frame.epoch && frame.seq < known.seq;
    if (older) return { verdict: "skip", cursor: known };
    return { verdict: "take", cursor: { seq: frame.seq, n: frame.n, epoch: frame.epoch ?? "" } };
  }
  if (known === null) return { verdict: "gap", cursor: null };
  if (frame.seq <= known.seq) return { verdict: "skip", cursor: known };
  const follows = frame.n - (frame.merged ?? 0) <= known.n + 1;
  if (!follows) return { verdict: "gap", cursor: known };
  return { verdict: "take", cursor: { seq: frame.seq, n: frame.n, epoch: known.epoch } };
}

/**
 * Milliseconds until the next try: full jitter, so that a crowd does not come back at once.
 * @param {number} tries failed so far
 * @param {() => number} random
 */
export function backoff(tries, random = Math.random) {
  const least = 500;
  const most = 20_000;
  return Math.min(most, least + random() * least * 2 ** Math.min(tries, 6));
}
