/** The field of a form for a one-time code. */
import { html, type Html, NOTHING } from '#host/html.ts';

/** @param note stands below it */
export const codeField = (note: Html = NOTHING): Html =>
  html`<div class="field">
    <label for="code">Code from your authenticator app</label>
    <input
      class="code"
      id="code"
      name="code"
      inputmode="numeric"
      autocomplete="one-time-code"
      pattern="[0-9 ]{6,7}"
      required
    />
    ${note}
  </div>`;
