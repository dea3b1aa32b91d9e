// All jobs: searched, sorted and counted by the server, drawn as far as they are seen.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { useQuery } from "./address.js";
import { get } from "./api.js";
import { moment, plural } from "./format.js";
import { useFound } from "./found.js";
import { Many, jobDeeds } from "./many.js";
import { Freshness, Icon, Trouble, useNow } from "./parts.js";
import { Boat, Chips, FILTERS, JobRow, Skeleton } from "./rows.js";
import { Windowed } from "./windowed.js";

const SORTS = [["", "Newest first"], ["oldest", "Oldest first"], ["updated", "Last changed"], ["name", "By name"]];
const TYPE_PAUSE = 250;

/** @param {URLSearchParams} look of the address @returns {string} the same as GET /jobs takes it */
export function asked(look) {
  const wish = new URLSearchParams();
  const filter = FILTERS.find(([name]) => name === look.get("show"));
  for (const status of filter?.[2] ?? []) wish.append("status", status);
  for (const name of ["q", "sort", "batch"]) if (look.get(name)) wish.set(name, look.get(name) ?? "");
  return wish.toString();
}

/** Narrows the list to one batch. Nothing where there are none. */
function BatchChoice({ chosen, onChoose }) {
  const [batches, setBatches] = useState(/** @type {any[]} */ ([]));
  useEffect(() => void get("/batches?limit=20").then((page) => setBatches(page.batches), () => {}), []);
  if (!batches.length && !chosen) return null;
  const known = batches.some((batch) => batch.batch_id === chosen);
  return html`<select class="button small" aria-label="Filter by batch" value=${chosen} onChange=${(event) => onChoose(event.target.value)}>
    <option value="">Any batch</option>${chosen && !known && html`<option value=${chosen}>${chosen}</option>`}${batches.map((batch) => html`<option value=${batch.batch_id}>Batch of ${moment(batch.created_at)}</option>`)}</select>`;
}

/** A box whose text goes to the address once the person pauses. @param {{label: string, value: string, onChange: (text: string) => void}} props */
export function Search({ label, value, onChange }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const timer = setTimeout(() => onChange(text), TYPE_PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<label class="search"><${Icon} name="search" /><span class="visually-hidden">${label}</span>
    <input type="search" placeholder="Search" maxlength="200" value=${text} onInput=${(event) => setText(event.target.value)} /></label>`;
}

/** @param {{label: string, sorts: string[][], value: string, onChange: (name: string) => void}} props */
export const Sorting = ({ label, sorts, value, onChange }) => html`<select class="button small" aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
  ${sorts.map(([name, text]) => html`<option value=${name}>${text}</option>`)}</select>`;

export function JobList() {
  const [look, change] = useQuery();
  const found = useFound("jobs", asked(look));
  const now = useNow(5000);
  const narrowed = ["show", "q", "batch"].some((name) => look.get(name));
  const sum = Object.values(found.counts).reduce((all, count) => all + count, 0);
  const row = (at) => {
    const job = found.at(at);
    return job ? html`<${JobRow} job=${job} now=${now} />` : html`<div class="job ghost"><span></span><span></span></div>`;
  };
  const empty = found.total === 0 && !narrowed;
  return html`<section class="list" aria-labelledby="jobs-title">
    <div class="head"><h2 id="jobs-title">Jobs</h2><${Freshness} /></div>
    ${empty ? html`<div class="empty">
      <${Boat} /><h3>No jobs yet</h3><p>Clone your first site with the form. Its content is only read, and most sites take a minute or two.</p></div>`
    : html`<div class="tools">
        <${Chips} filters=${FILTERS} counts=${found.counts} chosen=${look.get("show") ?? "all"} onChoose=${(name) => change({ show: name === "all" ? "" : name })} />
        <${BatchChoice} chosen=${look.get("batch") ?? ""} onChoose=${(batch) => change({ batch })} />
        <${Sorting} label="Order of the jobs" sorts=${SORTS} value=${look.get("sort") ?? ""} onChange=${(sort) => change({ sort })} />
        <${Search} label="Search jobs" value=${look.get("q") ?? ""} onChange=${(q) => change({ q }, false)} />
      </div>
      <${Many} deeds=${jobDeeds(look, found.counts)} />
      <${Trouble} problem=${found.problem} />
      ${found.total === null ? html`<${Skeleton} what="jobs" />`
      : found.total ? html`<${Windowed} name="jobs" label="Jobs" total=${found.total} draw=${row} onSee=${found.look} />`
      : html`<div class="empty small"><h3>Nothing matches</h3><p>${sum ? `None of ${plural(sum, "job")} is in this state.` : "No job fits this search."}</p><p><button type="button" class="quiet" onClick=${() => change({ show: "", q: "", batch: "" })}>Show all jobs</button></p></div>`}`}
  </section>`;
}
