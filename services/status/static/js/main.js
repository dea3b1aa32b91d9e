// The dashboard: which page is shown, and what is around it.

import { html, render, useEffect, useState } from "../vendor/preact-htm.js";
import { BatchPage } from "./batch.js";
import { Batches } from "./batches.js";
import { Clones } from "./clones.js";
import { Home } from "./home.js";
import { JobPage } from "./job.js";
import { Icon } from "./parts.js";
import { Snapshots } from "./snapshots.js";
import { SignedIn, SignIn, useSession } from "./session.js";

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

const route = () => location.hash.replace(/^#\/?/, "").split("/");

function App() {
  const [[page, id], setRoute] = useState(route());
  const [theme, nextTheme] = useTheme();
  const [session, setSession] = useSession();
  useEffect(() => {
    const moved = () => {
      setRoute(route());
      scrollTo(0, 0);
      document.title = "Siteferry";
      document.getElementById("main").focus({ preventScroll: true });
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const here = (name) => (page === name || (name === "" && page === "jobs") ? "page" : undefined);
  return html`
    <header class="top"><div class="inner">
      <a class="brand" href="#/"><img src="/assets/icon.svg" alt="" width="28" height="28" />Siteferry</a>
      <nav aria-label="Main"><a href="#/" aria-current=${here("")}>Jobs</a><a href="#/batches" aria-current=${here("batches")}>Batches</a><a href="#/clones" aria-current=${here("clones")}>Clones</a><a href="#/snapshots" aria-current=${here("snapshots")}>Snapshots</a><a href="/docs">API</a></nav>
      ${session && html`<${SignedIn} session=${session} onDone=${setSession} />`}
      <button type="button" class="quiet round" aria-label=${`Colours: ${THEME_WORDS[theme]}. Change`} title=${`Colours: ${THEME_WORDS[theme]}`} onClick=${nextTheme}><${Icon} name="theme" /></button>
    </div></header>
    <main id="main" tabindex="-1">
      ${session === null ? html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
      : session === false ? html`<${SignIn} onDone=${setSession} />`
      : page === "jobs" && id ? html`<${JobPage} key=${id} id=${id} />`
      : page === "batches" ? (id ? html`<${BatchPage} key=${id} id=${id} />` : html`<${Batches} />`)
      : page === "clones" ? html`<${Clones} />` : page === "snapshots" ? html`<${Snapshots} />` : html`<${Home} />`}
    </main>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
