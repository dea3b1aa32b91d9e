// What the jobs of the last hour or day did, and what waits now.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { useQuery } from "./address.js";
import { get } from "./api.js";
import { clock, number, site, size, span } from "./format.js";
import { Icon, Trouble } from "./parts.js";

const EVERY = 10_000;
const WINDOWS = [["", "Last hour"], ["day", "Last day"]];
const LANES = { high: "High", normal: "Normal", low: "Low" };
const KINDS = { clone: "Clones", restore: "Restores" };
const NONE = "–";

/** @param {number | null} seconds */
const took = (seconds) => (seconds === null ? NONE : seconds < 10 ? `${seconds.toFixed(1)} s` : span(seconds));

/** Asks again while the page is seen. @param {string} window */
function useStatistics(window) {
  const [told, setTold] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let over = false;
    const ask = () => document.hidden || get(`/statistics?window=${window || "hour"}`).then(
      (found) => over || (setTold(found), setProblem(null)), (failed) => over || setProblem(failed));
    ask();
    const timer = setInterval(ask, EVERY);
    document.addEventListener("visibilitychange", ask);
    return () => {
      over = true;
      clearInterval(timer);
      document.removeEventListener("visibilitychange", ask);
    };
  }, [window]);
  return { told, problem };
}

const WIDE = 24, TALL = 120;

/** Bars of what ended when; a table below says the same in figures. */
function Chart({ pieces }) {
  const most = Math.max(1, ...pieces.map((piece) => piece.completed + piece.failed + piece.cancelled));
  const bar = (piece, at) => {
    let from = TALL;
    return [["completed", "good"], ["cancelled", "idle"], ["failed", "bad"]].map(([name, tone]) => {
      const tall = (piece[name] / most) * TALL;
      from -= tall;
      return tall > 0 && html`<rect class=${tone} x=${at * WIDE + 3} y=${from} width=${WIDE - 6} height=${tall} rx="2" />`;
    });
  };
  const all = pieces.reduce((sum, piece) => sum + piece.completed + piece.failed + piece.cancelled, 0);
  return html`<svg class="chart" viewBox=${`0 0 ${pieces.length * WIDE} ${TALL + 1}`} preserveAspectRatio="none" role="img" aria-label=${`Jobs that ended since ${clock(pieces[0].start)}: ${number(all)}, at most ${number(most)} in a bar`}>
      <line x1="0" x2=${pieces.length * WIDE} y1=${TALL} y2=${TALL} />${pieces.map(bar)}</svg>
    <p class="axis meta"><span>${clock(pieces[0].start)}</span><span>at most ${number(most)} in a bar</span><span>now</span></p>`;
}

const Figure = ({ name, value, tone = "" }) => html`<div><dt>${name}</dt><dd class=${tone}>${value}</dd></div>`;

const Table = ({ title, head, rows, name }) => html`<section class="card"><h2 id=${name}>${title}</h2>
  <div class="scrolled" tabindex="0" role="region" aria-labelledby=${name}><table><thead><tr>${head.map((text) => html`<th scope="col">${text}</th>`)}</tr></thead>
    <tbody>${rows.map(([first, ...rest]) => html`<tr key=${[first, rest[0]].join()}><th scope="row">${first}</th>${rest.map((text) => html`<td>${text}</td>`)}</tr>`)}</tbody></table></div></section>`;

function Figures({ told }) {
  const rate = told.success_rate === null ? NONE : `${(told.success_rate * 100).toFixed(told.success_rate === 1 ? 0 : 1)} %`;
  const lanes = told.lanes.map((lane) => [LANES[lane.lane], number(lane.queued), took(lane.oldest_queued_seconds), number(lane.running), took(lane.wait.p50), took(lane.wait.p95)]);
  const kinds = told.kinds.map(({ type, duration }) => [KINDS[type], number(duration.count), took(duration.p50), took(duration.p95), took(duration.longest)]);
  return html`<section class="card"><h2 class="visually-hidden">Jobs</h2><dl class="figures">
      <${Figure} name="Submitted" value=${number(told.submitted)} /><${Figure} name="Completed" value=${number(told.completed)} />
      <${Figure} name="Failed" value=${number(told.failed)} tone=${told.failed ? "bad" : ""} /><${Figure} name="Cancelled" value=${number(told.cancelled)} />
      <${Figure} name="Success rate" value=${rate} /></dl><${Chart} pieces=${told.pieces} /></section>
    <${Table} name="lanes" title="Queues" head=${["Priority", "Waiting now", "Oldest since", "Running now", "Wait, half", "Wait, 95 %"]} rows=${lanes} />
    <${Table} name="durations" title="How long jobs took" head=${["Jobs", "Completed", "Half within", "95 % within", "Longest"]} rows=${kinds} />
    ${told.failures.length > 0 ? html`<${Table} name="failures" title="Failures" head=${["Code", "Jobs"]} rows=${told.failures.map(({ code, count }) => [html`<code>${code}</code>`, number(count)])} />`
      : html`<section class="card"><h2>Failures</h2><p class="hint">No job failed.</p></section>`}`;
}

const FORMS = { v1: "/api/v1, has to move", waiting: "waiting for its job", async: "answered at once" };

/** Who submits how; nothing while nobody has. */
function Calls() {
  const [told, setTold] = useState(/** @type {any} */ (null));
  useEffect(() => void get("/statistics/calls").then(setTold, () => {}), []);
  return told?.calls.length > 0 && html`<${Table} name="calls" title=${`Calls of ${told.days} days`} head=${["API key", "Form of call", "Submissions", "Last day"]} rows=${told.calls.map((each) => [each.key, FORMS[each.form], number(each.count), each.last_day])} />`;
}

/** Who works on what; nothing for who is no operator. */
function Workers({ session }) {
  const [told, setTold] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    if (!session.operator) return undefined;
    let over = false;
    const ask = () => document.hidden || get("/workers").then((found) => over || (setTold(found), setProblem(null)), (failed) => over || setProblem(failed));
    ask();
    const timer = setInterval(ask, EVERY);
    return () => ((over = true), clearInterval(timer));
  }, []);
  if (!session.operator) return null;
  if (!told) return html`<${Trouble} problem=${problem} />`;
  const does = ({ jobs }) => (jobs.length === 0 ? "nothing now" : html`<ul class="doing">${jobs.map((job) => html`<li><a href=${`#/jobs/${job.job_id}`}>${job.source_url ? site(job.source_url) : job.job_id}</a> ${job.progress !== null && `${Math.round(job.progress)} %`} ${job.message}</li>`)}</ul>`);
  return html`<${Trouble} problem=${problem} />${told.workers.length === 0 ? html`<section class="card"><h2>Workers</h2><p class="hint">No worker has been heard of in the last 15 seconds: jobs wait.</p></section>`
    : html`<${Table} name="workers" title="Workers" head=${["Worker", "Takes", "Slots in use", "Free on its disk", "Does"]} rows=${told.workers.map((each) => [each.id, KINDS[each.type], `${each.jobs.length} of ${each.slots}`, each.free_bytes === null ? NONE : size(each.free_bytes), does(each)])} />`}
    <p class="hint">The jobs' log takes ${size(told.log_bytes)}.</p>`;
}

export function Statistics({ session }) {
  const [look, change] = useQuery();
  const window = look.get("window") === "day" ? "day" : "";
  const { told, problem } = useStatistics(window);
  useEffect(() => void (document.title = "Statistics · Siteferry"), []);
  return html`<div class="head"><h1>Statistics</h1><div class="chips" role="group" aria-label="How far back">${WINDOWS.map(([name, text]) => html`
      <button type="button" aria-pressed=${name === window} onClick=${() => change({ window: name })}>${text}</button>`)}</div></div>
    <${Trouble} problem=${problem} />
    ${told === null ? !problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>` : html`<div class="statistics"><${Figures} told=${told} /><${Workers} session=${session} /><${Calls} /></div>`}`;
}
