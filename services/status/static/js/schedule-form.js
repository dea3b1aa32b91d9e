// Have a site cloned again and again: a new schedule, or another one in place of it.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { call, get, post, wrongFields } from "./api.js";
import { optionsInWords } from "./format.js";
import { chosen, DOORS, Doors, missing, throughDoors, WayIn } from "./login.js";
import { Field, lifetimes, PRIORITIES, Trouble } from "./parts.js";
import { siteAddress } from "./site-address.js";

const ZONES = Intl.supportedValuesOf?.("timeZone") ?? [];
const EMPTY = { source_url: "", cron: "30 2 * * *", timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", ttl_minutes: 1440, priority: "", name: "" };

/** @param {any} schedule @returns {typeof EMPTY} what the form has of it: never its login, which nobody is shown */
const asItIs = (schedule) => ({ ...EMPTY, ...Object.fromEntries(Object.keys(EMPTY).map((name) => [name, schedule[name] ?? ""])) });

/**
 * @param {any} values @param {boolean} byKey @param {any} options
 * @param {any} refreshed the schedule it takes the place of, if that refreshes a clone, which keeps its name, end and options
 * @returns {any} the body of POST /schedules
 */
function wished(values, byKey, options, refreshed) {
  const { name, priority, ttl_minutes, ...rest } = throughDoors(chosen(values, byKey));
  const clone = { ttl_minutes: Number(ttl_minutes), ...(name.trim() && { name: name.trim() }), ...(options && { options }) };
  return {
    ...rest,
    source_url: siteAddress(values.source_url).address,
    cron: values.cron.trim(),
    timezone: values.timezone.trim(),
    ...(priority && { priority }),
    ...(refreshed ? { clone_id: refreshed.clone_id, overwrite: refreshed.overwrite } : clone),
  };
}

/** @param {{schedule?: any, onMade: (schedule: any) => void, onLeave: () => void}} props with a schedule: what takes its place */
export function ScheduleForm({ schedule, onMade, onLeave }) {
  const [values, setValues] = useState({ ...(schedule ? asItIs(schedule) : EMPTY), username: "", password: "", pairing_key: "", ...DOORS });
  const [options, setOptions] = useState(/** @type {any} */ (schedule?.options ?? null));
  const [errors, setErrors] = useState(/** @type {Record<string, string>} */ ({}));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [byKey, setByKey] = useState(false);
  const id = (name) => `${schedule?.schedule_id ?? "schedule"}-${name}`;
  const refreshed = schedule?.clone_id ? schedule : null;
  const words = options && !refreshed ? optionsInWords(options) : "";
  useEffect(() => {
    document.getElementById(id(schedule ? "username" : "source_url")).focus();
    if (schedule) return;
    get("/defaults").then((found) => {
      setOptions(found.options);
      setValues((known) => ({ ...known, ttl_minutes: found.ttl_minutes ?? known.ttl_minutes, priority: found.priority ?? known.priority }));
    }, () => {}); // without them it begins as it always does
  }, []);

  const input = (name, more = {}) => ({
    id: id(name),
    name,
    value: values[name],
    "aria-invalid": errors[name] ? "true" : undefined,
    "aria-describedby": `${id(name)}-help`,
    onInput: (event) => (setValues({ ...values, [name]: event.target.value }), errors[name] && setErrors({ ...errors, [name]: "" })),
    ...more,
  });
  const submit = async (event) => {
    event.preventDefault();
    const wrong = missing(chosen(values, byKey));
    setErrors(wrong);
    const first = Object.keys(values).find((name) => name in wrong);
    if (first) return document.getElementById(id(first)).focus();
    setBusy(true);
    setProblem(null);
    try {
      const body = wished(values, byKey, options, refreshed);
      onMade(await (schedule ? call("PUT", `/schedules/${schedule.schedule_id}`, body) : post("/schedules", body)));
    } catch (error) {
      setErrors(wrongFields(error));
      setProblem(error);
      setBusy(false);
    }
  };

  const plain = { required: true, autocomplete: "off", autocapitalize: "none", spellcheck: false };
  return html`<form class=${schedule ? "again" : "card"} novalidate aria-label=${schedule ? `Change ${schedule.schedule_id}` : "New schedule"} onSubmit=${submit}>
    <${Field} name=${id("source_url")} label="Site address" error=${errors.source_url}><input ...${input("source_url", { ...plain, type: "url", inputmode: "url", placeholder: "https://example.com" })} /><//>
    <${WayIn} input=${input} id=${id} errors=${errors} byKey=${byKey} onSwitch=${() => setByKey(!byKey)} />
    <p class="hint">${byKey ? "A pairing key ends on the day wp-admin shows; give the schedule a new one before." : "Kept, sealed, until the schedule is removed or changed."} ${schedule && "The one it had is forgotten."}</p>
    <${Doors} input=${input} id=${id} errors=${errors} />
    <div class="pair"><${Field} name=${id("cron")} label="When" hint="Minute, hour, day of the month, month, day of the week: 30 2 * * 1-5. Or @daily, @weekly." error=${errors.cron}><input ...${input("cron", { ...plain, maxlength: 200 })} /><//>
      <${Field} name=${id("timezone")} label="Time zone" hint="Like Europe/Berlin." error=${errors.timezone}><input ...${input("timezone", { ...plain, maxlength: 60, list: id("zones") })} /><//></div>
    <datalist id=${id("zones")}>${ZONES.map((zone) => html`<option value=${zone} />`)}</datalist>
    <div class="pair">${!refreshed && html`<${Field} name=${id("ttl_minutes")} label="Keep each clone for" error=${errors.ttl_minutes}><select ...${input("ttl_minutes")}>${lifetimes(values.ttl_minutes).map(([minutes, text]) => html`<option value=${minutes}>${text}</option>`)}</select><//>`}
      <${Field} name=${id("priority")} label="Priority" error=${errors.priority}><select ...${input("priority")}><option value="">As the key has it</option>${PRIORITIES.map(([lane, text]) => html`<option value=${lane}>${text}</option>`)}</select><//></div>
    ${!refreshed && html`<${Field} name=${id("name")} label=${html`Name <span class="optional">optional</span>`} error=${errors.name}><input ...${input("name", { maxlength: 120, autocomplete: "off", placeholder: "Shop, every night" })} /><//>`}
    ${words && html`<p class="hint">${schedule ? "As before" : "From your defaults"}: ${words}.</p>`}
    <${Trouble} problem=${problem} />
    <div class="row"><button class="primary" disabled=${busy}>${schedule ? "Change it" : "Make the schedule"}</button><button type="button" class="quiet" onClick=${onLeave}>Leave it</button></div>
  </form>`;
}
