// Who did what. For administrators.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { useQuery } from "./address.js";
import { get } from "./api.js";
import { moment } from "./format.js";
import { Icon, Trouble } from "./parts.js";

const OUTCOMES = [["", "All"], ["done", "Done"], ["refused", "Refused"], ["failed", "Failed"], ["unknown", "Unknown"]];
const TONES = { done: "good", refused: "warn", failed: "bad", unknown: "idle" };
const JOB = /^(clone|restore)-[0-9a-z]{16}$/;

/** @param {string} id of what a call was about */
const About = ({ id }) => (JOB.test(id) ? html`<a href=${`#/jobs/${id}`}>${id}</a>` : html`<code>${id}</code>`);

function Row({ record }) {
  const { objects } = record;
  return html`<tr><th scope="row"><time datetime=${record.at}>${moment(record.at)}</time></th><td>${record.action}</td>
    <td>${record.name || record.key || "nobody known"}</td><td>${record.address}</td>
    <td>${objects[0] ? html`<${About} id=${objects[0]} />` : "–"}${objects.length > 1 && ` and ${objects.length - 1} more`}</td>
    <td><span class=${`state ${TONES[record.outcome]}`}>${record.outcome}</span>${record.code && html` <code>${record.code}</code>`}${record.unrecorded > 0 && ` and ${record.unrecorded} more`}</td></tr>`;
}

export function Audit() {
  const [look, change] = useQuery();
  const outcome = look.get("outcome") ?? "";
  const [records, setRecords] = useState(/** @type {any[] | null} */ (null));
  const [cursor, setCursor] = useState(/** @type {string | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const ask = (from, known) => get(`/audit?limit=50${outcome && `&outcome=${outcome}`}${from && `&cursor=${from}`}`).then(
    (page) => (setRecords([...known, ...page.records]), setCursor(page.next_cursor), setProblem(null)), setProblem);
  useEffect(() => (setRecords(null), void ask("", [])), [outcome]);
  return html`<div class="row between wrap"><h2 id="audit-title">Who did what</h2><div class="chips" role="group" aria-label="How it ended">${OUTCOMES.map(([name, text]) => html`
      <button type="button" aria-pressed=${name === outcome} onClick=${() => change({ outcome: name })}>${text}</button>`)}</div></div>
    <p class="hint">Calls that changed something, or were refused; newest first.</p>
    <${Trouble} problem=${problem} />
    ${records === null ? !problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : records.length === 0 && !cursor ? html`<div class="empty small"><h3>Nothing is recorded that fits</h3></div>`
    : html`<div class="statistics"><section class="card"><div class="scrolled" tabindex="0" role="region" aria-labelledby="audit-title"><table class="audit"><thead><tr>${["When", "What", "Who", "From", "About", "Outcome"].map((text) => html`<th scope="col">${text}</th>`)}</tr></thead>
        <tbody>${records.map((record) => html`<${Row} key=${record.id} record=${record} />`)}</tbody></table></div></section></div>
      ${cursor && html`<div class="row"><button type="button" onClick=${() => ask(cursor, records)}>Older</button></div>`}`}`;
}
