// A secret that is shown once.

import { html, useEffect, useRef } from "../vendor/preact-htm.js";
import { Copy, Icon } from "./parts.js";

/** @param {{title: string, secret: string, children?: any, onDone: () => void}} props */
export function Once({ title, secret, children, onDone }) {
  const box = useRef(/** @type {any} */ (null));
  useEffect(() => box.current.focus(), []);
  return html`<section class="card result once" ref=${box} tabindex="-1" aria-labelledby="once-title">
    <h2 id="once-title"><${Icon} name="check" />${title}</h2>
    <p class="hint">${children} It is not shown again.</p>
    <div class="row wrap"><code class="secret" data-secret>${secret}</code><${Copy} text=${secret} label="Copy the secret">Copy<//></div>
    <div class="row"><button type="button" class="primary" onClick=${onDone}>I have kept it</button></div>
  </section>`;
}
