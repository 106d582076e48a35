/** A builtin has no value for its operands: what the Go evaluator calls an error of the builtin. */
export class NoValue extends Error {
  override readonly name = 'NoValue';
}

/** What `ask` gives, or undefined where it has no value: for the functions whose error means only that. */
export function orUndefined<Value>(ask: () => Value): Value | undefined {
  try {
    return ask();
  } catch (fault) {
    if (fault instanceof NoValue) return undefined;
    throw fault;
  }
}
