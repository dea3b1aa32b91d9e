// All clones that exist.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { get } from "./api.js";
import { ago, plural, site } from "./format.js";
import { CloneActions } from "./clone.js";
import { live } from "./live.js";
import { Countdown, Freshness, Icon, State, useNow } from "./parts.js";
import { Boat } from "./rows.js";

function useClones() {
  const [clones, setClones] = useState(/** @type {Map<string, any> | null} */ (null));
  useEffect(() => {
    const put = (found) => setClones((known) => new Map([...(known ?? []), ...found.map((clone) => [clone.clone_id, clone])]));
    return live.watch({ list: "clones" }, {
      onSnap: ({ clones: found }) => setClones(new Map(found.map((clone) => [clone.clone_id, clone]))),
      onEvent: ({ event }) => put([event.clone]),
      poll: async () => put((await get("/clones?limit=100")).clones),
    });
  }, []);
  return clones && [...clones.values()].filter((clone) => clone.state !== "deleted").sort((a, b) => (a.clone_id < b.clone_id ? 1 : -1));
}

export function Clones() {
  const clones = useClones();
  const now = useNow(10_000);
  return html`<div class="head"><h1>Clones</h1><${Freshness} /></div>
    ${clones === null ? html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : clones.length === 0 ? html`<div class="empty"><${Boat} /><h2>No clones yet</h2><p>When a job completes, its clone is here until its time is up.</p><p><a class="button primary" href="#/">Clone a site</a></p></div>`
    : html`<p class="lead">${plural(clones.length, "clone")}, each with its own database, files and address.</p>
      <ul class="clones">${clones.map((clone) => html`<li class="card" key=${clone.clone_id}>
        <div class="row between"><h2><a href=${`#/jobs/${clone.clone_id}`}>${clone.name ?? site(clone.source_url)}</a></h2><${State} of=${{ state: clone.state }} /></div>
        <p class="sub">${clone.name ? `${site(clone.source_url)} · ` : ""}made ${ago(clone.created_at, now)}</p>
        <p class="expiry"><${Countdown} until=${clone.expires_at} /></p>
        ${clone.state === "active" && html`<div class="row wrap"><a class="button" href=${clone.clone_url} target="_blank" rel="noopener">Open<${Icon} name="open" /></a><span class="push"></span><${CloneActions} clone=${clone} /></div>`}
      </li>`)}</ul>`}`;
}
