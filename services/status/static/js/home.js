// Start a clone, and all jobs.

import { html, useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { moment, plural } from "./format.js";
import { live } from "./live.js";
import { chosen, WayIn } from "./login.js";
import { Field, Freshness, Icon, LIFETIMES, PRIORITIES, Trouble, useNow } from "./parts.js";
import { Preview, usePreview } from "./preview.js";
import { Boat, Chips, FILTERS, JobRow, Skeleton } from "./rows.js";

/** @param {string} text @returns {string} what a person typed, as the address of a site */
const address = (text) => (text.trim() && !/^[a-z]+:\/\//i.test(text.trim()) ? `https://${text.trim()}` : text.trim());

const CHECKS = {
  source_url(value) {
    try {
      const { protocol, hostname } = new URL(address(value));
      return /^https?:$/.test(protocol) && hostname ? "" : "Use an address that begins with http:// or https://";
    } catch {
      return value.trim() ? "This is not the address of a site" : "Enter the address of the site";
    }
  },
  username: (value) => (value.trim() ? "" : "Enter an administrator of the site"),
  password: (value) => (value ? "" : "Enter that administrator’s password"),
  pairing_key: (value) => (value.trim() ? "" : "Enter the key the connector shows"),
};

export function CloneForm() {
  const [values, setValues] = useState({ source_url: "", username: "", password: "", pairing_key: "", name: "", ttl_minutes: 1440, priority: "normal" });
  const [errors, setErrors] = useState({});
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [byKey, setByKey] = useState(false);
  const preview = usePreview();

  const input = (name, more = {}) => ({
    id: name,
    name,
    value: values[name],
    "aria-invalid": errors[name] ? "true" : undefined,
    "aria-describedby": `${name}-help`,
    onInput: (event) => {
      setValues({ ...values, [name]: event.target.value });
      if (name === "source_url") preview.forget();
      if (errors[name]) setErrors({ ...errors, [name]: CHECKS[name]?.(event.target.value) ?? "" });
    },
    onBlur: () => {
      if (!(name in CHECKS) || !values[name]) return;
      const wrong = CHECKS[name](values[name]);
      setErrors({ ...errors, [name]: wrong });
      if (name === "source_url" && !wrong) preview.look(address(values.source_url));
    },
    ...more,
  });

  const submit = async (event) => {
    event.preventDefault();
    const wrong = Object.fromEntries(Object.keys(chosen(values, byKey)).map((name) => [name, CHECKS[name]?.(values[name])]).filter(([, text]) => text));
    setErrors(wrong);
    const [first] = Object.keys(wrong);
    if (first) return document.getElementById(first).focus();
    setBusy(true);
    setProblem(null);
    try {
      const { name, ...rest } = chosen(values, byKey);
      const body = { ...rest, source_url: address(values.source_url), ttl_minutes: Number(values.ttl_minutes), ...(name.trim() && { name: name.trim() }) };
      const job = await post("/clone", body);
      location.hash = `#/jobs/${job.job_id}`;
    } catch (error) {
      const fields = Object.fromEntries(error.errors.map(({ field, message }) => [field.split(".").pop(), message]));
      setErrors(fields);
      if (!Object.keys(fields).some((name) => name in values)) setProblem(error);
      setBusy(false);
    }
  };

  return html`<section class="card" aria-labelledby="form-title">
    <h2 id="form-title">Clone a site</h2>
    <p class="lead">A working, isolated copy with its own address, safe to break.</p>
    <form onSubmit=${submit} novalidate>
      <${Field} name="source_url" label="Site address" error=${errors.source_url}>
        <input ...${input("source_url", { type: "url", inputmode: "url", placeholder: "https://example.com", autocomplete: "url", required: true, spellcheck: false })} />
        <${Preview} of=${errors.source_url ? null : preview.shown} />
      <//>
      <${WayIn} input=${input} errors=${errors} byKey=${byKey} onSwitch=${() => setByKey(!byKey)} />
      ${!byKey && html`<p class="hint">Used to sign in to the site; forgotten when the clone is made, a day later if that fails. A small connector plugin is installed there and removed again.</p>`}
      <div class="pair">
        <${Field} name="ttl_minutes" label="Keep it for">
          <select ...${input("ttl_minutes")}>${LIFETIMES.map(([minutes, text]) => html`<option value=${minutes}>${text}</option>`)}</select>
        <//>
        <${Field} name="priority" label="Priority">
          <select ...${input("priority")}>${PRIORITIES.map(([lane, text]) => html`<option value=${lane}>${text}</option>`)}</select>
        <//>
      </div>
      <${Field} name="name" label=${html`Name <span class="optional">optional</span>`} error=${errors.name}>
        <input ...${input("name", { maxlength: 120, placeholder: "Before the spring update", autocomplete: "off" })} />
      <//>
      <${Trouble} problem=${problem} />
      <button class="primary wide" disabled=${busy}>${busy ? "Starting…" : html`Start cloning <${Icon} name="arrow" />`}</button>
    </form>
  </section>`;
}

/** The newest jobs, kept current. */
export function useJobs() {
  const [jobs, setJobs] = useState(/** @type {Map<string, any> | null} */ (null));
  useEffect(() => {
    const put = (found) => setJobs((known) => {
      const next = new Map(known ?? []);
      for (const job of found) if (!((next.get(job.job_id)?.seq ?? 0) > (job.seq ?? 0))) next.set(job.job_id, job);
      return next;
    });
    return live.watch({ list: "jobs" }, {
      onSnap: ({ jobs: found }) => setJobs(new Map(found.map((job) => [job.job_id, job]))),
      onEvent: ({ event }) => put([event.job]),
      poll: async () => put((await get("/jobs?limit=100")).jobs),
    });
  }, []);
  return useMemo(() => jobs && [...jobs.values()].sort((a, b) => (a.job_id < b.job_id ? 1 : -1)), [jobs]);
}

/** Narrows the list to one batch. Nothing where there are none. */
function BatchChoice({ jobs, chosen, onChoose }) {
  const batches = new Map();
  for (const job of jobs) if (job.batch_id) batches.set(job.batch_id, job.created_at);
  if (batches.size === 0) return null;
  return html`<select class="button small" aria-label="Filter by batch" value=${chosen} onChange=${(event) => onChoose(event.target.value)}>
    <option value="">Any batch</option>${[...batches].map(([id, created]) => html`<option value=${id}>Batch of ${moment(created)}</option>`)}</select>`;
}

export function JobList() {
  const jobs = useJobs();
  const now = useNow(5000);
  const [filter, setFilter] = useState("all");
  const [search, setSearch] = useState("");
  const [batch, setBatch] = useState("");
  const [older, setOlder] = useState({ jobs: [], cursor: undefined });
  const all = useMemo(() => {
    const ids = new Set(jobs?.map((job) => job.job_id));
    return jobs && [...jobs, ...older.jobs.filter((job) => !ids.has(job.job_id))];
  }, [jobs, older]);
  const wanted = FILTERS.find(([name]) => name === filter)[2];
  const words = search.toLowerCase();
  const ofBatch = all?.filter((job) => !batch || job.batch_id === batch);
  const shown = ofBatch?.filter((job) => wanted(job) && `${job.name} ${job.source_url} ${job.target_url} ${job.job_id}`.toLowerCase().includes(words));
  const more = async () => {
    const known = new Set(all.map((job) => job.job_id));
    let { cursor } = older, found = [];
    do { // the first pages may be those the live list began with
      const page = await get(`/jobs?limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      cursor = page.next_cursor;
      found = page.jobs.filter((job) => !known.has(job.job_id));
    } while (!found.length && cursor);
    setOlder({ jobs: [...older.jobs, ...found], cursor });
  };
  return html`<section class="list" aria-labelledby="jobs-title">
    <div class="head"><h2 id="jobs-title">Jobs</h2><${Freshness} /></div>
    ${all === null ? html`<${Skeleton} what="jobs" />` : all.length === 0 ? html`<div class="empty">
      <${Boat} /><h3>No jobs yet</h3><p>Clone your first site with the form. Its content is only read, and most sites take a minute or two.</p></div>`
    : html`<div class="tools">
        <${Chips} filters=${FILTERS} all=${ofBatch} chosen=${filter} onChoose=${setFilter} />
        <${BatchChoice} jobs=${all} chosen=${batch} onChoose=${setBatch} />
        <label class="search"><${Icon} name="search" /><span class="visually-hidden">Search jobs</span>
          <input type="search" placeholder="Search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      </div>
      ${shown.length ? html`<ul class="jobs">${shown.map((job) => html`<${JobRow} key=${job.job_id} job=${job} now=${now} />`)}</ul>`
        : html`<div class="empty small"><h3>Nothing matches</h3><p>None of ${plural(all.length, "job")} fits this filter.</p></div>`}
      ${all.length >= 100 && older.cursor !== null && html`<p class="center"><button class="quiet" onClick=${more}>Show older jobs</button></p>`}`}
  </section>`;
}

export const Home = () => html`<h1 class="visually-hidden">Siteferry</h1><div class="home"><${CloneForm} /><${JobList} /></div>`;
