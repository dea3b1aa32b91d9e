// One job, live.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { amount, clock, isOver, moment, number, origin, site, size, span, stateOf, title } from "./format.js";
import { live } from "./live.js";
import { announce, Bar, Confirm, Copy, Freshness, Icon, Notes, State, Trouble, useNow } from "./parts.js";
import { Again, Elsewhere } from "./again.js";
import { ClonePanel } from "./clone.js";
import { next } from "./next.js";
import { EditList, RefreshPanel } from "./refresh.js";
import { RestoreResult, Stopped } from "./restore.js";
import { StatePanel } from "./versions.js";

/** What a screen reader should hear between two states of a job; empty for nothing. */
export function news(before, job) {
  if (before?.status !== job.status) return job.status === "completed" ? (job.type === "restore" ? "Done" : "The clone is ready") : job.status === "failed" ? `The job failed: ${job.error?.message ?? job.message}` : stateOf(job).word;
  const stepOf = (of) => of?.steps.find((step) => step.name === of.step)?.title;
  if (stepOf(job) && stepOf(before) !== stepOf(job)) return `Now: ${stepOf(job)}`;
  const quarter = (of) => Math.floor((of?.progress ?? 0) / 25);
  return quarter(before) < quarter(job) && job.progress < 100 ? `${quarter(job) * 25} percent` : "";
}

/** A job kept current, its log, and whether it exists. */
function useJob(id) {
  const [view, setView] = useState({ job: null, missing: false });
  const [log, setLog] = useState([]);
  const shown = useRef(null);
  useEffect(() => {
    let gone = false;
    const take = (job) => {
      const text = shown.current && news(shown.current, job);
      if (text) announce(text);
      shown.current = job;
      if (!gone) setView({ job, missing: false });
    };
    const readLog = () => get(`/jobs/${id}/events`).then(({ events }) => gone || setLog((lines) => merged(lines, events)), () => {});
    const end = live.watch({ job: id }, {
      onSnap: ({ job }) => (take(job), readLog()),
      onEvent: (frame) => (take(frame.event.job), setLog((lines) => merged(lines, lineOf(frame)))),
      onError: () => gone || setView({ job: null, missing: true }),
      poll: async () => {
        const job = await get(`/jobs/${id}`);
        if (job.result) delete job.result.password;
        if (!(shown.current?.seq > job.seq)) take(job);
      },
    });
    return () => ((gone = true), end());
  }, [id]);
  return { ...view, log };
}

/** A change as a line of the log; progress only where the step changes. */
function lineOf({ seq, event }) {
  const { job, type, time } = event;
  const title = type === "progress" && job.steps.find((step) => step.name === job.step)?.title;
  return [{ seq, type, time, message: title || job.message, step: job.step, attempt: job.attempt, progress: job.progress }];
}

function merged(lines, more) {
  const known = new Set(lines.map((line) => line.seq));
  const all = [...lines, ...more.filter((line) => !known.has(line.seq))].sort((a, b) => a.seq - b.seq);
  return all.filter((line, at) => line.type !== "progress" || at === 0 || all[at - 1].step !== line.step || all[at - 1].attempt !== line.attempt);
}

const STEP_WORDS = { pending: "not begun", running: "running", done: "done", failed: "failed", skipped: "skipped" };
const STEP_ICONS = { pending: null, running: "spinner", done: "check", failed: "cross", skipped: "stop" };

/** What a step that is done was doing last says nothing any more; what it found does. */
const WAS_DOING = /^[A-Z][a-z]+ing\b/;

function Step({ step, now }) {
  const from = step.started_at && Date.parse(step.started_at);
  const seconds = from && ((step.finished_at ? Date.parse(step.finished_at) : now) - from) / 1000;
  const share = step.total ? Math.min(100, (100 * step.done) / step.total) : null;
  return html`<li class=${`step ${step.state}`} aria-current=${step.state === "running" ? "step" : undefined}>
    <span class="mark">${STEP_ICONS[step.state] && html`<${Icon} name=${STEP_ICONS[step.state]} />`}</span>
    <span class="what">${step.title}<span class="visually-hidden">, ${STEP_WORDS[step.state]}</span></span>
    <span class="amount">${amount(step)}</span>
    <span class="took">${seconds || seconds === 0 ? (step.state === "pending" ? "" : span(seconds)) : ""}</span>
    ${step.state === "running" && step.unit && html`<${Bar} thin value=${share} label=${step.title} text=${amount(step) || "under way"} />`}
    ${step.message && !(["done", "failed"].includes(step.state) && WAS_DOING.test(step.message)) && html`<p class="note">${step.message}</p>`}
  </li>`;
}

function Progress({ job }) {
  const at = job.steps.findIndex((step) => step.name === job.step);
  const where = at < 0 ? "" : `Step ${at + 1} of ${job.steps.length}, ${job.steps[at].title}, `;
  const value = job.status === "pending" ? null : job.progress;
  const { tone } = stateOf(job);
  return html`<div class="overall">
    <div class="row between"><p class="message">${job.status === "failed" ? "Stopped" : job.message}</p><p class="percent">${value === null ? "" : `${Math.floor(job.progress)} %`}</p></div>
    <${Bar} value=${value} tone=${tone} label="Progress of the job" text=${value === null ? "waiting" : `${where}${Math.round(job.progress)} percent`} />
  </div>`;
}

function Log({ job, log }) {
  const list = useRef(null);
  const bottom = useRef(true);
  const [open, setOpen] = useState(matchMedia("(min-width: 60rem)").matches);
  useEffect(() => setOpen((was) => was || job.status === "failed"), [job.status]);
  useEffect(() => {
    if (bottom.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [log, open]);
  const scrolled = ({ target }) => (bottom.current = target.scrollHeight - target.scrollTop - target.clientHeight < 24);
  return html`<details class="card log" open=${open} onToggle=${(event) => setOpen(event.target.open)}>
    <summary><h2>Event log</h2><span class="count">${number(log.length)}</span></summary>
    <div class="lines" ref=${list} role="log" aria-live="off" aria-label="Events" tabindex="0" onScroll=${scrolled}><ol>
      ${log.map((line) => html`<li key=${line.seq} class=${line.type}><time datetime=${line.time}>${clock(line.time)}</time>
        <span class="kind">${line.type.replace("_", " ")}</span><span>${line.message}${line.attempt > 1 && line.type === "started" ? ` (attempt ${line.attempt})` : ""}</span></li>`)}
    </ol></div>
    <div class="row wrap">
      <${Copy} label="Copy the command that replays this job" text=${`nats stream view ${job.type.toUpperCase()}S --subject '${job.type}.*.*.${job.job_id}'`}>nats replay command<//>
      <a class="button quiet" href=${`/jobs/${job.job_id}/story`} target="_blank" rel="noopener">Raw story<${Icon} name="open" /></a>
    </div>
  </details>`;
}

/** What the API's hints are on this page. */
const HINTS = { clone_edited: "Keep what it is as a version, then refresh it again and tick there that what was edited may go.", production_would_lose: "Look at the list. To go on all the same, restore the clone again and tick there that you accept it." };

/** Why a job failed, what to do about it, and the buttons that do it. */
function Failure({ job }) {
  if (job.status !== "failed" || !job.error) return null;
  const { byKey } = next(job);
  return html`<section class="card failure" aria-labelledby="why"><h2 id="why">${job.error.message}</h2>
    <p>${HINTS[job.error.code] ?? job.error.hint}</p>
    ${byKey && html`<p><a href="/connector.zip" download>Download the connector</a>, install it in wp-admin (Plugins, Add New, Upload), and start again with the key it shows under Tools, Siteferry.</p>`}
    <${Stopped} job=${job} />
    ${job.error.code === "clone_edited" && html`<${EditList} edits=${job.error.details} />`}
    <${Actions} job=${job} />
    <p class="hint">Error code <code>${job.error.code}</code></p></section>`;
}

function Numbers({ result }) {
  const rewritten = Object.values(result.rewritten ?? {}).reduce((sum, count) => sum + count, 0);
  const facts = [[number(result.files), "files"], [size(result.bytes), "copied"], [number(result.tables), "tables"], [number(result.rows), "rows"], [number(rewritten), "addresses rewritten"], [number(result.leftovers), "left over"]];
  return html`<section class="card" aria-labelledby="numbers"><h2 id="numbers">What was moved</h2>
    <dl class="facts">${facts.map(([value, what]) => html`<div><dd>${value}</dd><dt>${what}</dt></div>`)}</dl>
    <${Notes} notes=${result.notes} />
  </section>`;
}

/** @param {any} job @returns {string} the command that asks for the same */
function commandOf(job) {
  const source = job.type === "restore" ? origin(job.source_url) === "a clone" ? new URL(job.source_url).host.split(".")[0] : job.source_url : job.source_url;
  return `siteferry ${job.type} ${source}${job.target_url && ` ${job.target_url}`} --username USER --watch`;
}

/** Whether asking anew is asking for another clone. */
const makes = (job) => job.type === "clone" && job.action !== "refresh";

function Actions({ job }) {
  const [asking, setAsking] = useState(false);
  const [again, setAgain] = useState(false);
  const [problem, setProblem] = useState(null);
  const [forgotten, setForgotten] = useState(false);
  const { retry, anew, byKey } = next(job, forgotten);
  const run = () => post(`/jobs/${job.job_id}/retry`).then(() => setProblem(null), (error) => (setProblem(error), error.code === "secret_gone" && (setForgotten(true), setAgain(true))));
  const cancel = () => post(`/jobs/${job.job_id}/cancel`).then(() => setAsking(false));
  return html`<div class="row wrap actions">
    ${!isOver(job) && html`<button type="button" disabled=${job.phase === "cancelling"} onClick=${() => setAsking(true)}>Cancel</button>`}
    ${anew && (makes(job) ? html`<button type="button" class="primary" aria-expanded=${again} onClick=${() => setAgain(!again)}><${Icon} name="retry" />${anew}</button>` : html`<${Elsewhere} job=${job} word=${anew} />`)}
    ${retry && html`<button type="button" class=${anew ? "" : "primary"} onClick=${run}>${!anew && html`<${Icon} name="retry" />`}Try again</button>`}
    ${(job.action ?? "restore") === "restore" && html`<${Copy} label=${`Copy this ${job.type} as a CLI command`} text=${commandOf(job)}>CLI command<//>`}
    <${Trouble} problem=${problem} />
    ${again && anew && makes(job) && html`<${Again} job=${job} word=${anew} byKey=${byKey} />`}
    ${asking && html`<${Confirm} title="Cancel this job?" yes="Cancel the job" onYes=${cancel} onNo=${() => setAsking(false)}>${job.type === "restore" ? "What was staged is removed from production. If it was exchanged already, it is rolled back." : "What was made so far is removed, here and on the source. The site itself is not touched."}<//>`}
  </div>`;
}

const Missing = ({ id }) => html`<div class="empty"><h1>There is no such job</h1><p><code>${id}</code> is not known here.</p><p><a class="button" href="#/">To all jobs</a></p></div>`;

export function JobPage({ id }) {
  const { job, missing, log } = useJob(id);
  const now = useNow(job && !isOver(job) ? 500 : 5000);
  useEffect(() => {
    document.title = job ? `${isOver(job) ? stateOf(job).word : `${Math.floor(job.progress)} %`} · ${title(job)} · Siteferry` : "Siteferry";
  }, [job]);
  if (missing) return html`<${Missing} id=${id} />`;
  if (!job) return html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading the job</div>`;
  const began = Date.parse(job.started_at ?? job.created_at);
  const elapsed = ((job.finished_at ? Date.parse(job.finished_at) : now) - began) / 1000;
  const result = job.status === "completed" && job.result;
  return html`<article class="jobpage">
    <p class="crumb"><a href="#/"><${Icon} name="back" />All jobs</a></p>
    <header>
      <div class="row between wrap"><h1>${title(job)}</h1><${State} of=${job} /></div>
      <p class="route"><a href=${job.source_url} rel="noopener noreferrer" target="_blank">${site(job.source_url)}</a><${Icon} name="arrow" /><span>${job.target_url ? site(job.target_url) : result ? site(result.clone_url) : job.action && job.action !== "fork" ? "itself" : "a new clone"}</span></p>
      <div class="row between wrap meta"><p>${isOver(job) ? `took ${span(elapsed)}` : job.started_at ? `running for ${span(elapsed)}` : `waiting for ${span(elapsed)}`} · requested ${moment(job.created_at)}${job.attempt > 1 ? ` · attempt ${job.attempt}` : ""}${job.priority !== "normal" ? ` · ${job.priority} priority` : ""}${job.batch_id && html` · <a href=${`#/batches/${job.batch_id}`}>part of a batch</a>`}</p><${Freshness} at=${job.updated_at} /></div>
    </header>
    ${result && result.state_made_at ? html`<${StatePanel} job=${job} />` : result && result.refreshed_at ? html`<${RefreshPanel} job=${job} />` : result && job.type === "restore" ? html`<${RestoreResult} job=${job} />` : result ? html`<${ClonePanel} clone=${{ ...result, source_url: job.source_url }} />` : html`<${Failure} job=${job} />`}
    <div class="columns">
      <section class="card" aria-labelledby="steps-title"><h2 id="steps-title">${isOver(job) ? "Steps" : "Progress"}</h2>
        ${!result && html`<${Progress} job=${job} />`}
        ${job.steps.length > 0 && html`<ol class="steps">${job.steps.map((step) => html`<${Step} key=${step.name} step=${step} now=${now} />`)}</ol>`}
        ${!(job.status === "failed" && job.error) && html`<${Actions} job=${job} />`}
      </section>
      <div class="stack">${result && job.type === "clone" && !result.state_made_at && !result.refreshed_at && html`<${Numbers} result=${result} />`}<${Log} job=${job} log=${log} /></div>
    </div>
  </article>`;
}
