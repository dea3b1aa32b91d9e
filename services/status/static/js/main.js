// The dashboard: which page is shown, and what is around it.

import { html, render, useEffect, useState } from "../vendor/preact-htm.js";
import { read } from "./address.js";
import { BatchPage } from "./batch.js";
import { Batches } from "./batches.js";
import { Clones } from "./clones.js";
import { Home } from "./home.js";
import { JobPage } from "./job.js";
import { Icon } from "./parts.js";
import { Boat } from "./rows.js";
import { Snapshots } from "./snapshots.js";
import { Statistics } from "./statistics.js";
import { SignedIn, SignIn, useSession } from "./session.js";
import { Settings } from "./settings.js";

const THEMES = ["light dark", "light", "dark"];
const THEME_WORDS = { "light dark": "as the system", light: "light", dark: "dark" };

/** @param {string} theme a value of the CSS property color-scheme */
function useTheme() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? THEMES[0]);
  useEffect(() => {
    document.documentElement.style.colorScheme = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  return [theme, () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length])];
}

/** Pages by the first word behind the `#`, and which of them a second word leads on. */
const PAGES = {
  "": (_, session) => html`<${Home} session=${session} />`,
  jobs: (id, session) => (id ? html`<${JobPage} key=${id} id=${id} />` : html`<${Home} session=${session} />`),
  batches: (id) => (id ? html`<${BatchPage} key=${id} id=${id} />` : html`<${Batches} />`),
  clones: (id) => (id ? html`<${NotFound} />` : html`<${Clones} />`),
  snapshots: (id) => (id ? html`<${NotFound} />` : html`<${Snapshots} />`),
  settings: (id, session) => html`<${Settings} section=${id} session=${session} />`,
  statistics: (id, session) => (id ? html`<${NotFound} />` : html`<${Statistics} session=${session} />`),
};

function NotFound() {
  useEffect(() => void (document.title = "Not found · Siteferry"), []);
  return html`<div class="empty"><${Boat} /><h1>There is no such page</h1><p>The address may be mistyped, or from another version.</p><p><a class="button primary" href="#/">To all jobs</a></p></div>`;
}

const LINKS = [["", "Jobs"], ["batches", "Batches"], ["clones", "Clones"], ["snapshots", "Snapshots"], ["statistics", "Statistics"], ["settings", "Settings"]];

function Navigation({ page }) {
  const here = (name) => (page === name || (name === "" && page === "jobs") ? "page" : undefined);
  return html`<nav aria-label="Main">${LINKS.map(([name, text]) => html`<a href=${`#/${name}`} aria-current=${here(name)}>${text}</a>`)}<a href="/docs">API</a></nav>`;
}

function App() {
  const [{ page, id }, setRoute] = useState(read());
  const [theme, nextTheme] = useTheme();
  const [session, setSession] = useSession();
  useEffect(() => {
    let before = location.hash.split("?")[0];
    const moved = () => {
      const path = location.hash.split("?")[0];
      if (path === before) return; // another look at the same list
      before = path;
      setRoute(read());
      scrollTo(0, 0);
      document.title = "Siteferry";
      document.getElementById("main").focus({ preventScroll: true });
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const shown = Object.hasOwn(PAGES, page) ? PAGES[page] : () => html`<${NotFound} />`;
  return html`
    <header class="top"><div class="inner">
      <a class="brand" href="#/"><img src="/assets/icon.svg" alt="" width="28" height="28" />Siteferry</a>
      ${session ? html`<${Navigation} page=${page} />` : html`<span class="push"></span>`}
      ${session && html`<${SignedIn} session=${session} onDone=${setSession} />`}
      <button type="button" class="quiet round" aria-label=${`Colours: ${THEME_WORDS[theme]}. Change`} title=${`Colours: ${THEME_WORDS[theme]}`} onClick=${nextTheme}><${Icon} name="theme" /></button>
    </div></header>
    <main id="main" tabindex="-1">
      ${session === null ? html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
      : session === false ? html`<${SignIn} onDone=${setSession} />`
      : shown(id, session)}
    </main>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
