/**
 * The builtins that this host answers, because OPA's WASM does not bring them or answers otherwise (redirect.ts).
 * Their names are part of what a policy may use (capabilities.ts), their answers equal the Go evaluator's
 * (test/service/policy/parity.test.ts).
 */
import { ARITHMETIC_BUILTINS } from './arithmetic.ts';
import { DATA_BUILTINS } from './builtins-data.ts';
import { JWT_BUILTINS } from './builtins-jwt.ts';
import { NET_BUILTINS } from './builtins-net.ts';
import { REGEX_BUILTINS } from './builtins-regex.ts';
import { STRUCTURE_BUILTINS } from './builtins-structure.ts';
import { TEXT_BUILTINS } from './builtins-text.ts';
import { TIME_BUILTINS } from './builtins-time.ts';
import { UNIT_BUILTINS } from './builtins-units.ts';
import { FORMAT_BUILTINS } from './format.ts';
import type { Rego } from './values.ts';

/** What every builtin of one evaluation sees as now: the recorded time of the decision. */
export interface DecisionClock {
  timeMs: number;
}

/** `undefined` is Rego's undefined; whatever is thrown, a NoValue too, refuses the call. */
export type Builtin = (operands: readonly Rego[], clock: DecisionClock) => Rego | undefined;

const BUILTINS: Readonly<Record<string, Builtin>> = {
  ...ARITHMETIC_BUILTINS,
  ...DATA_BUILTINS,
  ...FORMAT_BUILTINS,
  ...JWT_BUILTINS,
  ...NET_BUILTINS,
  ...REGEX_BUILTINS,
  ...STRUCTURE_BUILTINS,
  ...TEXT_BUILTINS,
  ...TIME_BUILTINS,
  ...UNIT_BUILTINS,
};

/** Names of the builtins that this host adds. */
export const HOST_BUILTINS: readonly string[] = Object.keys(BUILTINS).sort();

/**
 * A builtin could not answer. The evaluation counts as failed, although OPA would leave the rule undefined: it could be
 * one that refuses.
 */
export class BuiltinFailure extends Error {
  override readonly name = 'BuiltinFailure';
}

/** The builtins bound to one clock. */
export function bindBuiltins(
  clock: DecisionClock,
): Readonly<Record<string, (operands: readonly Rego[]) => Rego | undefined>> {
  const bound: Record<string, (operands: readonly Rego[]) => Rego | undefined> = {};
  for (const [name, builtin] of Object.entries(BUILTINS)) {
    bound[name] = (operands) => {
      try {
        return builtin(operands, clock);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : 'unknown fault';
        throw new BuiltinFailure(`${name}: ${why}`, { cause });
      }
    };
  }
  return bound;
}
