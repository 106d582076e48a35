/** The form with which a person signs in. */
import { html, type Html, NOTHING } from '#host/html.ts';

import { codeField } from './code-field.ts';

export interface SignInView {
  /** Where to go afterwards. */
  readonly next: string;
  /** What was wrong with the last try. */
  readonly fault: string;
  /** True where the cookie goes over plain HTTP: the local demo. */
  readonly plain: boolean;
}

export const signInView = ({ next, fault, plain }: SignInView): Html =>
  html`<section class="sheet narrow">
    <h1>Sign in</h1>
    ${fault === '' ? NOTHING : html`<p class="notice bad" role="alert">${fault}</p>`}
    <form method="post" action="/sign-in">
      <input type="hidden" name="next" value="${next}" />
      <div class="field">
        <label for="name">Name</label
        ><input
          id="name"
          name="name"
          autocomplete="username"
          autocapitalize="none"
          spellcheck="false"
          maxlength="64"
          required
          autofocus
        />
      </div>
      <div class="field">
        <label for="password">Password</label
        ><input
          id="password"
          name="password"
          type="password"
          autocomplete="current-password"
          maxlength="256"
          required
        />
      </div>
      ${codeField()}
      <button class="main">Sign in</button>
    </form>
    ${plain ? html`<p class="soft small">This is a local demo over plain HTTP on this machine only.</p>` : NOTHING}
  </section>`;
