/** What a builtin may take its operands for. Anything else has no value, as an operand error of the Go evaluator. */
import { NoValue } from './no-value.ts';
import { Decimal, isList, type Rego, RegoObject, RegoSet } from './values.ts';

export function text(value: Rego | undefined): string {
  if (typeof value !== 'string') throw new NoValue('operand must be a string');
  return value;
}

export function list(value: Rego | undefined): readonly Rego[] {
  if (value === undefined || !isList(value)) throw new NoValue('operand must be an array');
  return value;
}

/** Items of an array or a set. */
export function items(value: Rego | undefined): readonly Rego[] {
  return value instanceof RegoSet ? value.items : list(value);
}

export function object(value: Rego | undefined): RegoObject {
  if (!(value instanceof RegoObject)) throw new NoValue('operand must be an object');
  return value;
}

/** An integer that is written as one and fits a machine word. */
export function integer(value: Rego | undefined): number {
  if (typeof value === 'bigint' && value >= -(2n ** 63n) && value < 2n ** 63n) return Number(value);
  if (value instanceof Decimal && /^-?\d+\.0+$/.test(value.text)) return Number(value.text);
  throw new NoValue('operand must be an integer');
}
