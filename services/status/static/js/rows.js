// Jobs in a list, wherever they are listed.

import { html } from "../vendor/preact-htm.js";
import { ago, isOver, number, places, stateOf, title } from "./format.js";
import { Bar, State } from "./parts.js";

/** What is said below a job's name. @param {any} job @param {number} [now] without: not how old it is */
function about(job, now) {
  const parts = [places(job)].filter(Boolean);
  if (now) parts.push(ago(job.created_at, now));
  if (job.priority === "high") parts.push("high priority");
  if (job.attempt > 1) parts.push(`attempt ${job.attempt}`);
  return parts.join(" · ");
}

function Gauge({ job }) {
  const waits = job.status === "pending";
  return html`<span class="gauge"><${Bar} thin value=${waits ? null : job.progress} tone=${stateOf(job).tone} label=${`Progress of ${title(job)}`}
    text=${waits ? "waiting" : `${Math.round(job.progress)} percent`} /><b>${waits ? "" : `${Math.floor(job.progress)} %`}</b></span>`;
}

/**
 * A job: all of it leads to its page, the name of its batch to the batch.
 * @param {{job: any, now?: number}} props without `now` it is one of its batch: neither that nor how old it is need be said
 */
export function JobRow({ job, now }) {
  const over = isOver(job);
  const words = about(job, now);
  return html`<div class=${`job ${job.status}`}>
    <a class="title" href=${`#/jobs/${job.job_id}`}>${title(job)}</a>
    ${(words || now) && html`<span class="sub">${words}${job.batch_id && now && html`${words && " · "}<a class="member" href=${`#/batches/${job.batch_id}`}>part of a batch</a>`}</span>`}
    <${State} of=${job} />
    ${job.status !== "completed" && html`<span class="said" title=${said(job)}>${said(job)}</span>`}
    ${!over && html`<${Gauge} job=${job} />`}
  </div>`;
}

/** What a row says below its name: the cause where it failed, else what it does. */
const said = (job) => (job.status === "failed" && job.error?.message) || job.message;

/** A list that is being read. */
export const Skeleton = ({ what }) => html`<ul class="jobs" aria-busy="true" aria-label=${`Loading ${what}`}>${[1, 2, 3].map(() => html`<li class="job ghost"><span></span><span></span></li>`)}</ul>`;

/** Buttons that choose what a list shows. @param {{filters: [string, string, string[] | null][], counts: Record<string, number>, chosen: string, onChoose: (name: string) => void}} props */
export const Chips = ({ filters, counts, chosen, onChoose }) => html`<div class="chips" role="group" aria-label="Filter by state">${filters.map(([name, text, statuses]) => html`
  <button type="button" aria-pressed=${chosen === name} onClick=${() => onChoose(name)}>${text} <span>${number((statuses ?? Object.keys(counts)).reduce((sum, status) => sum + (counts[status] ?? 0), 0))}</span></button>`)}</div>`;

/** What a list can be narrowed to, and the statuses that means. @type {[string, string, string[] | null][]} */
export const FILTERS = [
  ["all", "All", null],
  ["open", "In progress", ["pending", "running"]],
  ["completed", "Completed", ["completed"]],
  ["failed", "Failed", ["failed", "cancelled"]],
];

/** Nothing to show, and what to do about it. */
export const Boat = () => html`<svg viewBox="0 0 120 60" aria-hidden="true"><path d="M8 46q8 6 16 0t16 0 16 0 16 0 16 0 16 0" /><path d="M28 36h64l-9 9H38z" class="hull" /><path d="M44 34V22h22v12zM70 34V14h7v20z" class="deck" /></svg>`;
