// The way into a site: an administrator's login, or a pairing key.

import { html } from "../vendor/preact-htm.js";
import { Field } from "./parts.js";

const HELP = html`Install <a href="/connector.zip" download>the connector</a> in wp-admin (Plugins, Add New, Upload) and copy the key it shows under Tools, Siteferry.`;

/**
 * @param {{input: (name: string, more: object) => object, id?: (name: string) => string, errors?: Record<string, string>, byKey: boolean, onSwitch: () => void}} props
 *   `input` gives the attributes of a field, `id` its id
 */
export function WayIn({ input, id = (name) => name, errors = {}, byKey, onSwitch }) {
  const secret = { type: "password", autocomplete: "off", required: true, spellcheck: false };
  return html`
    ${byKey ? html`<${Field} name=${id("pairing_key")} label="Pairing key" hint=${HELP} error=${errors.pairing_key}><input ...${input("pairing_key", secret)} /><//>`
    : html`<div class="pair">
        <${Field} name=${id("username")} label="Administrator" error=${errors.username}>
          <input ...${input("username", { autocomplete: "off", autocapitalize: "none", spellcheck: false, required: true })} /><//>
        <${Field} name=${id("password")} label="Password" error=${errors.password}><input ...${input("password", secret)} /><//>
      </div>`}
    <button type="button" class="switch" onClick=${onSwitch}>${byKey ? "Sign in with a password instead" : "Two-factor or captcha? Use a pairing key"}</button>`;
}

/** @param {any} values of a form @param {boolean} byKey @returns {any} them without the way in that was not chosen */
export function chosen({ username, password, pairing_key: key, ...rest }, byKey) {
  return { ...rest, ...(byKey ? { pairing_key: key.trim() } : { username, password }) };
}
