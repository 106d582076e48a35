/** A builtin has no value for its operands: what the Go evaluator calls an error of the builtin, and undefined. */
export class NoValue extends Error {
  override readonly name = 'NoValue';
}
