// A clone becomes what its site is now: the way in, what was edited in it, what came of it.

import { html, useState } from "../vendor/preact-htm.js";
import { post } from "./api.js";
import { moment, number, site, size } from "./format.js";
import { chosen, DOORS, Doors, throughDoors, WayIn } from "./login.js";
import { Icon, Notes, Trouble } from "./parts.js";

/** @param {{clone: any}} props */
export function Refresh({ clone }) {
  const [values, setValues] = useState(/** @type {any} */ ({ username: "", password: "", pairing_key: "", ...DOORS }));
  const [byKey, setByKey] = useState(false);
  const [overwrite, setOverwrite] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const id = (name) => `refresh-${name}`;
  const input = (name, more) => ({ id: id(name), value: values[name], onInput: (event) => setValues({ ...values, [name]: event.target.value }), ...more });
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const job = await post(`/clones/${clone.clone_id}/refresh`, { ...throughDoors(chosen(values, byKey)), overwrite });
      location.hash = `#/jobs/${job.job_id}`;
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<details class="mail"><summary><h3>Refresh from production</h3></summary>
    <p class="hint">Files and tables become what ${site(clone.source_url)} is now; address and login stay. What was edited in the clone is listed first.</p>
    <form onSubmit=${submit} aria-label="Refresh from production">
      <${WayIn} input=${input} id=${id} byKey=${byKey} onSwitch=${() => setByKey(!byKey)} />
      <${Doors} input=${input} id=${id} />
      <label class="tick"><input type="checkbox" checked=${overwrite} onChange=${(event) => setOverwrite(event.target.checked)} />What was edited in the clone may go</label>
      <${Trouble} problem=${problem} />
      <button class="button" disabled=${busy}><${Icon} name="retry" />${busy ? "Starting…" : "Refresh"}</button>
    </form>
  </details>`;
}

/** What was edited in a clone. @param {{edits: any}} props */
export function EditList({ edits }) {
  const tables = Object.entries(edits?.tables ?? {});
  if (!tables.length && !edits?.files) return null;
  const counts = (table) => (table.altered ? "built anew or dropped" : ["added", "changed", "removed"].filter((how) => table[how]).map((how) => `${number(table[how])} ${how}`).join(", "));
  const samples = edits.file_samples ?? [];
  return html`<ul class="notes">
    ${tables.map(([name, table]) => html`<li key=${name}><code>${name}</code>: ${counts(table)}${table.samples.length > 0 && html` <span class="hint">${table.samples.join("; ")}</span>`}</li>`)}
    ${samples.map((file) => html`<li key=${file}><code>${file}</code></li>`)}
    ${edits.files > samples.length && html`<li>and ${number(edits.files - samples.length)} more files</li>`}
  </ul>`;
}

/** What a refresh came to. @param {{job: any}} props */
export function RefreshPanel({ job: { result } }) {
  const gone = result.overwritten;
  return html`<section class="card result" aria-labelledby="result-title">
    <h2 id="result-title"><${Icon} name="check" />The clone is what its site was at ${moment(result.refreshed_at)}</h2>
    <p class="hint">${number(result.files)} files, ${size(result.bytes)}, ${number(result.rows)} rows in ${number(result.tables)} tables</p>
    ${(gone.rows > 0 || gone.files > 0) && html`<h3>Edited in the clone, and gone</h3>`}<${EditList} edits=${gone} />
    <${Notes} notes=${result.notes} />
    <div class="row wrap"><a class="button primary" href=${result.clone_url} target="_blank" rel="noopener">Open the clone<${Icon} name="open" /></a>
      <a class="button" href=${`#/jobs/${result.clone_id}`}>${site(result.clone_url)}</a></div>
  </section>`;
}
