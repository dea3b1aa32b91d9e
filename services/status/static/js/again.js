// Asking anew for what did not complete: a clone as it was asked for, with another way in; a restore from its clone.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { chosen, DOORS, Doors, throughDoors, WayIn } from "./login.js";
import { Field, Icon, Trouble } from "./parts.js";
import { siteAddress } from "./site-address.js";

/** What a job was asked to do, as its stream holds it; null until it was read. */
function useAsked(id) {
  const [asked, setAsked] = useState(/** @type {any} */ (null));
  useEffect(() => {
    get(`/jobs/${id}/story`).then(({ messages }) => setAsked(messages.find(({ type }) => type === "requested")?.data ?? {}), () => setAsked({}));
  }, [id]);
  return asked;
}

/** @param {{job: any, word: string, byKey?: boolean}} props of a clone */
export function Again({ job, word, byKey: keyFirst = false }) {
  const [values, setValues] = useState({ source_url: job.source_url, username: "", password: "", pairing_key: "", ...DOORS });
  const [byKey, setByKey] = useState(keyFirst);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const asked = useAsked(job.job_id);
  const id = (name) => `again-${name}`;
  const input = (name, more) => ({ id: id(name), value: values[name], required: true, spellcheck: false, onInput: (event) => setValues({ ...values, [name]: event.target.value }), ...more });
  const submit = async (event) => {
    event.preventDefault();
    const wish = throughDoors(chosen(values, byKey));
    const missing = Object.keys(chosen(values, byKey)).find((name) => !(name in DOORS) && !values[name].trim());
    if (missing) return document.getElementById(id(missing)).focus();
    const { address, wrong } = siteAddress(values.source_url);
    if (wrong) return setProblem({ message: `${wrong}.` }), document.getElementById(id("source_url")).focus();
    setBusy(true);
    setProblem(null);
    const { ttl_minutes: ttl, options } = asked ?? {};
    try {
      const made = await post("/clone", { ...wish, source_url: address, ...(ttl && { ttl_minutes: ttl }), ...(options && { options }), priority: job.priority, ...(job.name && { name: job.name }) });
      location.hash = `#/jobs/${made.job_id}`;
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
    return undefined;
  };
  return html`<form class="again" onSubmit=${submit} novalidate aria-label=${word}>
    <${Field} name=${id("source_url")} label="Site address"><input ...${input("source_url", { type: "url", inputmode: "url", autocomplete: "url" })} /><//>
    <${WayIn} input=${input} id=${id} byKey=${byKey} onSwitch=${() => setByKey(!byKey)} />
    <${Doors} input=${input} id=${id} />
    <p class="hint">Everything else stays as it was asked for. This job stays in the list as it ended.</p>
    <${Trouble} problem=${problem} />
    <button class="primary" disabled=${busy}>${busy ? "Starting…" : html`Start again <${Icon} name="arrow" />`}</button>
  </form>`;
}

/** Where a restore, roll-back, discard or refresh is asked for anew. @param {{job: any, word: string}} props */
export function Elsewhere({ job, word }) {
  const asked = useAsked(job.job_id);
  const id = asked && (["restore", "refresh"].includes(job.action ?? "restore") ? asked.clone_id : asked.snapshot_id);
  return id ? html`<a class="button primary" href=${`#/jobs/${id}`}><${Icon} name="retry" />${word}</a>` : null;
}
