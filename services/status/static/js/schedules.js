// Schedules: when each is due next, how its last job went; make, change, pause, resume, remove.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { call, get, post } from "./api.js";
import { ago, momentIn, plural, site, span } from "./format.js";
import { announce, Confirm, Icon, State, Trouble, useNow } from "./parts.js";
import { ScheduleForm } from "./schedule-form.js";

const TONES = { active: ["Active", "good", "check"], paused: ["Paused", "warn", "stop"], stopped: ["Stopped", "bad", "cross"] };
/** Schedules become due, and other people change them, too. */
const LOOK_EVERY = 3000;
/** The words of a command, as they may be parted at the end of a line. */
const COMMAND = ["siteferry schedules create", "https://example.com", "-u admin", "--cron '30 2 * * *'"];

/** Asks now and again and again, while the page is looked at. @param {() => Promise<any>} ask */
function useAgain(ask) {
  useEffect(() => {
    let over = false, timer = 0;
    const turn = async () => {
      if (document.visibilityState === "visible") await ask();
      if (!over) timer = setTimeout(turn, LOOK_EVERY);
    };
    turn();
    return () => ((over = true), clearTimeout(timer));
  }, []);
}

/** The last job, and how it went. @param {{run: any, now: number}} props */
function LastJob({ run, now }) {
  if (!run) return html`<p class="sub">It has made no job yet.</p>`;
  const id = run.job_id;
  return html`<p class="sub">last job, due ${ago(run.due_at, now)}: ${run.status ? html`<a href=${`#/jobs/${id}`}>${id}</a> <${State} of=${run} />` : html`${id}, which is no longer known`}</p>`;
}

/** When it is due next, or why it is not. */
function Next({ schedule, now }) {
  if (schedule.state === "stopped") return html`<p class="sub">${schedule.message}</p>`;
  if (!schedule.next_at) return html`<p class="sub">It makes no clones until it is resumed; what is due meanwhile is not made up for.</p>`;
  const left = (Date.parse(schedule.next_at) - now) / 1000;
  return html`<p class="sub">next <time datetime=${schedule.next_at}>${momentIn(schedule.next_at, schedule.timezone)}</time>, ${left > 0 ? `in ${span(left > 60 ? left - (left % 60) : left)}` : "now"}</p>`;
}

function Schedule({ schedule, now, may, onChange }) {
  const [doing, setDoing] = useState("");
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const id = schedule.schedule_id;
  const name = schedule.name ?? site(schedule.source_url);
  const [word, tone, icon] = TONES[schedule.state];
  const turn = schedule.state === "active" ? ["Pause", "pause", "paused"] : ["Resume", "resume", "resumed"];
  const go = () => post(`/schedules/${id}/${turn[1]}`).then(() => (setProblem(null), announce(`${name} is ${turn[2]}`)), setProblem).then(onChange);
  const remove = async () => {
    await call("DELETE", `/schedules/${id}`);
    announce(`${name} is removed`);
    onChange();
  };
  return html`<li class="card">
    <div class="row between"><h3>${name}</h3><span class=${`state ${tone}`}><${Icon} name=${icon} />${word}</span></div>
    <p class="sub">${schedule.name && `${site(schedule.source_url)} · `}<code>${schedule.cron}</code> in ${schedule.timezone} · ${schedule.clone_id ? html`refreshes <a href=${`#/jobs/${schedule.clone_id}`}>${schedule.clone_id}</a>${schedule.overwrite && ", what was edited in it goes"}` : `each clone kept for ${span(schedule.ttl_minutes * 60)}`}${schedule.priority && ` · ${schedule.priority} priority`} · <code>${id}</code></p>
    <${Next} schedule=${schedule} now=${now} />
    <${LastJob} run=${schedule.last_run} now=${now} />
    ${schedule.last_skip && html`<p class="sub">skipped ${plural(schedule.skips, "time")}, the last ${ago(schedule.last_skip.due_at, now)}: ${schedule.last_skip.message}</p>`}
    <${Trouble} problem=${problem} />
    <div class="row wrap"><a class="button small" href=${`#/jobs?q=${id}`} aria-label=${`Jobs of ${name}`}>Jobs</a>
      ${may && html`<button type="button" class="small" aria-label=${`${turn[0]} ${name}`} onClick=${go}>${turn[0]}</button>
      <button type="button" class="small" aria-label=${`Change ${name}`} aria-expanded=${doing === "change"} onClick=${() => setDoing(doing === "change" ? "" : "change")}>Change</button>
      <button type="button" class="small danger" aria-label=${`Remove ${name}`} onClick=${() => setDoing("remove")}>Remove</button>`}</div>
    ${doing === "change" && html`<${ScheduleForm} schedule=${schedule} onLeave=${() => setDoing("")} onMade=${() => (setDoing(""), announce(`${name} is changed`), onChange())} />`}
    ${doing === "remove" && html`<${Confirm} title=${`Remove ${name}?`} yes="Remove" onYes=${remove} onNo=${() => setDoing("")}>No more clones are made, and the site’s login is forgotten. Jobs and clones it made stay.<//>`}
  </li>`;
}

/** @param {{session: any}} props */
export function Schedules({ session }) {
  const [schedules, setSchedules] = useState(/** @type {any[] | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [making, setMaking] = useState(false);
  const now = useNow(LOOK_EVERY);
  const may = session.scope !== "read";
  const look = () => get("/schedules").then((found) => (setSchedules(found.schedules), setProblem(null)), setProblem);
  useAgain(look);
  return html`<div class="row between"><h2>Schedules</h2>${may && !making && html`<button type="button" class="primary" onClick=${() => setMaking(true)}>New schedule</button>`}</div>
    <${Trouble} problem=${problem} />
    ${making && html`<${ScheduleForm} onLeave=${() => setMaking(false)} onMade=${() => (setMaking(false), announce("The schedule is made"), look())} />`}
    ${schedules === null ? !problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : schedules.length === 0 ? html`<div class="empty small"><h3>No schedules yet</h3><p>A site is cloned again and again, every night for example. ${may ? "Make one here, or with" : "Whoever has a key that may submit makes one here, or with"}</p><p><code>${COMMAND.map((words) => html`<span>${words}</span> `)}</code></p></div>`
    : html`<ul class="stack" aria-label="Schedules">${schedules.map((schedule) => html`<${Schedule} key=${schedule.schedule_id} schedule=${schedule} now=${now} may=${may} onChange=${look} />`)}</ul>`}`;
}
