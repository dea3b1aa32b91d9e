// Starting a failed or cancelled job again with another login: as it was asked for, but the login.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { Icon, Trouble } from "./parts.js";

/** Errors that the login it was given can not mend. */
const OTHER_LOGIN = new Set(["wrong_password", "unknown_user", "bad_pairing_key", "not_administrator", "two_factor_required", "captcha_required", "sign_in_refused", "secret_gone"]);

/** @param {any} job @returns {boolean} whether trying again needs another login: the old one is wrong, or forgotten */
export const needsLogin = (job) => job.type === "clone" && (job.status === "cancelled" || (job.status === "failed" && OTHER_LOGIN.has(job.error?.code)));

export function Again({ job }) {
  const [values, setValues] = useState({ source_url: job.source_url, username: "", password: "" });
  const [asked, setAsked] = useState(/** @type {any} */ ({}));
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    get(`/jobs/${job.job_id}/story`).then(({ messages }) => {
      const { ttl_minutes, options } = messages.find(({ type }) => type === "requested")?.data ?? {};
      setAsked({ ...(ttl_minutes && { ttl_minutes }), ...(options && { options }) });
    }, () => {});
  }, [job.job_id]);
  const input = (name, more) => ({ id: `again-${name}`, value: values[name], required: true, spellcheck: false, onInput: (event) => setValues({ ...values, [name]: event.target.value }), ...more });
  const submit = async (event) => {
    event.preventDefault();
    const missing = Object.keys(values).find((name) => !values[name].trim());
    if (missing) return document.getElementById(`again-${missing}`).focus();
    setBusy(true);
    setProblem(null);
    try {
      const made = await post("/clone", { ...values, ...asked, priority: job.priority, ...(job.name && { name: job.name }) });
      location.hash = `#/jobs/${made.job_id}`;
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<form class="again" onSubmit=${submit} novalidate aria-label="Start again with another password">
    <div class="field"><label for="again-source_url">Site address</label><input ...${input("source_url", { type: "url", inputmode: "url", autocomplete: "url" })} /></div>
    <div class="pair">
      <div class="field"><label for="again-username">Administrator</label><input ...${input("username", { autocomplete: "off", autocapitalize: "none" })} /></div>
      <div class="field"><label for="again-password">Password</label><input ...${input("password", { type: "password", autocomplete: "off" })} /></div>
    </div>
    <p class="hint">Everything else stays as it was asked for. This job stays in the list as it ended.</p>
    <${Trouble} problem=${problem} />
    <button class="primary" disabled=${busy}>${busy ? "Starting…" : html`Start again <${Icon} name="arrow" />`}</button>
  </form>`;
}
