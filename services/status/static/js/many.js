// Buttons that do something to all a list shows, and how far that is.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { number, plural } from "./format.js";
import { Confirm, Icon, Trouble } from "./parts.js";

const POLL = 1000;

/**
 * @typedef {object} Deed
 * @property {string} word on the button, like "Cancel 12"
 * @property {string} icon
 * @property {string} title of the question
 * @property {string} what will happen, a sentence
 * @property {string} path of the call
 * @property {object} body of the call
 * @property {string} done what became of them, like "run again"
 * @property {boolean} [danger]
 */

/** @param {{deeds: Deed[]}} props what can be done to what is listed; nothing is drawn without any */
export function Many({ deeds }) {
  const [asking, setAsking] = useState(/** @type {Deed | null} */ (null));
  const [under, setUnder] = useState(/** @type {any} */ (null));
  const begin = async () => {
    const deed = /** @type {Deed} */ (asking);
    const operation = await post(deed.path, deed.body, { "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` });
    setUnder({ deed, operation });
    setAsking(null);
  };
  return html`${deeds.length > 0 && html`<div class="row wrap many">${deeds.map((deed) => html`<button type="button" class="small" onClick=${() => setAsking(deed)}><${Icon} name=${deed.icon} />${deed.word}</button>`)}</div>`}
    ${under && html`<${Progress} key=${under.operation.operation_id} begun=${under.operation} done=${under.deed.done} onClose=${() => setUnder(null)} />`}
    ${asking && html`<${Confirm} title=${asking.title} yes=${asking.word} danger=${asking.danger ?? false} onYes=${begin} onNo=${() => setAsking(null)}>${asking.what}<//>`}`;
}

/** How far an operation is; it goes on when nobody looks. */
function Progress({ begun, done, onClose }) {
  const [operation, setOperation] = useState(begun);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (operation.status === "completed") return undefined;
    const timer = setTimeout(() => get(operation.status_url).then((found) => (setOperation(found), setProblem(null)), (error) => (setProblem(error), setOperation({ ...operation }))), POLL);
    return () => clearTimeout(timer);
  }, [operation]);
  const reasons = new Map();
  for (const { message } of operation.refusals) reasons.set(message, (reasons.get(message) ?? 0) + 1);
  return html`<div class="operation" role="status"><div class="row between"><span>${operation.total === 0 ? "Nothing fitted any more." : `${number(operation.done)} of ${number(operation.total)} ${done}${operation.status === "completed" ? "." : " …"}`}</span>
      ${operation.status === "completed" && html`<button type="button" class="quiet small" onClick=${onClose}>Close</button>`}</div>
    ${[...reasons].map(([message, count]) => html`<p class="sub">${plural(count, "time")}: ${message}</p>`)}
    <${Trouble} problem=${problem} /></div>`;
}

/** @param {URLSearchParams} look of the address @param {Record<string, number>} counts @returns {Deed[]} for jobs */
export function jobDeeds(look, counts) {
  const filter = {};
  for (const name of ["q", "batch"]) if (look.get(name)) filter[name] = look.get(name);
  const open = (counts.pending ?? 0) + (counts.running ?? 0), failed = counts.failed ?? 0;
  if (look.get("show") === "failed" && failed > 1) {
    return [{ word: `Try ${number(failed)} again`, icon: "retry", title: `Try ${plural(failed, "failed job")} again?`, what: "Each runs again with the login it was given. Those whose login has been forgotten are named.", path: "/jobs/retry", body: { filter: { ...filter, status: ["failed"] } }, done: "run again" }];
  }
  if (look.get("show") === "open" && open > 1) {
    return [{ word: `Cancel ${number(open)}`, icon: "stop", title: `Cancel ${plural(open, "job")}?`, what: "What they have made so far is removed, here and on their sites. The sites themselves are not touched.", path: "/jobs/cancel", body: { filter: { ...filter, status: ["pending", "running"] } }, done: "are being cancelled", danger: true }];
  }
  return [];
}

/** @param {string | null} q what was searched for @param {number} total @returns {Deed[]} for clones that were found; none for all there are */
export function cloneDeeds(q, total) {
  if (!q || total < 2) return [];
  return [
    { word: `Keep ${number(total)} for 7 days`, icon: "retry", title: `Keep ${plural(total, "clone")} for 7 days?`, what: "All of them end a week from now.", path: "/clones/extend", body: { filter: { q }, ttl_minutes: 10080 }, done: "end in a week" },
    { word: `Delete ${number(total)}`, icon: "stop", title: `Delete ${plural(total, "clone")}?`, what: "Database, account, files and address of each are removed. This can not be undone.", path: "/clones/delete", body: { filter: { q } }, done: "are being deleted", danger: true },
  ];
}
