// API keys: make, look at, rotate, revoke. For administrators.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { call, get, post } from "./api.js";
import { ago, moment, plural } from "./format.js";
import { announce, Confirm, Field, Icon, PRIORITIES, Trouble, useNow } from "./parts.js";
import { Once } from "./secret.js";

const SCOPES = [["submit", "Submit: clones, restores, deletes"], ["read", "Read: looks only, sees no password"], ["admin", "Admin: manages keys, too"]];
const ENDS = [["", "Never"], ["7", "In 7 days"], ["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"]];
const OVERLAPS = [["0", "At once"], ["60", "In an hour"], ["720", "In 12 hours"], ["10080", "In 7 days"]];
const TONES = { active: ["Active", "good", "check"], expired: ["Expired", "warn", "clock"], revoked: ["Revoked", "idle", "stop"] };
const EMPTY = { name: "", scope: "submit", expires_in_days: "", lane: "", rate_per_minute: "", slots: "", tenant: "", operator: false };

/** @returns {Promise<any[]>} all keys but revoked ones, or with them */
async function allKeys(revoked) {
  const states = revoked ? "state=active&state=expired&state=revoked&" : "";
  const found = [];
  for (let cursor = ""; ; ) {
    const page = await get(`/keys?${states}limit=500${cursor && `&cursor=${cursor}`}`);
    found.push(...page.keys);
    if (!page.next_cursor) return found;
    cursor = page.next_cursor;
  }
}

/** @param {typeof EMPTY} values @returns {object} the body of POST /keys: what was filled in */
function wished(values) {
  const wish = { name: values.name.trim(), scope: values.scope };
  for (const name of ["expires_in_days", "rate_per_minute", "slots"]) if (values[name]) wish[name] = Number(values[name]);
  for (const name of ["lane", "tenant"]) if (values[name].trim()) wish[name] = values[name].trim();
  if (values.operator && values.scope === "admin") wish.operator = true;
  return wish;
}

const Select = ({ id, value, options, onChange }) => html`<select id=${id} value=${value} onChange=${(event) => onChange(event.target.value)}>${options.map(([name, text]) => html`<option value=${name}>${text}</option>`)}</select>`;

function NewKey({ session, onMade, onLeave }) {
  const [values, setValues] = useState(EMPTY);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => document.getElementById("key-name").focus(), []);
  const set = (name) => (value) => setValues({ ...values, [name]: value });
  const input = (name, more) => html`<input id=${`key-${name}`} value=${values[name]} autocomplete="off" onInput=${(event) => set(name)(event.target.value)} ...${more} />`;
  const wrong = (name) => problem?.errors.find((error) => error.field === name)?.message;
  const submit = async (event) => {
    event.preventDefault();
    if (!values.name.trim()) return document.getElementById("key-name").focus();
    setBusy(true);
    setProblem(null);
    try {
      onMade(await post("/keys", wished(values)));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<form class="card" novalidate aria-label="New API key" onSubmit=${submit}>
    <div class="pair"><${Field} name="key-name" label="Name" hint="For people: who or what uses it." error=${wrong("name")}>${input("name", { maxlength: 80, required: true })}<//>
      <${Field} name="key-scope" label="May"><${Select} id="key-scope" value=${values.scope} options=${SCOPES} onChange=${set("scope")} /><//></div>
    <div class="pair"><${Field} name="key-expires_in_days" label="Ends"><${Select} id="key-expires_in_days" value=${values.expires_in_days} options=${ENDS} onChange=${set("expires_in_days")} /><//>
      <${Field} name="key-lane" label="Best priority"><${Select} id="key-lane" value=${values.lane} options=${[["", "As your own"], ...PRIORITIES]} onChange=${set("lane")} /><//></div>
    <div class="pair"><${Field} name="key-rate_per_minute" label="Changes a minute" hint="Empty: as your own." error=${wrong("rate_per_minute")}>${input("rate_per_minute", { type: "number", min: 1, inputmode: "numeric" })}<//>
      <${Field} name="key-slots" label="Jobs at the same time" hint="Empty: as your own." error=${wrong("slots")}>${input("slots", { type: "number", min: 1, inputmode: "numeric" })}<//></div>
    ${session.operator && html`<div class="pair"><${Field} name="key-tenant" label="Tenant" hint="Whose jobs and clones it sees. Empty: your own." error=${wrong("tenant")}>${input("tenant", { maxlength: 64, spellcheck: false })}<//>
      ${values.scope === "admin" && html`<label class="tick"><input type="checkbox" checked=${values.operator} onChange=${(event) => set("operator")(event.target.checked)} />Operator: every tenant's keys</label>`}</div>`}
    <${Trouble} problem=${problem} />
    <div class="row"><button class="primary" disabled=${busy}>Make the key</button><button type="button" class="quiet" onClick=${onLeave}>Leave it</button></div>
  </form>`;
}

function Rotate({ key_, onMade, onLeave }) {
  const [overlap, setOverlap] = useState("0");
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const id = `overlap-${key_.id}`;
  useEffect(() => document.getElementById(id).focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    await post(`/keys/${key_.id}/rotate`, { overlap_minutes: Number(overlap) }).then(onMade, setProblem);
  };
  return html`<form class="again" aria-label=${`New secret for ${key_.name}`} onSubmit=${submit}>
    <${Field} name=${id} label="The old secret ends" hint="With it the sessions and connections it opened."><${Select} id=${id} value=${overlap} options=${OVERLAPS} onChange=${setOverlap} /><//>
    <${Trouble} problem=${problem} />
    <div class="row"><button class="primary">Make a new secret</button><button type="button" class="quiet" onClick=${onLeave}>Leave it</button></div></form>`;
}

function Key({ key_, own, now, onSecret, onChange }) {
  const [asking, setAsking] = useState("");
  const [word, tone, icon] = TONES[key_.state];
  const limits = [key_.lane && `priority ${key_.lane} at best`, key_.rate_per_minute && `${plural(key_.rate_per_minute, "change")} a minute`, key_.slots && plural(key_.slots, "job at a time", "jobs at a time")].filter(Boolean);
  const revoke = async () => {
    await call("DELETE", `/keys/${key_.id}`);
    announce(`${key_.name} is revoked`);
    onChange();
  };
  return html`<li class="card">
    <div class="row between"><h3>${key_.name}${own && html` <span class="optional">(you)</span>`}</h3><span class=${`state ${tone}`}><${Icon} name=${icon} />${word}</span></div>
    <p class="sub">${key_.operator ? "operator" : key_.scope} · ${key_.tenant} · <code>${key_.id}</code></p>
    <p class="sub">made ${ago(key_.created_at, now)} by ${key_.created_by} · ${key_.last_used_at ? `used ${ago(key_.last_used_at, now)}` : "never used"} · ${key_.expires_at ? `ends ${moment(key_.expires_at)}` : "ends never"}${limits.length > 0 && ` · ${limits.join(", ")}`}</p>
    ${key_.old_secret_until && html`<p class="sub">The secret before is good until ${moment(key_.old_secret_until)}.</p>`}
    ${key_.state === "active" && html`<div class="row wrap"><button type="button" class="small" aria-label=${`Rotate ${key_.name}`} aria-expanded=${asking === "rotate"} onClick=${() => setAsking(asking === "rotate" ? "" : "rotate")}><${Icon} name="retry" />Rotate</button>
      <button type="button" class="small danger" aria-label=${`Revoke ${key_.name}`} onClick=${() => setAsking("revoke")}>Revoke</button></div>`}
    ${asking === "rotate" && html`<${Rotate} key_=${key_} onLeave=${() => setAsking("")} onMade=${(made) => (setAsking(""), onSecret(made))} />`}
    ${asking === "revoke" && html`<${Confirm} title=${`Revoke ${key_.name}?`} yes="Revoke" onYes=${revoke} onNo=${() => setAsking("")}>Within two seconds it opens nothing any more, and what it had opened ends. Its jobs and clones stay. ${own ? "You are signed in with it." : ""}<//>`}
  </li>`;
}

/** @param {{session: any}} props */
export function ApiKeys({ session }) {
  const [keys, setKeys] = useState(/** @type {any[] | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [revoked, setRevoked] = useState(false);
  const now = useNow(30_000);
  const look = () => allKeys(revoked).then((found) => (setKeys(found), setProblem(null)), setProblem);
  useEffect(() => void look(), [revoked]);
  const show = (secret) => (setMaking(false), setMade(secret), look());
  return html`<div class="row between"><h2>API keys</h2>${!making && html`<button type="button" class="primary" onClick=${() => setMaking(true)}>New key</button>`}</div>
    ${!session.keys && html`<p class="hint">Nobody on this machine needs a key; others do, where Siteferry listens for them.</p>`}
    <${Trouble} problem=${problem} />
    ${made && html`<${Once} key=${made.secret} title=${`The secret of ${made.name}`} secret=${made.secret} onDone=${() => setMade(null)}>Send it as “Authorization: Bearer …”, or sign in with it.<//>`}
    ${making && html`<${NewKey} session=${session} onMade=${show} onLeave=${() => setMaking(false)} />`}
    ${keys === null ? !problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : keys.length === 0 ? html`<div class="empty small"><h3>No API keys yet</h3><p>Programs and people elsewhere sign in with one.</p></div>`
    : html`<ul class="stack" aria-label="API keys">${keys.map((key_) => html`<${Key} key=${key_.id} key_=${key_} own=${key_.id === session.key_id} now=${now} onSecret=${show} onChange=${look} />`)}</ul>`}
    <label class="tick"><input type="checkbox" checked=${revoked} onChange=${(event) => setRevoked(event.target.checked)} />Show revoked keys</label>`;
}
