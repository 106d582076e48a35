/**
 * Evaluates a compiled policy in this process. Whatever is not one well-formed answer is a refusal with its own
 * code; nothing throws. Time is not limited here: a rule that allocates runs out of memory within some 100 ms,
 * one that only computes is ended by the worker's watchdog or, for drafts, by thread.ts.
 */
import { parsePolicyOutput, type PolicyOutput } from '#contracts/policy.ts';

import { BuiltinFailure } from './builtins.ts';
import { type Bundle, PolicyBundleError } from './bundle.ts';
import { type Instance, instantiate, ModuleAbort, write } from './host.ts';

export type EvaluationCode =
  | 'policy.error'
  | 'policy.undefined'
  | 'policy.wrong_shape'
  | 'policy.builtin'
  | 'policy.memory';

/** One answer. `detail` is the operator's: it may quote the policy, never show it to a caller. */
export type Evaluation =
  | { readonly ok: true; readonly output: PolicyOutput }
  | { readonly ok: false; readonly code: EvaluationCode; readonly detail: string };

export interface LoadedPolicy {
  /**
   * The decision of this policy for one input. Synchronous, deterministic in its arguments, never throws.
   * @param input JSON text of a PolicyInput
   * @param timeMs recorded time of the decision, what `time.now_ns` returns
   */
  readonly evaluate: (input: Uint8Array | string, timeMs: number) => Evaluation;
  /**
   * The value of any entrypoint of the module, undefined when it has none: for tests of policies.
   * Throws what the policy throws.
   */
  readonly evaluateRule: (rule: string, input: Uint8Array | string, timeMs: number) => unknown;
}

export interface MemoryLimit {
  /** Pages of 64 KiB that an evaluation may take beyond the loaded policy. Acts as fuel. Default 1,024 = 64 MiB. */
  readonly memoryPagesMax?: number;
}

const PAGE_BYTES = 65_536;
const MEMORY_PAGES_MAX = 1_024;
/** Parsed data takes up to this many times its JSON text. */
const DATA_EXPANSION = 20;
/** Memory never shrinks: an instance that grew beyond 4 MiB is replaced, so a worker keeps its size. */
const KEEP_PAGES_MAX = 64;
/** Tables and zeroed statics of a module: 5 pages without regular expressions; large policies need more. */
const FIRST_PAGES = 8;
const FIRST_PAGES_MAX = 256;

const encoder = new TextEncoder();

/** A policy ready to evaluate. @throws PolicyBundleError when the module does not load or needs what we lack. */
export async function loadPolicy(
  bundle: Pick<Bundle, 'wasm' | 'data' | 'entrypoint'>,
  { memoryPagesMax = MEMORY_PAGES_MAX }: MemoryLimit = {},
): Promise<LoadedPolicy> {
  const module = await compileModule(bundle.wasm);
  const data = encoder.encode(JSON.stringify(bundle.data));
  const clock = { timeMs: 0 };
  const extraPages = Math.ceil((data.length * DATA_EXPANSION) / PAGE_BYTES) + memoryPagesMax;
  const begin = () => start(module, { data, clock, extraPages });

  let instance: Instance | undefined = begin();
  if (instance.entrypoints[bundle.entrypoint] === undefined) {
    throw new PolicyBundleError('unusable', `no rule ${bundle.entrypoint}`);
  }
  const sizeAtRest = instance.memory.buffer.byteLength;

  const evaluateRule = (rule: string, input: Uint8Array | string, timeMs: number): unknown => {
    clock.timeMs = timeMs;
    const running = (instance ??= begin());
    // Only an evaluation that ended well gives its instance back: an abort may leave anything behind.
    instance = undefined;
    const value = run(running, rule, typeof input === 'string' ? encoder.encode(input) : input);
    if (running.memory.buffer.byteLength <= sizeAtRest + KEEP_PAGES_MAX * PAGE_BYTES) {
      instance = running;
    }
    return value;
  };

  return {
    evaluateRule,
    evaluate: (input, timeMs) => {
      try {
        return judge(evaluateRule(bundle.entrypoint, input, timeMs));
      } catch (fault) {
        return refusal(fault);
      }
    },
  };
}

async function compileModule(wasm: string): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(Buffer.from(wasm, 'base64'));
  } catch (cause) {
    throw new PolicyBundleError('unusable', 'not a WASM module', cause);
  }
}

interface Surroundings {
  readonly data: Uint8Array;
  readonly clock: { readonly timeMs: number };
  readonly extraPages: number;
}

/** How many pages a module starts with stands in its import, which no API shows: try until it fits. */
function start(module: WebAssembly.Module, { extraPages, ...around }: Surroundings): Instance {
  for (let initial = FIRST_PAGES; ; initial *= 2) {
    try {
      return instantiate(module, { ...around, pages: { initial, maximum: initial + extraPages } });
    } catch (cause) {
      if (cause instanceof WebAssembly.LinkError && initial < FIRST_PAGES_MAX) continue;
      if (cause instanceof PolicyBundleError) throw cause;
      throw new PolicyBundleError('unusable', `does not start: ${describe(cause)}`, cause);
    }
  }
}

/** The value of one rule, in an instance that nothing else uses meanwhile. */
function run({ abi, memory, ...policy }: Instance, rule: string, input: Uint8Array): unknown {
  const entrypoint = policy.entrypoints[rule];
  if (entrypoint === undefined) throw new Error(`no rule ${rule}`);
  policy.forget();
  abi.opa_heap_ptr_set(policy.heapStart);
  const value = write(abi, memory, input);
  if (value === 0) throw new Error('the input is not JSON');
  const context = abi.opa_eval_ctx_new();
  abi.opa_eval_ctx_set_input(context, value);
  abi.opa_eval_ctx_set_data(context, policy.dataAddress);
  abi.opa_eval_ctx_set_entrypoint(context, entrypoint);
  if (abi.eval(context) !== 0) throw new Error('the evaluation failed');
  const results = policy.plain(abi.opa_eval_ctx_get_result(context));
  return onlyResult(results as readonly { readonly result: unknown }[]);
}

function onlyResult(results: readonly { readonly result: unknown }[]): unknown {
  if (results.length > 1) throw new Error('more than one result');
  return results[0]?.result;
}

function judge(value: unknown): Evaluation {
  if (value === undefined) return refuse('policy.undefined', 'the rule has no value');
  const parsed = parsePolicyOutput(value);
  return parsed.ok ? parsed : refuse('policy.wrong_shape', parsed.detail);
}

function refusal(fault: unknown): Evaluation {
  const detail = describe(fault);
  if (fault instanceof BuiltinFailure) return refuse('policy.builtin', detail);
  if (fault instanceof ModuleAbort && fault.message.startsWith('opa_malloc'))
    return refuse('policy.memory', detail);
  return refuse('policy.error', detail);
}

const refuse = (code: EvaluationCode, detail: string): Evaluation => ({ ok: false, code, detail });

/** What a thrown thing says; of the module, its own words. */
export function describe(fault: unknown): string {
  if (fault instanceof ModuleAbort) return fault.message;
  return fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
}
