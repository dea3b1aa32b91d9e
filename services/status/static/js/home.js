// Start a clone, and all jobs.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { get, post, wrongFields } from "./api.js";
import { optionsInWords } from "./format.js";
import { JobList } from "./joblist.js";
import { CHECKS, chosen, DOORS, Doors, missing, throughDoors, WayIn } from "./login.js";
import { AFTER_LEAVING, Field, Icon, lifetimes, PRIORITIES, Trouble } from "./parts.js";
import { Preview, usePreview } from "./preview.js";
import { siteAddress } from "./site-address.js";

export function CloneForm({ session }) {
  const [values, setValues] = useState({ source_url: "", username: "", password: "", pairing_key: "", name: "", ...DOORS, ttl_minutes: 1440, priority: "normal" });
  const [errors, setErrors] = useState({});
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [byKey, setByKey] = useState(false);
  const [options, setOptions] = useState(/** @type {any} */ (null));
  const words = options ? optionsInWords(options) : "";
  const preview = usePreview();
  const sent = useRef(0); // what is said of a field that was left must not wipe out what the server says meanwhile
  useEffect(() => void get("/defaults").then((found) => {
    setOptions(found.options);
    setValues((known) => ({ ...known, ttl_minutes: found.ttl_minutes ?? known.ttl_minutes, priority: found.priority ?? known.priority }));
  }, () => {}), []); // without them the form is as it always was

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
      const [wrong, before] = [CHECKS[name](values[name]), sent.current];
      setTimeout(() => sent.current === before && setErrors((known) => ({ ...known, [name]: document.getElementById(name)?.value ? CHECKS[name](document.getElementById(name).value) : known[name] })), AFTER_LEAVING);
      if (name === "source_url" && !wrong) preview.look(siteAddress(values.source_url).address);
    },
    ...more,
  });

  const submit = async (event) => {
    event.preventDefault();
    sent.current += 1;
    const wrong = missing(chosen(values, byKey));
    setErrors(wrong);
    const [first] = Object.keys(wrong);
    if (first) return document.getElementById(first).focus();
    setBusy(true);
    setProblem(null);
    try {
      const { name, ...rest } = throughDoors(chosen(values, byKey));
      const body = { ...rest, source_url: siteAddress(values.source_url).address, ttl_minutes: Number(values.ttl_minutes), ...(name.trim() && { name: name.trim() }), ...(options && { options }) };
      const job = await post("/clone", body);
      location.hash = `#/jobs/${job.job_id}`;
    } catch (error) {
      const fields = wrongFields(error);
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
          <select ...${input("ttl_minutes")}>${lifetimes(values.ttl_minutes).map(([minutes, text]) => html`<option value=${minutes}>${text}</option>`)}</select>
        <//>
        <${Field} name="priority" label="Priority">
          <select ...${input("priority")}>${PRIORITIES.map(([lane, text]) => html`<option value=${lane}>${text}</option>`)}</select>
        <//>
      </div>
      <${Field} name="name" label=${html`Name <span class="optional">optional</span>`} error=${errors.name}>
        <input ...${input("name", { maxlength: 120, placeholder: "Before the spring update", autocomplete: "off" })} />
      <//>
      <${Doors} input=${input} errors=${errors} />
      ${words && html`<p class="hint">From ${session.scope === "admin" ? html`<a href="#/settings/defaults">your defaults</a>` : "your defaults"}: ${words}.</p>`}
      <${Trouble} problem=${problem} />
      <button class="primary wide" disabled=${busy}>${busy ? "Starting…" : html`Start cloning <${Icon} name="arrow" />`}</button>
    </form>
  </section>`;
}

export const Home = ({ session }) => html`<h1 class="visually-hidden">Siteferry</h1><div class="home"><${CloneForm} session=${session} /><${JobList} /></div>`;
