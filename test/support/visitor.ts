// A person at the pages without a browser: a cookie, forms as a page has them, answers as they come.

import { fromBase32, totpCode, totpStep } from '#contracts/totp.ts';

export interface Page {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface Visitor {
  readonly get: (path: string) => Promise<Page>;
  /** Sends fields with the token of the last page that had one. */
  readonly post: (
    path: string,
    fields: Readonly<Record<string, string>>,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Page>;
  readonly cookie: () => string;
  readonly setCookie: (value: string) => void;
  readonly formToken: () => string;
}

export function visitor(base: string): Visitor {
  let cookie = '';
  let formToken = '';
  const take = async (response: Response): Promise<Page> => {
    const set = response.headers.get('set-cookie');
    if (set !== null) cookie = set.split(';')[0] ?? '';
    const text = await response.text();
    formToken = valueOf(text, 'form') || formToken;
    return { status: response.status, headers: response.headers, text };
  };
  return {
    get: async (path) =>
      take(await fetch(new URL(path, base), { headers: { cookie }, redirect: 'manual' })),
    post: async (path, fields, headers = {}) =>
      take(
        await fetch(new URL(path, base), {
          method: 'POST',
          headers: { cookie, ...headers },
          body: new URLSearchParams({ form: formToken, ...fields }),
          redirect: 'manual',
        }),
      ),
    cookie: () => cookie,
    setCookie: (value) => (cookie = value),
    formToken: () => formToken,
  };
}

/** Value of a hidden field of a page, '' for none. */
export const valueOf = (text: string, name: string): string =>
  new RegExp(`name="${name}"\\s+value="([^"]*)"`).exec(text)?.[1] ?? '';

/** A person's next codes: each call gives one that was not given before, within the tolerance of a clock. */
export function codesOf(secret: string): () => Promise<string> {
  const bytes = fromBase32(secret) ?? new Uint8Array();
  let last = 0;
  return async () => {
    // The period before, this one and the next are good: three codes without a wait.
    while (last >= totpStep(Date.now()) + 1) await new Promise((wake) => setTimeout(wake, 250));
    last = Math.max(last + 1, totpStep(Date.now()) - 1);
    return totpCode(bytes, last);
  };
}
