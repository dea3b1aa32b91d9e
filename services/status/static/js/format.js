// Numbers, times and words for people. Pure.

const NUMBER = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {number} bytes @returns {string} `168.4 MB` */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** @param {number} count */
export const number = (count) => NUMBER.format(count);

/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** @param {string} iso */
export const clock = (iso) => CLOCK.format(new Date(iso));
/** @param {string} iso */
export const moment = (iso) => DAY.format(new Date(iso));

/**
 * @param {string} iso
 * @param {string} zone an IANA time zone
 * @returns {string} the moment as clocks there show it: `Tue, Dec 1, 2026, 02:30`; in UTC, and saying so, where a browser does not know the zone
 */
export function momentIn(iso, zone) {
  const shown = (timeZone) => new Intl.DateTimeFormat("en", { weekday: "short", year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone }).format(new Date(iso));
  try {
    return shown(zone);
  } catch {
    return `${shown("UTC")} UTC`;
  }
}

/**
 * A span of time in its two largest units: `2 h 5 min`, `41 s`, `0.4 s`.
 * @param {number} seconds
 */
export function span(seconds) {
  if (seconds < 0.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return minutes ? (whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`) : `${whole} s`;
}

/** @param {string} iso @param {number} now milliseconds */
export function ago(iso, now) {
  const seconds = (now - Date.parse(iso)) / 1000;
  return seconds < 5 ? "just now" : `${span(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

/** @param {string} url the part of a URL people recognise */
export function site(url) {
  try {
    const { host, pathname } = new URL(url);
    return host + pathname.replace(/\/$/, "");
  } catch {
    return url;
  }
}

const ACTIONS = { rollback: "Roll-back of", discard: "Discard on" };
const CLONE = /^clone-[0-9a-z]{16}\./;

/** @param {string} url @returns {string} where something comes from, for people: a clone's host name says nothing */
export const origin = (url) => (CLONE.test(site(url)) ? "a clone" : site(url));

/** @param {any} job what a job is about, for people: its name, or its site */
export const title = (job) => job.name ?? (job.type !== "restore" ? site(job.source_url) : `${ACTIONS[job.action] ?? "Restore of"} ${site(job.target_url)}`);

/** @param {any} job @returns {string} what its title does not say about where it comes from and goes; empty for nothing */
export function places(job) {
  if (job.type === "restore") return (job.action ?? "restore") === "restore" ? `from ${origin(job.source_url)}${job.name ? ` to ${site(job.target_url)}` : ""}` : job.name ? site(job.target_url) : "";
  return job.name ? site(job.source_url) : "";
}

/**
 * How much of a step is done, in its own unit; nothing before it begins, no total when it is over.
 * @param {{state: string, done: number, total: number | null, unit: string | null}} step
 */
export function amount({ state, done, total, unit }) {
  if (!unit || state === "pending" || (!done && !total)) return "";
  const say = unit === "bytes" ? size : number;
  const noun = unit === "bytes" ? "" : ` ${unit}`;
  return total && state !== "done" ? `${say(Math.min(done, total))} of ${say(total)}${noun}` : `${say(done)}${noun}`;
}

/** What a job's state is called, and which colour and icon it has. */
const STATES = {
  pending: ["Waiting", "idle", "clock"],
  running: ["Running", "busy", "spinner"],
  completed: ["Completed", "good", "check"],
  failed: ["Failed", "bad", "cross"],
  cancelled: ["Cancelled", "idle", "stop"],
  waiting: ["Waiting for room", "idle", "clock"],
  retrying: ["Trying again soon", "warn", "retry"],
  cancelling: ["Cancelling", "warn", "stop"],
  partially_completed: ["Partly completed", "warn", "check"],
  active: ["Ready", "good", "check"],
  deleting: ["Being deleted", "warn", "spinner"],
  deleted: ["Deleted", "idle", "stop"],
  kept: ["Kept", "good", "check"],
  rolled_back: ["Rolled back", "idle", "back"],
  discarded: ["Discarded", "idle", "stop"],
};

/** What has become of the clone of a completed job, where it is no longer there. */
const CLONES_ENDED = { deleting: ["Clone being deleted", "warn", "spinner"], deleted: ["Clone deleted", "idle", "stop"] };

/** @param {{status?: string, phase?: string | null, state?: string, clone_state?: string | null, result?: any}} record */
export function stateOf(record) {
  const clone = record.status === "completed" && CLONES_ENDED[record.clone_state ?? record.result?.state];
  const [word, tone, icon] = clone || (STATES[record.phase ?? record.status ?? record.state ?? "pending"] ?? STATES.pending);
  return { word, tone, icon };
}

export const isOver = (job) => ["completed", "failed", "cancelled"].includes(job.status);

/** @param {any} options @returns {string} what they do, for the form; empty for nothing */
export function optionsInWords({ exclude_tables = [], exclude_paths = [], allow_http = [], constants = [], keep_transients = false, fresh = false, media = "copy" }) {
  return [
    exclude_tables.length && `${plural(exclude_tables.length, "table")} left out`,
    exclude_paths.length && `${plural(exclude_paths.length, "path")} left out`,
    allow_http.length && `may call ${plural(allow_http.length, "host")}`,
    constants.length && `keeps ${plural(constants.length, "constant")} of wp-config.php`,
    keep_transients && "transients copied",
    media === "remote" && "pictures and documents stay on the source",
    fresh && "nothing taken from earlier clones",
  ].filter(Boolean).join(", ");
}
