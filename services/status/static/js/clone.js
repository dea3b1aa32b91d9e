// A clone: its address, login, time left and captured mail.

import { html, useState } from "../vendor/preact-htm.js";
import { call, get, post } from "./api.js";
import { moment, number, site } from "./format.js";
import { announce, Confirm, Copy, Countdown, Icon, State, Trouble } from "./parts.js";
import { Restore } from "./restore.js";
import { Refresh } from "./refresh.js";
import { Versions } from "./versions.js";

const MORE = [[120, "2 hours"], [1440, "1 day"], [10080, "7 days"], [43200, "30 days"]];

function Login({ clone }) {
  const [password, setPassword] = useState(/** @type {string | null} */ (null));
  const [problem, setProblem] = useState(null);
  const reveal = () => get(`/clones/${clone.clone_id}`).then(
    (found) => (setPassword(found.password), setProblem(found.password ? null : new Error("The password is no longer there.")), announce("The password is shown")), setProblem);
  return html`<dl class="login">
    <div><dt>User name</dt><dd><code>${clone.username}</code><${Copy} text=${clone.username} label="Copy the user name">Copy<//></dd></div>
    <div><dt>Password</dt><dd>${password
      ? html`<code data-password>${password}</code><${Copy} text=${password} label="Copy the password">Copy<//><button type="button" class="quiet" onClick=${() => setPassword(null)}>Hide</button>`
      : html`<code aria-hidden="true">••••••••••••</code><button type="button" class="quiet" onClick=${reveal}><${Icon} name="eye" />Show</button>`}</dd></div>
  </dl><${Trouble} problem=${problem} />`;
}

function Mail({ clone }) {
  const [mails, setMails] = useState(/** @type {any[] | null} */ (null));
  const [problem, setProblem] = useState(null);
  const [open, setOpen] = useState(null);
  const load = () => get(`/clones/${clone.clone_id}/mail`).then((found) => (setMails(found.mails), setProblem(null)), setProblem);
  const show = async (mail) => setOpen(open?.id === mail.id ? null : await get(`/clones/${clone.clone_id}/mail/${encodeURIComponent(mail.id)}`).catch(() => mail));
  return html`<details class="mail" onToggle=${(event) => event.target.open && load()}>
    <summary><h3>Captured mail</h3>${mails && html`<span class="count">${number(mails.length)}</span>`}</summary>
    <p class="hint">Mail the clone wanted to send. None of it left this machine.</p>
    <${Trouble} problem=${problem} />
    ${mails?.length === 0 && html`<p class="hint">No mail yet.</p>`}
    ${mails?.length > 0 && html`<ul>${mails.map((mail) => html`<li key=${mail.id}><button type="button" class="line" aria-expanded=${open?.id === mail.id} onClick=${() => show(mail)}>
      <b>${mail.subject || "(no subject)"}</b><span>to ${mail.to.join(", ")} · ${moment(mail.time)}</span></button>
      ${open?.id === mail.id && html`<pre tabindex="0">${open.body || "(empty)"}</pre>`}</li>`)}</ul>`}
    <button type="button" class="quiet" onClick=${load}><${Icon} name="retry" />Look again</button>
  </details>`;
}

/** Opens wp-admin in another tab, signed in: the tab is opened by the click, or the browser would hold it back. */
function Admin({ clone }) {
  const [problem, setProblem] = useState(null);
  const open = async () => {
    const tab = window.open("", "_blank");
    if (tab) tab.opener = null;
    await post(`/clones/${clone.clone_id}/login-link`).then((link) => {
      setProblem(null);
      (tab ?? window).location.replace(link.url);
    }, (failed) => {
      tab?.close();
      setProblem(failed);
    });
  };
  return html`<button type="button" class="button" onClick=${open}>WordPress admin<${Icon} name="open" /></button><${Trouble} problem=${problem} />`;
}

/** Extend and delete. */
export function CloneActions({ clone }) {
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState(null);
  const extend = async (event) => {
    const minutes = Number(event.target.value);
    event.target.value = "";
    if (minutes) await call("PATCH", `/clones/${clone.clone_id}`, { ttl_minutes: minutes }).then(() => (setProblem(null), announce("The clone lives longer now")), setProblem);
  };
  const remove = () => call("DELETE", `/clones/${clone.clone_id}`).then(() => setAsking(false));
  return html`<select class="button" aria-label=${`Extend the life of ${clone.name ?? site(clone.source_url ?? clone.clone_url)}`} onChange=${extend}>
      <option value="">Keep for…</option>${MORE.map(([minutes, text]) => html`<option value=${minutes}>${text} from now</option>`)}</select>
    <button type="button" class="quiet danger" onClick=${() => setAsking(true)}>Delete</button>
    <${Trouble} problem=${problem} />
    ${asking && html`<${Confirm} title="Delete this clone?" yes="Delete the clone" onYes=${remove} onNo=${() => setAsking(false)}>
      Its database, files and captured mail are removed for good. The source site is not touched.<//>`}`;
}

export function ClonePanel({ clone }) {
  if (clone.state !== "active") return html`<section class="card gone"><div class="row between wrap"><h2>${clone.state === "deleted" ? "This clone is gone" : "This clone is being deleted"}</h2><${State} of=${{ state: clone.state }} /></div>
    ${clone.deleted_at && html`<p class="hint">Removed ${moment(clone.deleted_at)}.</p>`}</section>`;
  return html`<section class="card result" aria-labelledby="result-title">
    <div class="row between wrap"><h2 id="result-title"><${Icon} name="check" />The clone is ready</h2><p class="expiry"><${Countdown} until=${clone.expires_at} /></p></div>
    <p class="address"><a href=${clone.clone_url} target="_blank" rel="noopener">${clone.clone_url}</a></p>
    <div class="row wrap"><a class="button primary" href=${clone.clone_url} target="_blank" rel="noopener">Open the clone<${Icon} name="open" /></a>
      <${Admin} clone=${clone} />
      <${Copy} text=${clone.clone_url} label="Copy the address">Copy address<//><span class="push"></span><${CloneActions} clone=${clone} /></div>
    <${Login} clone=${clone} /><${Mail} clone=${clone} /><${Versions} clone=${clone} /><${Refresh} clone=${clone} /><${Restore} clone=${clone} />
  </section>`;
}
