// The ways back that restores leave: what there is, going back, removing one.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get, post } from "./api.js";
import { ago, origin, plural, site, size } from "./format.js";
import { DOORS, Doors, throughDoors } from "./login.js";
import { Countdown, Icon, State, Trouble, useNow } from "./parts.js";
import { Boat } from "./rows.js";

const ACTIONS = {
  rollback: ["Roll back", "Production becomes what it was before this restore. What came in since is carried over where that is possible.", "danger"],
  discard: ["Discard", "The kept tables and files are removed from production. There is no way back afterwards.", "danger"],
};

/** Asks for the login of the target, and begins. */
function Login({ snapshot, action, onDone }) {
  const [values, setValues] = useState({ target_username: "", target_password: "", ...DOORS });
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [yes, words, tone] = ACTIONS[action];
  const id = (name) => `${action}-${snapshot.snapshot_id}-${name}`;
  const input = (name, more) => ({ id: id(name), value: values[name], required: true, spellcheck: false, autocomplete: "off", onInput: (event) => setValues({ ...values, [name]: event.target.value }), ...more });
  const submit = async (event) => {
    event.preventDefault();
    const missing = ["target_username", "target_password"].find((name) => !values[name].trim());
    if (missing) return document.getElementById(id(missing)).focus();
    setBusy(true);
    setProblem(null);
    try {
      const job = await post(`/snapshots/${snapshot.snapshot_id}/${action}`, throughDoors(values, "target_"));
      location.hash = `#/jobs/${job.job_id}`;
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<form class="again" novalidate aria-label=${`${yes}: ${site(snapshot.target_url)}`} onSubmit=${submit}>
    <p class="hint">${words}</p>
    <div class="pair">
      <div class="field"><label for=${id("target_username")}>Administrator there</label><input ...${input("target_username", { autocapitalize: "none" })} /></div>
      <div class="field"><label for=${id("target_password")}>Password there</label><input ...${input("target_password", { type: "password" })} /></div>
    </div>
    <${Doors} input=${input} id=${id} />
    <${Trouble} problem=${problem} />
    <div class="row"><button class=${tone} disabled=${busy}>${yes} ${site(snapshot.target_url)}</button><button type="button" class="quiet" onClick=${onDone}>Leave it</button></div>
  </form>`;
}

/** The buttons of an active snapshot. */
export function WayBack({ snapshot }) {
  const [asking, setAsking] = useState(/** @type {string | null} */ (null));
  return html`<div class="row wrap">
    ${Object.entries(ACTIONS).map(([action, [word]]) => html`<button type="button" class=${action === "discard" ? "quiet danger" : ""} aria-expanded=${asking === action} onClick=${() => setAsking(asking === action ? null : action)}>
      ${action === "rollback" && html`<${Icon} name="back" />`}${word}</button>`)}
    ${asking && html`<${Login} key=${asking} snapshot=${snapshot} action=${asking} onDone=${() => setAsking(null)} />`}
  </div>`;
}

/** Going back takes a while, and other people do it too. */
const ASK_EVERY = 3000;

export function Snapshots() {
  const [snapshots, setSnapshots] = useState(/** @type {any[] | null} */ (null));
  const [problem, setProblem] = useState(null);
  const now = useNow(10_000);
  useEffect(() => {
    let gone = false, timer = 0;
    const ask = async () => {
      try {
        const page = document.visibilityState === "visible" && (await get("/snapshots?state=active&state=rolled_back&limit=100"));
        if (page && !gone) setSnapshots(page.snapshots), setProblem(null);
      } catch (error) {
        if (!gone) setProblem(error), setSnapshots((known) => known ?? []);
      }
      if (!gone) timer = setTimeout(ask, ASK_EVERY);
    };
    ask();
    return () => ((gone = true), clearTimeout(timer));
  }, []);
  return html`<div class="head"><h1>Snapshots</h1></div>
    <${Trouble} problem=${problem} />
    ${snapshots === null ? html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : snapshots.length === 0 ? html`<div class="empty"><${Boat} /><h2>No snapshots yet</h2><p>When a clone goes to production, production as it was before is kept for three days, and this is where you get it back.</p><p><a class="button" href="#/clones">To the clones</a></p></div>`
    : html`<p class="lead">Production as it was before a restore. Each is kept on the site itself, and discarded when its time is up.</p>
      <ul class="clones">${snapshots.map((snapshot) => html`<li class="card" key=${snapshot.snapshot_id}>
        <div class="row between"><h2><a href=${`#/jobs/${snapshot.snapshot_id}`}>${site(snapshot.target_url)}</a></h2><${State} of=${{ state: snapshot.state === "active" ? "kept" : snapshot.state }} /></div>
        <p class="sub">before ${origin(snapshot.source_url)} came, ${ago(snapshot.created_at, now)} · ${plural(snapshot.tables, "table")}, ${plural(snapshot.files, "file")}, ${size(snapshot.bytes)}</p>
        ${snapshot.state === "active" && html`<p class="expiry"><${Countdown} until=${snapshot.expires_at} /></p><${WayBack} snapshot=${snapshot} />`}
      </li>`)}</ul>`}`;
}
