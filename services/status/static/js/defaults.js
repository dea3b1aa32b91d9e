// What the forms for a clone and for a schedule begin with. For administrators.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { call, get } from "./api.js";
import { announce, Field, Icon, lifetimes, PRIORITIES, Trouble } from "./parts.js";

const LISTS = [
  ["exclude_tables", "Tables that stay behind", "One a line, without the prefix or with it."],
  ["exclude_paths", "Files and folders that stay behind", "One a line, like wp-content/backups."],
  ["allow_http", "Hosts a clone may call", "One a line, like api.example.com; every other stays out of reach."],
];

/** @param {string} text @returns {string[]} its lines, without empty ones */
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

export function Defaults() {
  const [values, setValues] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [saved, setSaved] = useState(false);
  const [busy, setBusy] = useState(false);
  useEffect(() => void get("/defaults").then(({ options, ...found }) => setValues({ ...found, rest: options, keep_transients: options.keep_transients, ...Object.fromEntries(LISTS.map(([name]) => [name, options[name].join("\n")])) }), setProblem), []);
  const set = (name, value) => (setValues({ ...values, [name]: value }), setSaved(false));
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    const options = { ...values.rest, keep_transients: values.keep_transients, ...Object.fromEntries(LISTS.map(([name]) => [name, lines(values[name])])) };
    await call("PUT", "/defaults", { ttl_minutes: values.ttl_minutes && Number(values.ttl_minutes), priority: values.priority || null, options }).then(() => (setProblem(null), setSaved(true), announce("Saved")), setProblem);
    setBusy(false);
  };
  return html`<h2 id="defaults-title">Defaults</h2>
    <p class="hint">What the forms “Clone a site” and “New schedule” begin with, for everybody of your tenant. Commands and calls of the API do not change with it.</p>
    ${values === null ? html`<${Trouble} problem=${problem} />${!problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`}`
    : html`<form class="card" novalidate aria-labelledby="defaults-title" onSubmit=${submit}>
      <div class="pair"><${Field} name="default-ttl" label="Keep clones for"><select id="default-ttl" value=${values.ttl_minutes ?? ""} onChange=${(event) => set("ttl_minutes", event.target.value || null)}><option value="">As Siteferry has it: 1 day</option>${lifetimes(values.ttl_minutes).map(([minutes, text]) => html`<option value=${minutes}>${text}</option>`)}</select><//>
        <${Field} name="default-priority" label="Priority"><select id="default-priority" value=${values.priority ?? ""} onChange=${(event) => set("priority", event.target.value)}><option value="">As the key has it</option>${PRIORITIES.map(([lane, text]) => html`<option value=${lane}>${text}</option>`)}</select><//></div>
      ${LISTS.map(([name, label, hint]) => html`<${Field} name=${`default-${name}`} label=${label} hint=${hint}><textarea id=${`default-${name}`} rows="3" spellcheck="false" value=${values[name]} onInput=${(event) => set(name, event.target.value)} /><//>`)}
      <label class="tick"><input type="checkbox" checked=${values.keep_transients} onChange=${(event) => set("keep_transients", event.target.checked)} />Copy transients, too</label>
      <${Trouble} problem=${problem} />
      <div class="row"><button class="primary" disabled=${busy}>Save</button>${saved && html`<span class="hint">Saved.</span>`}</div>
    </form>`}`;
}
