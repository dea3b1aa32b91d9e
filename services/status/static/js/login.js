// The way into a site: an administrator's login, or a pairing key, and what stands before it.

import { html, useState } from "../vendor/preact-htm.js";
import { Field } from "./parts.js";
import { siteAddress } from "./site-address.js";

/** What is wrong with what was typed, by field; empty for nothing. @type {Record<string, (value: string) => string>} */
export const CHECKS = {
  source_url: (value) => siteAddress(value).wrong,
  username: (value) => (value.trim() ? "" : "Enter an administrator of the site"),
  password: (value) => (value ? "" : "Enter that administrator’s password"),
  pairing_key: (value) => (value.trim() ? "" : "Enter the key the connector shows"),
};

/** @param {any} values of a form, without the way in that was not chosen @returns {Record<string, string>} what is wrong with them */
export const missing = (values) => Object.fromEntries(Object.keys(values).map((name) => [name, CHECKS[name]?.(values[name])]).filter(([, text]) => text));

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

export const DOORS = { login_url: "", basic_user: "", basic_password: "" };

/**
 * What most sites have not: a login page somewhere else, a password of the web server.
 * @param {{input: (name: string, more: object) => object, id?: (name: string) => string, errors?: Record<string, string>}} props
 */
export function Doors({ input, id = (name) => name, errors = {} }) {
  const free = { required: false, autocomplete: "off", autocapitalize: "none", spellcheck: false };
  const [open, setOpen] = useState(false);
  return html`<details class="more" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>Hidden login page, or a password of the web server</summary>
    ${open && html`<${Field} name=${id("login_url")} label="Where people sign in" hint="If that is not /wp-login.php: an address, or a path." error=${errors.login_url}>
      <input ...${input("login_url", { ...free, placeholder: "/my-login" })} /><//>
    <div class="pair">
      <${Field} name=${id("basic_user")} label="Web server’s user" error=${errors.basic_auth}><input ...${input("basic_user", free)} /><//>
      <${Field} name=${id("basic_password")} label="Its password"><input ...${input("basic_password", { ...free, type: "password" })} /><//>
    </div>
    <p class="hint">What a browser asks for before the site shows anything (basic authentication).</p>`}
  </details>`;
}

/** @param {any} values of a form with `Doors` @param {string} [prefix] of the request's fields @returns {any} the request's part */
export function throughDoors({ login_url: url, basic_user: user, basic_password: password, ...rest }, prefix = "") {
  return {
    ...rest,
    ...(url.trim() && { [`${prefix}login_url`]: url.trim() }),
    ...(user.trim() && { [`${prefix}basic_auth`]: { username: user.trim(), password } }),
  };
}

/** @param {any} values of a form @param {boolean} byKey @returns {any} them without the way in that was not chosen */
export function chosen({ username, password, pairing_key: key, ...rest }, byKey) {
  return { ...rest, ...(byKey ? { pairing_key: key.trim() } : { username, password }) };
}
