// Settings: API keys, webhooks, schedules, what forms begin with, and who did what.

import { html, useEffect } from "../vendor/preact-htm.js";
import { ApiKeys } from "./apikeys.js";
import { Audit } from "./audit.js";
import { Defaults } from "./defaults.js";
import { Webhooks } from "./hooks.js";
import { Schedules } from "./schedules.js";

/** By the second word of the address: its name, and whether it is for administrators. */
const SECTIONS = { keys: ["API keys", true], webhooks: ["Webhooks", false], schedules: ["Schedules", false], defaults: ["Defaults", true], audit: ["Audit log", true] };

const PAGES = { keys: ApiKeys, webhooks: Webhooks, schedules: Schedules, defaults: Defaults, audit: Audit };

/** @param {{section?: string, session: any}} props */
export function Settings({ section, session }) {
  const admin = session.scope === "admin";
  const shown = Object.entries(SECTIONS).filter(([, [, needed]]) => admin || !needed);
  const here = shown.some(([name]) => name === section) ? section : shown[0][0];
  useEffect(() => void (document.title = `${SECTIONS[here][0]} · Siteferry`), [here]);
  return html`<div class="head"><h1>Settings</h1></div>
    <nav class="tabs" aria-label="Settings">${shown.map(([name, [text]]) => html`<a href=${`#/settings/${name}`} aria-current=${name === here ? "page" : undefined}>${text}</a>`)}</nav>
    <div class="settings"><${PAGES[here]} session=${session} /></div>`;
}
