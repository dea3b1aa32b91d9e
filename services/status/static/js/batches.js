// Many sites at once, and all batches.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { byLine, readBatch, Wrong } from "./batch-file.js";
import { ago, plural, stateOf } from "./format.js";
import { AFTER_LEAVING, Bar, Field, Icon, LIFETIMES, PRIORITIES, State, Trouble, useNow } from "./parts.js";
import { Boat, Skeleton } from "./rows.js";
import { countWords } from "./whole.js";

const POLL_EVERY = 5000;
const TOLD = 6;
const EXAMPLE = "https://shop.example.com, admin, correct horse\nhttps://blog.example.com, editor, battery staple";

/** A key of our own: should the answer get lost, sending again makes no second batch. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} text @returns {{rows: import("./batch-file.js").Rows | null, wrong: string}} */
function look(text) {
  try {
    return { rows: readBatch(text), wrong: "" };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return { rows: null, wrong: error.message };
  }
}

function Refused({ lines }) {
  if (!lines.length) return null;
  return html`<div class="trouble" role="alert"><strong>Nothing was submitted: ${plural(lines.length, "entry", "entries")} can not be accepted.</strong>
    <ul>${lines.slice(0, TOLD).map((line) => html`<li>${line}</li>`)}</ul>${lines.length > TOLD && html`<span>and ${lines.length - TOLD} more</span>`}</div>`;
}

function BatchForm() {
  const [values, setValues] = useState({ sites: "", username: "", password: "", ttl_minutes: 1440, priority: "normal" });
  const [wrong, setWrong] = useState("");
  const [refused, setRefused] = useState(/** @type {string[]} */ ([]));
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const put = (name, value) => (setValues((known) => ({ ...known, [name]: value })), setRefused([]), name === "sites" && setWrong(""));
  const input = (name, more = {}) => ({ id: `batch-${name}`, value: values[name], onInput: (event) => put(name, event.target.value), ...more });
  const choose = async (event) => {
    const [file] = event.target.files;
    if (file) put("sites", await file.text());
    event.target.value = "";
  };
  const seen = values.sites.trim() ? look(values.sites) : null;

  const submit = async (event) => {
    event.preventDefault();
    const { rows, wrong: why } = look(values.sites);
    setWrong(why);
    if (!rows) return document.getElementById("batch-sites").focus();
    setBusy(true);
    setProblem(null);
    const { username, password, priority } = values;
    const defaults = { ttl_minutes: Number(values.ttl_minutes), priority, ...(username.trim() && { username: username.trim() }), ...(password && { password }), ...rows.defaults };
    try {
      const batch = await post("/batches", { defaults, clones: rows.clones }, { "Idempotency-Key": newKey() });
      location.hash = `#/batches/${batch.batch_id}`;
    } catch (error) {
      setRefused(error.errors.map((one) => byLine(one, rows)));
      if (!error.errors.length) setProblem(error);
      setBusy(false);
    }
    return undefined;
  };

  return html`<section class="card" aria-labelledby="batch-title">
    <h2 id="batch-title">Clone many sites</h2>
    <p class="lead">Up to 1,000 at once. All are accepted, or none.</p>
    <form onSubmit=${submit} novalidate>
      <${Field} name="batch-sites" label="Sites" error=${wrong}
        hint=${seen?.rows ? `${plural(seen.rows.clones.length, "site")} found.` : html`One a line: <code>address, user, password, name</code>; all but the address may be left out. Or CSV with a header, JSON and JSON Lines as <code>siteferry batch create</code> takes them.`}>
        <textarea ...${input("sites", { rows: 7, placeholder: EXAMPLE, spellcheck: false, autocomplete: "off", autocapitalize: "none", "aria-describedby": "batch-sites-help", "aria-invalid": wrong ? "true" : undefined, onBlur: () => setTimeout(() => setWrong((known) => known || (seen?.wrong ?? "")), AFTER_LEAVING) })}></textarea>
      <//>
      <label class="button file"><input type="file" class="visually-hidden" accept=".csv,.tsv,.txt,.json,.jsonl,.ndjson" onChange=${choose} />Choose a file…</label>
      <div class="pair">
        <${Field} name="batch-username" label="Administrator"><input ...${input("username", { autocomplete: "off", autocapitalize: "none", spellcheck: false })} /><//>
        <${Field} name="batch-password" label="Password"><input ...${input("password", { type: "password", autocomplete: "off" })} /><//>
      </div>
      <p class="hint">For sites above that have no login of their own; may be empty.</p>
      <div class="pair">
        <${Field} name="batch-ttl_minutes" label="Keep them for"><select ...${input("ttl_minutes")}>${LIFETIMES.map(([minutes, text]) => html`<option value=${minutes}>${text}</option>`)}</select><//>
        <${Field} name="batch-priority" label="Priority"><select ...${input("priority")}>${PRIORITIES.map(([lane, text]) => html`<option value=${lane}>${text}</option>`)}</select><//>
      </div>
      <${Refused} lines=${refused} /><${Trouble} problem=${problem} />
      <button class="primary wide" disabled=${busy}>${busy ? "Starting…" : html`${seen?.rows ? `Clone ${plural(seen.rows.clones.length, "site")}` : "Clone these sites"} <${Icon} name="arrow" />`}</button>
    </form>
  </section>`;
}

/** All batches, asked for again while the page is looked at. */
function useBatches() {
  const [view, setView] = useState(/** @type {{batches: any[] | null, cursor: string | null, problem: any}} */ ({ batches: null, cursor: null, problem: null }));
  const put = (found, cursor) => setView((known) => {
    const fresh = new Set(found.map((batch) => batch.batch_id));
    const all = [...found, ...(known.batches ?? []).filter((batch) => !fresh.has(batch.batch_id))];
    return { batches: all.sort((a, b) => (a.batch_id < b.batch_id ? 1 : -1)), cursor: cursor === undefined ? known.cursor : cursor, problem: null };
  });
  useEffect(() => {
    let gone = false, first = true;
    const ask = async () => {
      if (document.visibilityState === "hidden" && !first) return;
      await get("/batches?limit=50").then((page) => gone || put(page.batches, first ? page.next_cursor : undefined), (problem) => gone || setView((known) => ({ ...known, problem })));
      first = false;
    };
    ask();
    const timer = setInterval(ask, POLL_EVERY);
    return () => ((gone = true), clearInterval(timer));
  }, []);
  const more = () => get(`/batches?limit=50&cursor=${encodeURIComponent(view.cursor)}`).then((page) => put(page.batches, page.next_cursor), (problem) => setView((known) => ({ ...known, problem })));
  return { ...view, more };
}

function BatchRow({ batch, now }) {
  const waits = batch.status === "pending";
  return html`<li class="job">
    <a class="title" href=${`#/batches/${batch.batch_id}`}>${plural(batch.total, "clone")}</a>
    <span class="sub">${ago(batch.created_at, now)}</span><${State} of=${batch} />
    <span class="said">${countWords(batch.counts)}</span>
    ${!batch.finished_at && html`<span class="gauge"><${Bar} thin value=${waits ? null : batch.progress} tone=${stateOf(batch).tone} label="Progress of the batch" text=${waits ? "waiting" : `${Math.floor(batch.progress)} percent`} /><b>${waits ? "" : `${Math.floor(batch.progress)} %`}</b></span>`}
  </li>`;
}

function BatchList() {
  const { batches, cursor, problem, more } = useBatches();
  const now = useNow(5000);
  return html`<section class="list" aria-labelledby="batches-title">
    <div class="head"><h1 id="batches-title">Batches</h1></div>
    <${Trouble} problem=${problem} />
    ${batches === null ? !problem && html`<${Skeleton} what="batches" />`
    : batches.length === 0 ? html`<div class="empty"><${Boat} /><h2>No batches yet</h2><p>Paste the addresses of your sites, and clone all of them in one go, with one bar and one way to stop.</p></div>`
    : html`<ul class="jobs">${batches.map((batch) => html`<${BatchRow} key=${batch.batch_id} batch=${batch} now=${now} />`)}</ul>
      ${cursor && html`<p class="center"><button type="button" class="quiet" onClick=${more}>Show older batches</button></p>`}`}
  </section>`;
}

export const Batches = () => html`<div class="home"><${BatchForm} /><${BatchList} /></div>`;
