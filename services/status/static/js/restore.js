// Bringing a clone to production: first what would change, then the change itself, then the way back.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { isOver, number, site, size } from "./format.js";
import { live } from "./live.js";
import { DOORS, Doors, throughDoors } from "./login.js";
import { announce, Bar, Countdown, Icon, Notes, State, Trouble } from "./parts.js";
import { Losses, Plan } from "./plan.js";
import { siteAddress } from "./site-address.js";
import { WayBack } from "./snapshots.js";

const KEEP = [
  ["preserve_plugins", "Keep production’s plugins", true],
  ["preserve_themes", "Keep production’s themes", false],
  ["preserve_users", "Keep production’s accounts", true],
];

/** A job kept current. @param {string | null} id */
function useRun(id) {
  const [job, setJob] = useState(/** @type {any} */ (null));
  useEffect(() => {
    setJob(null);
    if (!id) return undefined;
    return live.watch({ job: id }, {
      onSnap: (frame) => setJob(frame.job),
      onEvent: (frame) => setJob(frame.event.job),
      poll: async () => setJob(await get(`/jobs/${id}`)),
    });
  }, [id]);
  return job;
}

/** @param {any} values @returns {any} what POST /restore takes of the form */
const wish = (clone, { preserve_users, target_url, ...values }) => ({
  ...throughDoors(values, "target_"),
  clone_id: clone.clone_id,
  target_url: siteAddress(target_url).address,
  options: { preserve_users },
});

function Form({ clone }) {
  const [values, setValues] = useState({ target_url: clone.source_url ?? "", target_username: "", target_password: "", ...DOORS, ...Object.fromEntries(KEEP.map(([name, , on]) => [name, on])) });
  const [asked, setAsked] = useState(/** @type {{id: string, for: string} | null} */ (null));
  const [accepted, setAccepted] = useState(false);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const job = useRun(asked?.id ?? null);
  const unchanged = asked !== null && asked.for === JSON.stringify(values);
  const plan = job?.status === "completed" && unchanged ? job.result?.plan : null;
  useEffect(() => {
    if (plan) announce("What would change is shown");
  }, [plan]);
  const put = (name, value) => (setValues({ ...values, [name]: value }), setAccepted(false));
  const input = (name, more) => ({ id: `restore-${name}`, value: values[name], required: true, spellcheck: false, onInput: (event) => put(name, event.target.value), ...more });
  const send = async (more) => {
    const missing = ["target_url", "target_username", "target_password"].find((name) => !values[name].trim());
    if (missing) return document.getElementById(`restore-${missing}`).focus();
    const { wrong } = siteAddress(values.target_url);
    if (wrong) return setProblem({ message: `${wrong}.` }), document.getElementById("restore-target_url").focus();
    setBusy(true);
    setProblem(null);
    try {
      const made = await post("/restore", { ...wish(clone, values), ...more });
      if (more.dry_run) setAsked({ id: made.job_id, for: JSON.stringify(values) });
      else location.hash = `#/jobs/${made.job_id}`;
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const looking = unchanged && !(job && isOver(job));
  const losing = plan && Object.keys(plan.losses).length > 0;
  return html`<form class="restore" novalidate aria-label="Restore to production" onSubmit=${(event) => (event.preventDefault(), send({ dry_run: true }))}>
    <div class="field"><label for="restore-target_url">Address of production</label><input ...${input("target_url", { type: "url", inputmode: "url", autocomplete: "url" })} /></div>
    <div class="pair">
      <div class="field"><label for="restore-target_username">Administrator there</label><input ...${input("target_username", { autocomplete: "off", autocapitalize: "none" })} /></div>
      <div class="field"><label for="restore-target_password">Password there</label><input ...${input("target_password", { type: "password", autocomplete: "off" })} /></div>
    </div>
    <${Doors} input=${input} id=${(name) => `restore-${name}`} />
    <fieldset><legend class="visually-hidden">What stays as it is in production</legend>${KEEP.map(([name, text]) => html`
      <label class="tick"><input type="checkbox" checked=${values[name]} onChange=${(event) => put(name, event.target.checked)} />${text}</label>`)}</fieldset>
    <button class=${plan ? "" : "primary"} disabled=${busy || looking}>${looking ? html`<${Icon} name="spinner" />Comparing` : "Show what would change"}</button>
    <${Trouble} problem=${problem} />
    ${unchanged && job && !isOver(job) && html`<div class="overall"><p class="message">${job.message}</p><${Bar} thin value=${job.status === "pending" ? null : job.progress} label="Progress of the comparison" text=${job.message} /></div>`}
    ${unchanged && job?.status === "failed" && html`<${Trouble} problem=${{ message: job.error?.message ?? job.message, hint: job.error?.hint }} />`}
    ${plan && html`<${Plan} plan=${plan} />
      ${losing && html`<label class="tick"><input type="checkbox" checked=${accepted} onChange=${(event) => setAccepted(event.target.checked)} />I accept that production loses these</label>`}
      <button type="button" class="danger" disabled=${busy || (losing && !accepted)} onClick=${() => send({ accept_loss: accepted })}>Restore to ${site(values.target_url)}</button>
      <p class="hint">Production goes on serving meanwhile, and is kept as it is now for three days.</p>`}
  </form>`;
}

/** On a clone's page. @param {{clone: any}} props with `clone_id` and `source_url` */
export const Restore = ({ clone }) => html`<details class="restoring"><summary><h3>Restore to production…</h3></summary>
  <p class="hint">Production becomes what this clone is. First you see what would change; nothing is written before you say so.</p>
  <${Form} clone=${clone} /></details>`;

const DONE = { restore: "Production became what the clone was", rollback: "Production is as it was before", discard: "The way back was removed" };

function Facts({ result }) {
  const facts = [[number(result.rows), "rows written"], [number(result.tables), "tables exchanged"], [number(result.files), "files exchanged"], [size(result.bytes), "travelled"],
    [`${number(Math.round(result.write_unavailable_ms))} ms`, "not writable"], [number(result.late_rows), "late rows kept"]];
  return html`<dl class="facts">${facts.map(([value, what]) => html`<div><dd>${value}</dd><dt>${what}</dt></div>`)}</dl>`;
}

/** What a restore, dry run, roll-back or discard ended with. */
export function RestoreResult({ job }) {
  const { result } = job;
  const snapshot = result.action === "restore" && result.snapshot_id && { snapshot_id: result.snapshot_id, state: result.snapshot_state, expires_at: result.snapshot_expires_at, target_url: result.target_url };
  return html`<section class="card result" aria-labelledby="result-title">
    <div class="row between wrap"><h2 id="result-title"><${Icon} name="check" />${result.dry_run ? "This is what would change" : DONE[result.action]}</h2>
      ${snapshot && (snapshot.state === "active" ? html`<p class="expiry">way back <${Countdown} until=${snapshot.expires_at} /></p>` : html`<${State} of=${{ state: snapshot.state }} />`)}</div>
    <p class="address"><a href=${result.target_url} target="_blank" rel="noopener noreferrer">${result.target_url}</a></p>
    ${!result.dry_run && result.action === "restore" && html`<${Facts} result=${result} />`}
    ${result.dry_run && html`<p class="hint">Nothing was changed.</p>`}
    ${snapshot?.state === "active" && html`<${WayBack} snapshot=${snapshot} />`}
    ${result.plan && (result.dry_run ? html`<${Plan} plan=${result.plan} />` : html`<details class="kept"><summary>What was changed</summary><${Plan} plan=${result.plan} /></details>`)}
    <${Notes} notes=${result.notes} />
  </section>`;
}

/** The list that stopped a restore. */
export const Stopped = ({ job }) => job.error?.code === "production_would_lose" && html`<${Losses} ...${job.error.details} />`;
