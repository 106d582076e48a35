/**
 * How a person proves who they are. Sessions, roles and pages know only this: single sign-on (OpenID Connect) would be
 * another implementation of it.
 */
export interface SignInMethod {
  /** Proves who signs in. Untrusted: everything. */
  readonly prove: (given: Given, at: number) => Promise<Proof>;
  /** Proves anew, by a second factor, that this is still the operator. Untrusted: the code. */
  readonly stepUp: (operator: string, code: string, at: number) => Promise<Proof>;
}

/** What the sign-in form sends. */
export interface Given {
  readonly name: string;
  readonly password: string;
  readonly code: string;
}

/** refused: something of it is wrong, and nobody is told what. wait: there were too many wrong ones. */
export type Proof =
  | { readonly is: 'proved'; readonly operator: string }
  | { readonly is: 'refused' }
  | { readonly is: 'wait'; readonly ms: number };
