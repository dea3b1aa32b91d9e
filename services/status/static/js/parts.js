// Small parts that every page uses.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { live } from "./live.js";
import { ago, number, span, stateOf } from "./format.js";

const PATHS = {
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  cross: "M5.5 5.500l9 9m0-9l-9 9",
  clock: "M10 5.500V10l3 2M10 17.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15z",
  stop: "M5.5 10h9",
  retry: "M15.5 8A6 6 0 1 0 16 11.500M16 4v4h-4",
  spinner: "M10 3a7 7 0 1 1-7 7",
  copy: "M7 7V4.500A1.5 1.5 0 0 1 8.5 3h7A1.5 1.5 0 0 1 17 4.500v7a1.5 1.5 0 0 1-1.5 1.500H13M4.5 7h7A1.5 1.5 0 0 1 13 8.500v7a1.5 1.5 0 0 1-1.5 1.500h-7A1.5 1.5 0 0 1 3 15.500v-7A1.5 1.5 0 0 1 4.5 7z",
  open: "M11 3.500h5.500V9M16.5 3.500L9 11M8 4.500H5A1.5 1.5 0 0 0 3.5 6v9A1.5 1.5 0 0 0 5 16.500h9a1.5 1.5 0 0 0 1.5-1.500v-3",
  eye: "M2.5 10S5 4.5 10 4.5 17.5 10 17.5 10 15 15.5 10 15.5 2.5 10 2.5 10zM10 12.200a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.400z",
  arrow: "M4 10h12m-4.5-4.500L16 10l-4.5 4.5",
  back: "M16 10H4m4.5-4.500L4 10l4.5 4.5",
  theme: "M10 2.500a7.5 7.5 0 1 0 7.5 7.500A5.8 5.8 0 0 1 10 2.500z",
  search: "M9 14.500A5.5 5.5 0 1 0 9 3.500a5.5 5.5 0 0 0 0 11zM13 13l4 4",
};

/** @param {{name: string, class?: string}} props a drawing beside a word that says the same */
export const Icon = ({ name, class: className = "" }) => html`
  <svg class=${`icon ${name === "spinner" ? "spin" : ""} ${className}`} viewBox="0 0 20 20" aria-hidden="true"
    fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"><path d=${PATHS[name]} /></svg>`;

/** A state by word, colour and icon. */
export function State({ of }) {
  const { word, tone, icon } = stateOf(of);
  return html`<span class=${`state ${tone}`}><${Icon} name=${icon} />${word}</span>`;
}

/** @param {{value: number | null, label: string, text: string, tone?: string, thin?: boolean}} props null: unknown */
export function Bar({ value, label, text, tone = "busy", thin = false }) {
  const known = value !== null;
  return html`<div class=${`bar ${tone} ${thin ? "thin" : ""} ${known ? "" : "unknown"}`} role="progressbar"
    aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${known ? Math.round(value) : undefined}
    aria-valuetext=${text}><div style=${known ? { transform: `scaleX(${value / 100})` } : {}}></div></div>`;
}

/** A button that copies a text and says so. */
export function Copy({ text, label, children }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => fallbackCopy(text));
    setDone(true);
    announce("Copied");
    setTimeout(() => setDone(false), 1600);
  };
  return html`<button type="button" class="quiet" onClick=${copy} aria-label=${label}>
    <${Icon} name=${done ? "check" : "copy"} />${done ? "Copied" : children}</button>`;
}

function fallbackCopy(text) {
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** The time now, again and again. @param {number} every milliseconds */
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** How the live connection is. */
export function useMode() {
  const [mode, setMode] = useState(live.mode);
  useEffect(() => live.onMode(() => setMode(live.mode)), []);
  return mode;
}

const MODES = {
  live: ["live", "good"],
  events: ["live by events", "good"],
  connecting: ["connecting", "warn"],
  reconnecting: ["reconnecting", "warn"],
  polling: ["polling every 2 s", "warn"],
  stopped: ["not live: reload the page", "bad"],
};

/** "Last event 2 s ago · live". @param {{at?: string}} props when the shown thing last changed */
export function Freshness({ at }) {
  const now = useNow();
  const [word, tone] = MODES[useMode()];
  return html`<p class="fresh"><span class=${`dot ${tone}`}></span>
    ${at ? html`last event ${ago(at, now)} · ` : ""}<span data-mode>${word}</span></p>`;
}

/** Time left until a moment, or a word for none. */
export function Countdown({ until }) {
  const now = useNow();
  if (!until) return html`<span>lives until you delete it</span>`;
  const left = (Date.parse(until) - now) / 1000;
  if (left <= 0) return html`<time datetime=${until}>time is up</time>`;
  const short = left > 3600 ? span(left - (left % 60)) : span(left);
  return html`<time datetime=${until} class=${left < 900 ? "soon" : ""}>expires in ${short}</time>`;
}

/** Say something to screen readers. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** A question before something that can not be undone. */
export function Confirm({ title, children, yes, danger = true, onYes, onNo }) {
  const dialog = useRef(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  const go = async () => {
    setBusy(true);
    try {
      await onYes();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<dialog ref=${dialog} onClose=${onNo} aria-labelledby="dialog-title">
    <h2 id="dialog-title">${title}</h2>
    <p>${children}</p>
    <${Trouble} problem=${problem} />
    <div class="row end">
      <button type="button" class="quiet" onClick=${() => dialog.current.close()}>Keep it</button>
      <button type="button" class=${danger ? "danger" : "primary"} disabled=${busy} onClick=${go}>${yes}</button>
    </div>
  </dialog>`;
}

/** What went wrong and what to do. */
export const Trouble = ({ problem }) =>
  problem && html`<div class="trouble" role="alert"><strong>${problem.message}</strong>${problem.hint && html` <span>${problem.hint}</span>`}</div>`;

/** Milliseconds after a field was left before what is wrong with it is said: nothing may move under a finger that is on its
 * way to the button. */
export const AFTER_LEAVING = 400;

/** An input with its label, and what there is to say about it. */
export function Field({ name, label, hint, error, children }) {
  return html`<div class=${`field ${error ? "wrong" : ""}`}>
    <label for=${name}>${label}</label>${children}
    ${error ? html`<p class="wrong" id=${`${name}-help`}>${error}</p>` : hint && html`<p class="hint" id=${`${name}-help`}>${hint}</p>`}
  </div>`;
}

/** @type {[number, string][]} how long a clone may live, in minutes */
export const LIFETIMES = [[120, "2 hours"], [480, "8 hours"], [1440, "1 day"], [4320, "3 days"], [10080, "7 days"], [43200, "30 days"]];
/** @param {number | string | null} minutes @returns {[number, string][]} the same, with one that was chosen elsewhere */
export const lifetimes = (minutes) => (!minutes || LIFETIMES.some(([each]) => each === Number(minutes)) ? LIFETIMES : [...LIFETIMES, [Number(minutes), span(Number(minutes) * 60)]]);
/** @type {[string, string][]} */
export const PRIORITIES = [["high", "High"], ["normal", "Normal"], ["low", "Low"]];

/** What a person should know about a finished job. @param {{notes?: {message: string, count?: number, samples?: string[]}[]}} props */
export const Notes = ({ notes }) => notes?.length > 0 && html`<h3>Good to know</h3><ul class="notes">${notes.map((note) => html`<li>${note.message}${note.count ? html` <span class="count">${number(note.count)}</span>` : ""}
  ${note.samples?.map((sample) => html`<span class="samples">${sample}</span>`)}</li>`)}</ul>`;
