// Webhooks: register, try, see what became of their messages, remove.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { call, get, post } from "./api.js";
import { ago, moment, plural } from "./format.js";
import { announce, Confirm, Field, Icon, Trouble, useNow } from "./parts.js";
import { Once } from "./secret.js";

const EVENTS = ["clone.completed", "clone.failed", "clone.cancelled", "clone.expired", "restore.completed", "restore.failed", "restore.cancelled", "restore.rolled_back"];
const TONES = { delivered: ["Delivered", "good", "check"], retrying: ["Trying again", "warn", "retry"], failed: ["Given up", "bad", "cross"] };
const LOOK_EVERY = 3000;

function NewHook({ onMade, onLeave }) {
  const [values, setValues] = useState({ url: "", description: "", events: /** @type {string[]} */ ([]) });
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => document.getElementById("hook-url").focus(), []);
  const tick = (event) => setValues({ ...values, events: values.events.includes(event) ? values.events.filter((other) => other !== event) : [...values.events, event] });
  const submit = async (event) => {
    event.preventDefault();
    if (!values.url.trim()) return document.getElementById("hook-url").focus();
    setBusy(true);
    setProblem(null);
    try {
      onMade(await post("/webhooks", { ...values, url: values.url.trim() }));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<form class="card" novalidate aria-label="New webhook" onSubmit=${submit}>
    <${Field} name="hook-url" label="Address" hint="Takes POST requests; public addresses only."><input id="hook-url" type="url" required spellcheck="false" value=${values.url} placeholder="https://hooks.example.com/siteferry" onInput=${(event) => setValues({ ...values, url: event.target.value })} /><//>
    <${Field} name="hook-description" label="Description"><input id="hook-description" maxlength="200" value=${values.description} onInput=${(event) => setValues({ ...values, description: event.target.value })} /><//>
    <fieldset><legend>Events; none ticked: all</legend>${EVENTS.map((event) => html`<label class="tick"><input type="checkbox" checked=${values.events.includes(event)} onChange=${() => tick(event)} />${event}</label>`)}</fieldset>
    <${Trouble} problem=${problem} />
    <div class="row"><button class="primary" disabled=${busy}>Register</button><button type="button" class="quiet" onClick=${onLeave}>Leave it</button></div>
  </form>`;
}

/** What became of the newest messages; looks again while it is open. */
function Deliveries({ id }) {
  const [told, setTold] = useState(/** @type {any[] | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const now = useNow();
  useEffect(() => {
    let over = false, timer = 0;
    const ask = () => get(`/webhooks/${id}/deliveries`).then((page) => over || (setTold(page.deliveries), setProblem(null)), (error) => over || setProblem(error)).then(() => (timer = over ? 0 : setTimeout(ask, LOOK_EVERY)));
    ask();
    return () => ((over = true), clearTimeout(timer));
  }, [id]);
  return html`<${Trouble} problem=${problem} />${told?.length === 0 && html`<p class="hint">Nothing has been sent yet.</p>`}
    ${told && told.length > 0 && html`<ul class="deliveries" aria-label="Deliveries">${told.map((each) => {
      const [word, tone, icon] = TONES[each.state];
      const last = each.attempts[0];
      return html`<li key=${each.id}><span class=${`state ${tone}`}><${Icon} name=${icon} />${word}</span> <span>${each.type}${each.job_id && html` · <a href=${`#/jobs/${each.job_id}`}>${each.job_id}</a>`}</span>
        <span class="sub">${last && ago(last.at, now)}${last && ` · ${last.status_code ? `answered ${last.status_code}` : last.error || "no answer"}`} · ${plural(each.attempts.length, "attempt")}${each.next_attempt_at ? ` · next ${moment(each.next_attempt_at)}` : ""}</span></li>`;
    })}</ul>`}`;
}

function Hook({ hook, onChange }) {
  const [open, setOpen] = useState(false);
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const remove = async () => {
    await call("DELETE", `/webhooks/${hook.id}`);
    announce("The webhook is removed");
    onChange();
  };
  const test = () => post(`/webhooks/${hook.id}/test`).then(() => (setProblem(null), setOpen(true), announce("A test message is sent")), setProblem);
  return html`<li class="card">
    <div class="row between"><h3 class="address">${hook.url}</h3>${hook.disabled && html`<span class="state bad"><${Icon} name="cross" />Off</span>`}</div>
    <p class="sub">${hook.description && `${hook.description} · `}${hook.events.length ? hook.events.join(", ") : "all events"}${hook.disabled && ` · ${hook.disabled}`}</p>
    <${Trouble} problem=${problem} />
    <div class="row wrap"><button type="button" class="small" aria-label=${`Deliveries of ${hook.url}`} aria-expanded=${open} onClick=${() => setOpen(!open)}>Deliveries</button>
      <button type="button" class="small" aria-label=${`Send a test to ${hook.url}`} onClick=${test}>Send a test</button>
      <button type="button" class="small danger" aria-label=${`Remove ${hook.url}`} onClick=${() => setAsking(true)}>Remove</button></div>
    ${open && html`<${Deliveries} id=${hook.id} />`}
    ${asking && html`<${Confirm} title="Remove the webhook?" yes="Remove" onYes=${remove} onNo=${() => setAsking(false)}>Nothing is sent to ${hook.url} any more.<//>`}
  </li>`;
}

export function Webhooks() {
  const [hooks, setHooks] = useState(/** @type {any[] | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const look = () => get("/webhooks").then((found) => (setHooks(found.webhooks), setProblem(null)), setProblem);
  useEffect(() => void look(), []);
  return html`<div class="row between"><h2>Webhooks</h2>${!making && html`<button type="button" class="primary" onClick=${() => setMaking(true)}>New webhook</button>`}</div>
    <${Trouble} problem=${problem} />
    ${made && html`<${Once} title="The webhook's secret" secret=${made.secret} onDone=${() => setMade(null)}>Messages to ${made.url} are signed with it.<//>`}
    ${making && html`<${NewHook} onLeave=${() => setMaking(false)} onMade=${(hook) => (setMaking(false), setMade(hook), look())} />`}
    ${hooks === null ? !problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : hooks.length === 0 ? html`<div class="empty small"><h3>No webhooks yet</h3><p>Other programs are told when jobs end.</p></div>`
    : html`<ul class="stack" aria-label="Webhooks">${hooks.map((hook) => html`<${Hook} key=${hook.id} hook=${hook} onChange=${look} />`)}</ul>`}`;
}
