// Start a clone, and all jobs.

import { html, useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { ago, isOver, plural, site, stateOf, title } from "./format.js";
import { live } from "./live.js";
import { Bar, Freshness, Icon, State, Trouble, useNow } from "./parts.js";
import { Preview, usePreview } from "./preview.js";

const LIFETIMES = [[120, "2 hours"], [480, "8 hours"], [1440, "1 day"], [4320, "3 days"], [10080, "7 days"], [43200, "30 days"]];

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
};

function Field({ name, label, hint, error, children }) {
  return html`<div class=${`field ${error ? "wrong" : ""}`}>
    <label for=${name}>${label}</label>${children}
    ${error ? html`<p class="wrong" id=${`${name}-help`}>${error}</p>` : hint && html`<p class="hint" id=${`${name}-help`}>${hint}</p>`}
  </div>`;
}

export function CloneForm() {
  const [values, setValues] = useState({ source_url: "", username: "", password: "", name: "", ttl_minutes: 1440, priority: "normal" });
  const [errors, setErrors] = useState({});
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
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
    const wrong = Object.fromEntries(Object.entries(CHECKS).map(([name, check]) => [name, check(values[name])]).filter(([, text]) => text));
    setErrors(wrong);
    const [first] = Object.keys(wrong);
    if (first) return document.getElementById(first).focus();
    setBusy(true);
    setProblem(null);
    try {
      const { name, ...rest } = values;
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
      <div class="pair">
        <${Field} name="username" label="Administrator" error=${errors.username}>
          <input ...${input("username", { autocomplete: "off", autocapitalize: "none", spellcheck: false, required: true })} />
        <//>
        <${Field} name="password" label="Password" error=${errors.password}>
          <input ...${input("password", { type: "password", autocomplete: "off", required: true })} />
        <//>
      </div>
      <p class="hint">Used to sign in to the site; forgotten when the clone is made, a day later if that fails. A small connector plugin is installed there and removed again.</p>
      <div class="pair">
        <${Field} name="ttl_minutes" label="Keep it for">
          <select ...${input("ttl_minutes")}>${LIFETIMES.map(([minutes, text]) => html`<option value=${minutes}>${text}</option>`)}</select>
        <//>
        <${Field} name="priority" label="Priority">
          <select ...${input("priority")}><option value="high">High</option><option value="normal">Normal</option><option value="low">Low</option></select>
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

const FILTERS = [
  ["all", "All", () => true],
  ["open", "In progress", (job) => !isOver(job)],
  ["completed", "Completed", (job) => job.status === "completed"],
  ["failed", "Failed", (job) => job.status === "failed" || job.status === "cancelled"],
];

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

function JobRow({ job, now }) {
  const { tone } = stateOf(job);
  const over = isOver(job);
  return html`<li class="job"><a href=${`#/jobs/${job.job_id}`}>
    <span class="title">${title(job)}</span>
    <span class="sub">${job.name ? `${site(job.target_url || job.source_url)} · ` : ""}${ago(job.created_at, now)}${job.priority === "high" ? " · high priority" : ""}${job.attempt > 1 ? ` · attempt ${job.attempt}` : ""}</span>
    <${State} of=${job} />
    ${over
      ? job.status !== "completed" && html`<span class="said">${job.message}</span>`
      : html`<span class="said">${job.message}</span>
          <span class="gauge"><${Bar} thin value=${job.status === "pending" ? null : job.progress} tone=${tone} label=${`Progress of ${title(job)}`}
            text=${job.status === "pending" ? "waiting" : `${Math.round(job.progress)} percent`} /><b>${job.status === "pending" ? "" : `${Math.floor(job.progress)} %`}</b></span>`}
  </a></li>`;
}

const Skeleton = () => html`<ul class="jobs" aria-busy="true" aria-label="Loading jobs">${[1, 2, 3].map(() => html`<li class="job ghost"><span></span><span></span></li>`)}</ul>`;

export function JobList() {
  const jobs = useJobs();
  const now = useNow(5000);
  const [filter, setFilter] = useState("all");
  const [search, setSearch] = useState("");
  const [older, setOlder] = useState({ jobs: [], cursor: undefined });
  const all = useMemo(() => {
    const ids = new Set(jobs?.map((job) => job.job_id));
    return jobs && [...jobs, ...older.jobs.filter((job) => !ids.has(job.job_id))];
  }, [jobs, older]);
  const wanted = FILTERS.find(([name]) => name === filter)[2];
  const words = search.toLowerCase();
  const shown = all?.filter((job) => wanted(job) && `${job.name} ${job.source_url} ${job.target_url} ${job.job_id}`.toLowerCase().includes(words));
  const more = async () => {
    const page = await get(`/jobs?limit=100${older.cursor ? `&cursor=${encodeURIComponent(older.cursor)}` : ""}`);
    setOlder({ jobs: [...older.jobs, ...page.jobs], cursor: page.next_cursor });
  };
  return html`<section class="list" aria-labelledby="jobs-title">
    <div class="head"><h2 id="jobs-title">Jobs</h2><${Freshness} /></div>
    ${all === null ? html`<${Skeleton} />` : all.length === 0 ? html`<div class="empty">
      <svg viewBox="0 0 120 60" aria-hidden="true"><path d="M8 46q8 6 16 0t16 0 16 0 16 0 16 0 16 0" /><path d="M28 36h64l-9 9H38z" class="hull" /><path d="M44 34V22h22v12zM70 34V14h7v20z" class="deck" /></svg>
      <h3>No jobs yet</h3><p>Clone your first site with the form. Its content is only read, and most sites take a minute or two.</p></div>`
    : html`<div class="tools">
        <div class="chips" role="group" aria-label="Filter by state">${FILTERS.map(([name, text, test]) => html`
          <button type="button" aria-pressed=${filter === name} onClick=${() => setFilter(name)}>${text} <span>${all.filter(test).length}</span></button>`)}</div>
        <label class="search"><${Icon} name="search" /><span class="visually-hidden">Search jobs</span>
          <input type="search" placeholder="Search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      </div>
      ${shown.length ? html`<ul class="jobs">${shown.map((job) => html`<${JobRow} key=${job.job_id} job=${job} now=${now} />`)}</ul>`
        : html`<div class="empty small"><h3>Nothing matches</h3><p>None of ${plural(all.length, "job")} fits this filter.</p></div>`}
      ${all.length >= 100 && older.cursor !== null && html`<p class="center"><button class="quiet" onClick=${more}>Show older jobs</button></p>`}`}
  </section>`;
}

export const Home = () => html`<h1 class="visually-hidden">Siteferry</h1><div class="home"><${CloneForm} /><${JobList} /></div>`;
