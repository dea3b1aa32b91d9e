// One batch, live: what the whole is, and each of its jobs.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { useQuery } from "./address.js";
import { changed, post } from "./api.js";
import { isOver, moment, plural, span, stateOf, title } from "./format.js";
import { Search, Sorting } from "./joblist.js";
import { live } from "./live.js";
import { announce, Bar, Confirm, Copy, Freshness, Icon, State, Trouble, useNow } from "./parts.js";
import { Chips, FILTERS, JobRow } from "./rows.js";
import { countWords, settled, whole } from "./whole.js";
import { Windowed } from "./windowed.js";

/** More jobs are asked for and drawn less often: a thousand of them are 180 kB, and as many rows. */
const MANY = 100;
const ASK_EVERY = 2000;
const ASK_MANY_EVERY = 5000;
/** A batch that has ended changes only when somebody tries one of its jobs again. */
const ASK_ENDED_EVERY = 10_000;
const SHOW_EVERY = 250;
const SHOW_MANY_EVERY = 1000;
/** A shorter word is not looked for in ids, where chance puts every letter and digit; the gateway does the same. */
const OF_AN_ID = 5;

/** @param {any} before @param {any} batch @returns {string} what a screen reader should hear between two states; empty for nothing */
export function news(before, batch) {
  if (before.status !== batch.status && isEnded(batch)) return `The batch has ended: ${countWords(batch.counts)}`;
  const quarter = (of) => Math.floor(of.progress / 25);
  return quarter(before) < quarter(batch) && batch.progress < 100 ? `${quarter(batch) * 25} percent` : "";
}

export const isEnded = (batch) => !["pending", "running"].includes(batch.status);

/**
 * A batch kept current: the live connection tells of its jobs, the REST API now and then of the whole.
 * @param {string} id
 */
function useBatch(id) {
  const [view, setView] = useState(/** @type {{batch: any, problem: any}} */ ({ batch: null, problem: null }));
  const refresh = useRef(() => {});
  useEffect(() => {
    /** @type {import("./whole.js").Heard} */
    let heard = new Map();
    let gone = false, told = null, shown = null, askedAt = 0, etag = null, timer = 0, due = 0;
    const show = () => {
      due = 0;
      if (gone || !told) return;
      const batch = whole(told, askedAt, heard);
      const text = shown && news(shown, batch);
      if (text) announce(text);
      setView({ batch: (shown = batch), problem: null });
    };
    const hear = (jobs) => {
      for (const job of jobs) if (job.batch_id === id) heard.set(job.job_id, { job, at: Date.now() });
      due ||= setTimeout(show, told?.total > MANY ? SHOW_MANY_EVERY : SHOW_EVERY);
    };
    const ask = async () => {
      clearTimeout(timer);
      const at = Date.now();
      try {
        if (document.visibilityState === "visible" || !told) {
          const answer = await changed(`/batches/${id}`, etag);
          if (answer.body) told = { ...answer.body, jobs: settled(answer.body.jobs, told?.jobs ?? []) };
          [etag, askedAt] = [answer.etag, at];
          show();
        }
      } catch (problem) {
        if (gone) return undefined;
        setView((known) => ({ batch: known.batch, problem }));
        if (problem.status === 404 || problem.status === 401) return undefined;
      }
      if (!gone) timer = setTimeout(ask, shown && isEnded(shown) ? ASK_ENDED_EVERY : told?.total > MANY ? ASK_MANY_EVERY : ASK_EVERY);
      return undefined;
    };
    refresh.current = ask;
    const end = live.watch({ list: "jobs" }, {
      onSnap: ({ jobs }) => ((heard = new Map()), hear(jobs)),
      onEvent: ({ event }) => hear([event.job]),
    });
    ask();
    return () => ((gone = true), clearTimeout(timer), clearTimeout(due), end());
  }, [id]);
  return { ...view, refresh: () => refresh.current() };
}

/** The bar of the whole. */
export function Overall({ batch }) {
  const { tone, word } = stateOf(batch);
  const waits = batch.status === "pending";
  const words = countWords(batch.counts);
  return html`<div class="overall">
    <div class="row between"><p class="message">${words}</p><p class="percent">${waits ? "" : `${Math.floor(batch.progress)} %`}</p></div>
    <${Bar} value=${waits ? null : batch.progress} tone=${tone} label="Progress of the batch" text=${waits ? "waiting" : `${word}, ${Math.floor(batch.progress)} percent: ${words}`} />
  </div>`;
}

function Actions({ batch, onChange }) {
  const [asking, setAsking] = useState(false);
  const cancel = async () => {
    await post(`/batches/${batch.batch_id}/cancel`);
    setAsking(false);
    onChange();
  };
  const open = batch.jobs.filter((job) => !isOver(job)).length;
  return html`<div class="row wrap actions">
    ${!isEnded(batch) && html`<button type="button" disabled=${batch.phase === "cancelling"} onClick=${() => setAsking(true)}>Cancel the batch</button>`}
    <${Copy} label="Copy the command that follows this batch" text=${`siteferry batch show ${batch.batch_id} --wait`}>CLI command<//>
    <${Copy} label="Copy the id of the batch" text=${batch.batch_id}>Copy id<//>
    ${asking && html`<${Confirm} title="Cancel this batch?" yes=${`Cancel ${plural(open, "job")}`} onYes=${cancel} onNo=${() => setAsking(false)}>
      What these jobs have half made is removed. Clones that are complete stay, and no site is touched.<//>`}
  </div>`;
}

const SORTS = [["", "As submitted"], ["name", "By name"], ["state", "By state"]];
const STATES = ["failed", "cancelled", "running", "pending", "completed"];
/** @type {Record<string, (a: any, b: any) => number>} */
const ORDERS = {
  name: (a, b) => title(a).localeCompare(title(b)),
  state: (a, b) => STATES.indexOf(a.status) - STATES.indexOf(b.status),
};

/** Rows by the job they show; Preact leaves alone what it was given before. @type {WeakMap<object, any>} */
const drawn = new WeakMap();

function row(job) {
  if (!drawn.has(job)) drawn.set(job, html`<${JobRow} job=${job} />`);
  return drawn.get(job);
}

/** @param {any[]} jobs @param {URLSearchParams} look of the address */
function chosenOf(jobs, look) {
  const statuses = FILTERS.find(([name]) => name === look.get("show"))?.[2];
  const words = (look.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const has = (job) => words.every((word) => `${job.name} ${job.source_url} ${word.length >= OF_AN_ID ? job.job_id : ""} ${job.message}`.toLowerCase().includes(word));
  const wanted = jobs.filter((job) => (!statuses || statuses.includes(job.status)) && has(job));
  const order = ORDERS[look.get("sort") ?? ""];
  return order ? wanted.sort(order) : wanted;
}

function Jobs({ batch }) {
  const [look, change] = useQuery();
  const shown = chosenOf(batch.jobs, look);
  return html`<section aria-labelledby="members-title">
    <div class="head"><h2 id="members-title">Jobs</h2></div>
    <div class="tools"><${Chips} filters=${FILTERS} counts=${batch.counts} chosen=${look.get("show") ?? "all"} onChoose=${(name) => change({ show: name === "all" ? "" : name })} />
      <${Sorting} label="Order of the jobs" sorts=${SORTS} value=${look.get("sort") ?? ""} onChange=${(sort) => change({ sort })} />
      <${Search} label="Search jobs" value=${look.get("q") ?? ""} onChange=${(q) => change({ q }, false)} /></div>
    ${shown.length ? html`<${Windowed} name="jobs members" label="Jobs of the batch" total=${shown.length} draw=${(at) => row(shown[at])} />`
      : html`<div class="empty small"><h3>None of them</h3><p>No job of this batch is ${look.get("q") ? "like that" : "in this state"}.</p></div>`}
  </section>`;
}

const Missing = ({ id }) => html`<div class="empty"><h1>There is no such batch</h1><p><code>${id}</code> is not known here. Batches are known for 90 days.</p><p><a class="button" href="#/batches">To all batches</a></p></div>`;

export function BatchPage({ id }) {
  const { batch, problem, refresh } = useBatch(id);
  const now = useNow(batch && !isEnded(batch) ? 500 : 5000);
  useEffect(() => {
    document.title = batch ? `${isEnded(batch) ? stateOf(batch).word : `${Math.floor(batch.progress)} %`} · Batch of ${batch.total} · Siteferry` : "Batch · Siteferry";
  }, [batch]);
  if (problem?.status === 404) return html`<${Missing} id=${id} />`;
  if (!batch) return problem ? html`<${Trouble} problem=${problem} />` : html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading the batch</div>`;
  const seconds = ((batch.finished_at ? Date.parse(batch.finished_at) : now) - Date.parse(batch.started_at ?? batch.created_at)) / 1000;
  return html`<article class="jobpage">
    <p class="crumb"><a href="#/batches"><${Icon} name="back" />All batches</a></p>
    <header>
      <div class="row between wrap"><h1>Batch of ${plural(batch.total, "clone")}</h1><${State} of=${batch} /></div>
      <div class="row between wrap meta"><p>${isEnded(batch) ? (batch.finished_at ? `took ${span(seconds)}` : "ended") : batch.started_at ? `running for ${span(seconds)}` : `waiting for ${span(seconds)}`} · requested ${moment(batch.created_at)}</p><${Freshness} /></div>
    </header>
    <${Trouble} problem=${problem} />
    <section class="card" aria-label="The whole batch"><${Overall} batch=${batch} /><${Actions} batch=${batch} onChange=${refresh} /></section>
    <${Jobs} batch=${batch} />
  </article>`;
}
