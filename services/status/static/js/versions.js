// What a clone was: reset it, keep what it is as a version, go back to one.

import { html, useState } from "../vendor/preact-htm.js";
import { call, get, post } from "./api.js";
import { moment, number, site, size } from "./format.js";
import { announce, Confirm, Icon, Trouble } from "./parts.js";

/** @param {string} clone @param {object} wish @param {string} path */
const begin = (clone, path, wish) => post(`/clones/${clone}/${path}`, wish).then((job) => { location.hash = `#/jobs/${job.job_id}`; });

export function Versions({ clone }) {
  const [found, setFound] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState(null);
  const [asking, setAsking] = useState(/** @type {any} */ (null));
  const here = `/clones/${clone.clone_id}/versions`;
  const show = (answer) => (setFound(answer), setProblem(null));
  const keep = (event) => {
    event.preventDefault();
    begin(clone.clone_id, "versions", { name: event.target.elements.version.value.trim() }).catch(setProblem);
  };
  const forget = (name) => call("DELETE", `${here}/${name}`).then((answer) => (show(answer), announce("The version is forgotten")), setProblem);
  return html`<details class="mail" onToggle=${(event) => event.target.open && get(here).then(show, setProblem)}>
    <summary><h3>Reset and versions</h3>${found && html`<span class="count">${number(found.versions.length)}</span>`}</summary>
    <p class="hint">Files, rows and tables become what they were; address and login stay.</p>
    <${Trouble} problem=${problem} />
    ${found && html`<ul>
      ${found.made && html`<li class="row between wrap"><span>When it was made · ${moment(found.made.made_at)} · ${size(found.made.bytes)}</span>
        <button type="button" class="button" onClick=${() => setAsking({ title: "Reset this clone?", wish: {} })}>Reset</button></li>`}
      ${found.versions.map((version) => html`<li key=${version.name} class="row between wrap"><span><b>${version.name}</b> · ${version.made_at ? moment(version.made_at) : "damaged"} · ${size(version.bytes)}</span>
        <span class="row"><button type="button" class="button" onClick=${() => setAsking({ title: `Go back to ${version.name}?`, wish: { version: version.name } })}>Go back</button>
        <button type="button" class="quiet danger" aria-label=${`Forget ${version.name}`} onClick=${() => forget(version.name)}>Forget</button></span></li>`)}
    </ul>
    ${!found.made && html`<p class="hint">What it was when it was made was not kept.</p>`}
    <form class="row wrap" onSubmit=${keep}><input name="version" aria-label="Name of a version" placeholder="before-update" required pattern="[a-z0-9][a-z0-9\\-]*" maxlength="40" />
      <button type="submit" class="button"><${Icon} name="check" />Keep what it is now</button></form>`}
    <p><button type="button" class="button" onClick=${() => begin(clone.clone_id, "fork", {}).catch(setProblem)}>Make a clone of this clone</button></p>
    ${asking && html`<${Confirm} title=${asking.title} yes="Put it back" onYes=${() => begin(clone.clone_id, "reset", asking.wish)} onNo=${() => setAsking(null)}>
      Whatever was changed in the clone since is gone.<//>`}
  </details>`;
}

/** What a reset or a new version came to. */
export function StatePanel({ job }) {
  const result = job.result;
  const name = result.state === "made" ? "what it was when it was made" : result.state.replace(/^version-/, "");
  return html`<section class="card result" aria-labelledby="result-title">
    <h2 id="result-title"><${Icon} name="check" />${job.action === "reset" ? `The clone is again ${result.state === "made" ? name : `at ${name}`}` : `Kept as ${name}`}</h2>
    <p class="hint">${number(result.files)} files, ${number(result.tables)} tables, ${size(result.bytes)}, as of ${moment(result.state_made_at)}</p>
    <div class="row wrap"><a class="button primary" href=${result.clone_url} target="_blank" rel="noopener">Open the clone<${Icon} name="open" /></a>
      <a class="button" href=${`#/jobs/${result.clone_id}`}>${site(result.clone_url)}</a></div>
  </section>`;
}
