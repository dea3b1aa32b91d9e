// All clones that exist.

import { html } from "../vendor/preact-htm.js";
import { useQuery } from "./address.js";
import { ago, plural, site } from "./format.js";
import { CloneActions } from "./clone.js";
import { useFound } from "./found.js";
import { Search, Sorting } from "./joblist.js";
import { Many, cloneDeeds } from "./many.js";
import { Countdown, Freshness, Icon, State, Trouble, useNow } from "./parts.js";
import { Boat } from "./rows.js";
import { Windowed } from "./windowed.js";

const SORTS = [["", "Newest first"], ["oldest", "Oldest first"], ["ends", "Ending first"], ["name", "By name"]];

function Card({ clone, now }) {
  return html`<div class="card">
    <div class="row between"><h2><a href=${`#/jobs/${clone.clone_id}`}>${clone.name ?? site(clone.source_url)}</a></h2><${State} of=${{ state: clone.state }} /></div>
    <p class="sub">${clone.name ? `${site(clone.source_url)} · ` : ""}made ${ago(clone.created_at, now)}</p>
    <p class="expiry"><${Countdown} until=${clone.expires_at} /></p>
    ${clone.state === "active" && html`<div class="row wrap"><a class="button" href=${clone.clone_url} target="_blank" rel="noopener">Open<${Icon} name="open" /></a><span class="push"></span><${CloneActions} clone=${clone} /></div>`}
  </div>`;
}

/** @param {URLSearchParams} look of the address @returns {string} the same as GET /clones takes it */
function asked(look) {
  const wish = new URLSearchParams();
  for (const name of ["q", "sort"]) if (look.get(name)) wish.set(name, look.get(name) ?? "");
  return wish.toString();
}

export function Clones() {
  const [look, change] = useQuery();
  const found = useFound("clones", asked(look));
  const now = useNow(10_000);
  const draw = (at) => {
    const clone = found.at(at);
    return clone ? html`<${Card} key=${clone.clone_id} clone=${clone} now=${now} />` : html`<div class="card ghost"><span></span><span></span></div>`;
  };
  const { total } = found;
  return html`<div class="head"><h1>Clones</h1><${Freshness} /></div>
    <${Trouble} problem=${found.problem} />
    ${total === null ? !found.problem && html`<div class="loading" aria-busy="true"><${Icon} name="spinner" /> Loading</div>`
    : total === 0 && !look.get("q") ? html`<div class="empty"><${Boat} /><h2>No clones yet</h2><p>When a job completes, its clone is here until its time is up.</p><p><a class="button primary" href="#/">Clone a site</a></p></div>`
    : html`<p class="lead">${plural(total, "clone")}${look.get("q") ? " found" : ", each with its own database, files and address"}.</p>
      <div class="tools"><${Sorting} label="Order of the clones" sorts=${SORTS} value=${look.get("sort") ?? ""} onChange=${(sort) => change({ sort })} />
        <${Search} label="Search clones" value=${look.get("q") ?? ""} onChange=${(q) => change({ q }, false)} /></div>
      <${Many} deeds=${cloneDeeds(look.get("q"), total)} />
      ${total ? html`<${Windowed} name="clones" label="Clones" total=${total} draw=${draw} onSee=${found.look} />`
        : html`<div class="empty small"><h2>Nothing matches</h2><p>No clone fits this search.</p></div>`}`}`;
}
