// Signing in with an API key, where there are keys.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { call, get, post, SIGNED_OUT } from "./api.js";
import { live } from "./live.js";
import { announce, Icon, Trouble } from "./parts.js";

/**
 * Who is signed in: null while that is not known, false for nobody.
 * @returns {[{name: string, tenant: string, keys: boolean} | null | false, (session: any) => void]}
 */
export function useSession() {
  const [session, setSession] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const out = () => setSession(false);
    addEventListener(SIGNED_OUT, out);
    enter().then(() => get("/session")).then(
      (found) => setSession(found?.keys === undefined ? { name: "local", tenant: "local", keys: false, scope: "admin", operator: true } : found),
      (problem) => problem.status !== 401 && setSession({ name: "", tenant: "", keys: false }), // the page says by itself that nothing answers
    );
    return () => removeEventListener(SIGNED_OUT, out);
  }, []);
  useEffect(() => {
    if (session) live.start();
    else if (session === false) live.stop();
  }, [session]);
  return [session, setSession];
}

/** Why a link did not sign in: what the sign-in page says first. */
let refused = null;

/** Signs in with the link the page was opened by, if it was. The token leaves the address, used or not. */
async function enter() {
  const link = /^#\/enter\/([\w-]+)$/.exec(location.hash)?.[1];
  if (!link) return;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  await post("/session", { link }).then(() => announce("Signed in"), (problem) => (refused = problem));
}

export function SignIn({ onDone }) {
  const [problem, setProblem] = useState(refused);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    refused = null;
    document.title = "Sign in · Siteferry";
    document.getElementById("api_key").focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const field = document.getElementById("api_key");
    const key = field.value.trim();
    if (!key) return field.focus();
    setBusy(true);
    setProblem(null);
    try {
      const session = await post("/session", { api_key: key });
      field.value = "";
      announce("Signed in");
      onDone(session);
    } catch (error) {
      setProblem(error);
      setBusy(false);
      field.select();
    }
  };
  return html`<section class="card signin" aria-labelledby="signin-title">
    <h1 id="signin-title">Sign in</h1>
    <p class="lead">This Siteferry needs an API key. Paste yours; whoever runs it has it.</p>
    <form onSubmit=${submit} novalidate>
      <input hidden autocomplete="username" value="Siteferry" />
      <div class=${`field ${problem ? "wrong" : ""}`}>
        <label for="api_key">API key</label>
        <input id="api_key" name="api_key" type="password" autocomplete="current-password" spellcheck="false" required aria-invalid=${problem ? "true" : undefined} />
        <p class="hint">It is exchanged for a session of this browser, which ends after 12 hours or when you sign out.</p>
      </div>
      <${Trouble} problem=${problem} />
      <button class="primary wide" disabled=${busy}>${busy ? "Signing in…" : html`Sign in <${Icon} name="arrow" />`}</button>
    </form>
  </section>`;
}

/** The name of whoever is signed in, and the way out. Nothing where there are no keys. */
export function SignedIn({ session, onDone }) {
  if (!session.keys) return null;
  const out = () => call("DELETE", "/session").then(() => onDone(false), () => onDone(false));
  return html`<span class="who" title=${`Tenant: ${session.tenant}`}>${session.name}</span><button type="button" class="quiet" onClick=${out}>Sign out</button>`;
}
