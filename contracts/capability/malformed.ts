/** The fault of a capability that cannot be read, or cannot be made. */

export type CapabilityFault =
  | 'capability.malformed'
  | 'capability.version'
  | 'capability.signature'
  | 'capability.unknown_caveat';

/** A text that is no capability, or caveats and claims that make none. `detail` is for operators. */
export class MalformedCapability extends Error {
  override readonly name = 'MalformedCapability';
  readonly code: CapabilityFault;
  readonly detail: string;

  constructor(code: CapabilityFault, detail: string) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
  }
}
