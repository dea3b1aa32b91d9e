// What a restore would do, or did: tables, folders, and what production would lose.

import { html } from "../vendor/preact-htm.js";
import { moment, number, plural, size } from "./format.js";

const COUNTS = ["add", "change", "remove", "same"];
const WORDS = { order: "order", comment: "comment", post: "post", entry: ["entry", "entries"], user: "user", row: "row" };
const WHY = { production_only: "only in production", production_newer: "newer in production" };

/** @param {any} item @returns {boolean} whether anything of a table or folder moves */
export const moves = (item) => item.action !== "keep" && (["create", "replace"].includes(item.action) || COUNTS.slice(0, 3).some((name) => item[name] > 0));

/** @param {Record<string, number>} losses @returns {string} `2 orders and 1 comment`; empty for none */
export function lossWords(losses) {
  const parts = Object.entries(losses ?? {}).map(([what, count]) => plural(count, ...[WORDS[what] ?? what].flat()));
  return new Intl.ListFormat("en").format(parts);
}

/** @param {any} item @returns {string} what there is to say about a table or folder beside its numbers */
export function remark(item) {
  const parts = item.reason ? [item.reason] : [];
  if (item.bytes) parts.push(`${size(item.bytes)} travel`);
  if (item.production_only) parts.push(`${number(item.production_only)} only in production, ${"folder" in item ? "kept" : "lost"}`);
  if (item.production_newer) parts.push(`${number(item.production_newer)} newer in production`);
  return parts.join("; ");
}

function Changes({ title, one, items }) {
  const changed = items.filter(moves);
  const kept = items.filter((item) => item.action === "keep");
  return html`<h3>${title}</h3>
    ${changed.length === 0 ? html`<p class="hint">Nothing changes here.</p>`
    : html`<div class="scroll" role="region" aria-label=${title} tabindex="0"><table>
      <thead><tr><th scope="col">${one}</th>${["Add", "Change", "Remove", "Same"].map((word) => html`<th scope="col" class="number">${word}</th>`)}<th scope="col">Note</th></tr></thead>
      <tbody>${changed.map((item) => html`<tr><th scope="row">${item.table ?? item.folder}${item.action === "change" ? "" : html` <span class="count">${item.action}</span>`}</th>
        ${COUNTS.map((name) => html`<td class=${`number ${name}`}>${item[name] ? number(item[name]) : ""}</td>`)}<td>${remark(item)}</td></tr>`)}</tbody>
    </table></div>`}
    ${kept.length > 0 && html`<details class="kept"><summary>${plural(kept.length, one.toLowerCase())} ${kept.length === 1 ? "stays as it is" : "stay as they are"}</summary>
      <ul class="notes">${kept.map((item) => html`<li>${item.table ?? item.folder}${item.reason ? html` <span class="samples">${item.reason}</span>` : ""}</li>`)}</ul></details>`}`;
}

/** What production would lose: counts by kind, and some of it. @param {{losses?: Record<string, number>, samples?: any[]}} props */
export function Losses({ losses, samples = [] }) {
  const words = lossWords(losses);
  if (!words) return null;
  const hidden = Object.values(losses).reduce((sum, count) => sum + count, 0) - samples.length;
  return html`<div class="losses"><h3>Production would lose ${words}</h3>
    <ul class="notes">${samples.map((loss) => html`<li>${loss.title || `${loss.what} ${loss.key}`} <span class="samples">${loss.what} ${loss.key}, ${WHY[loss.why] ?? loss.why}${loss.modified_at ? `, ${moment(loss.modified_at)}` : ""}</span></li>`)}</ul>
    ${hidden > 0 && samples.length > 0 && html`<p class="hint">and ${number(hidden)} more</p>`}</div>`;
}

export const Plan = ({ plan }) => html`<div class="plan">
  <${Losses} losses=${plan.losses} samples=${plan.loss_samples} />
  <${Changes} title="Tables" one="Table" items=${plan.tables} />
  <${Changes} title="Files" one="Folder" items=${plan.folders} />
  ${(plan.drift.length > 0 || !plan.base) && html`<h3>Good to know</h3><ul class="notes">${plan.drift.map((text) => html`<li>${text}</li>`)}
    ${!plan.base && html`<li>It is not known what the site was when the clone was made, so a change of production can not be told from one of the clone.</li>`}</ul>`}
</div>`;
