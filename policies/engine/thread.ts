/**
 * Evaluates policies that nobody has tried yet (drafts, and the trial run of a build) in a thread of their own
 * with a hard stop: terminating it ends even a rule that neither allocates nor returns.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { type Bundle, PolicyBundleError } from './bundle.ts';
import type { Evaluation, MemoryLimit } from './wasm.ts';

export type ThreadEvaluation =
  | Evaluation
  | { readonly ok: false; readonly code: 'policy.runaway'; readonly detail: string };

export interface PolicyThread {
  /** As LoadedPolicy.evaluate, one after the other; a new thread takes over after one that had to be stopped. */
  readonly evaluate: (input: string, timeMs: number) => Promise<ThreadEvaluation>;
  /** As LoadedPolicy.evaluateRule, with what it throws as an answer. */
  readonly evaluateRule: (rule: string, input: string, timeMs: number) => Promise<RuleValue>;
  readonly close: () => Promise<void>;
}

export type RuleValue =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly detail: string };

export interface ThreadLimits extends MemoryLimit {
  /** Milliseconds of the thread's own time for one evaluation. Default 1,000, as the worker's watchdog allows. */
  readonly evaluationMsMax?: number;
}

/** What the thread is started with. */
export interface ThreadStart {
  readonly bundle: Pick<Bundle, 'wasm' | 'data' | 'entrypoint'>;
  readonly limits: MemoryLimit;
}
export interface ThreadQuestion {
  readonly input: string;
  readonly timeMs: number;
  /** Which rule's value; the policy's evaluation without it. */
  readonly rule?: string;
}
export type ThreadAnswer =
  | { readonly kind: 'evaluation'; readonly evaluation: Evaluation }
  | { readonly kind: 'value'; readonly value: RuleValue };
export type ThreadMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unusable'; readonly message: string }
  | ThreadAnswer;

/** Starting takes some 60 ms, with compilation of the largest module under a second; much more on a busy machine. */
const START_MS_MAX = 30_000;

/** A thread with the policy loaded. @throws PolicyBundleError when it does not load */
export async function startPolicyThread(
  { wasm, data, entrypoint }: ThreadStart['bundle'],
  { evaluationMsMax = 1_000, ...limits }: ThreadLimits = {},
): Promise<PolicyThread> {
  const start: ThreadStart = { bundle: { wasm, data, entrypoint }, limits };
  let running: Worker | undefined = await startWorker(start);
  let last: Promise<unknown> = Promise.resolve();

  /** The thread's answer, or undefined when it had to be stopped. */
  const put = async (question: ThreadQuestion): Promise<ThreadMessage | undefined> => {
    const worker = (running ??= await startWorker(start));
    const message = await ask(worker, question, evaluationMsMax);
    if (message === undefined) {
      running = undefined;
      await worker.terminate();
    }
    return message;
  };
  const inTurn = async (question: ThreadQuestion) => {
    const answer = last.then(async () => await put(question));
    last = answer.catch(() => {});
    return await answer;
  };
  const detail = `did not end within ${evaluationMsMax} ms`;

  return {
    evaluate: async (input, timeMs) => {
      const message = await inTurn({ input, timeMs });
      if (message?.kind === 'evaluation') return message.evaluation;
      return { ok: false, code: 'policy.runaway', detail };
    },
    evaluateRule: async (rule, input, timeMs) => {
      const message = await inTurn({ input, timeMs, rule });
      return message?.kind === 'value' ? message.value : { ok: false, detail };
    },
    close: async () => {
      await last;
      await running?.terminate();
    },
  };
}

async function startWorker(start: ThreadStart): Promise<Worker> {
  const worker = new Worker(new URL('./thread-worker.ts', import.meta.url), { workerData: start });
  worker.unref();
  const message = await nextMessage(worker, START_MS_MAX);
  if (message?.kind === 'ready') return worker;
  await worker.terminate();
  const why = message?.kind === 'unusable' ? message.message : 'the thread did not start';
  throw new PolicyBundleError('unusable', why);
}

/** On a busy machine a thread gets its time late: so much more of the clock it may take. */
const CLOCK_TIMES_MAX = 10;

/** What the thread says within so much time of its own, undefined when it says nothing or dies. */
async function ask(
  worker: Worker,
  question: ThreadQuestion,
  msMax: number,
): Promise<ThreadMessage | undefined> {
  // Its timer keeps this process alive meanwhile: the thread itself does not.
  const answer = nextMessage(worker, msMax * CLOCK_TIMES_MAX);
  const before = await worker.cpuUsage();
  worker.postMessage(question);
  for (let waited = 0; waited < CLOCK_TIMES_MAX; waited++) {
    const message = await Promise.race([
      answer,
      delay<typeof WAITING>(msMax, WAITING, { ref: false }),
    ]);
    if (message !== WAITING) return message;
    const used = await worker.cpuUsage(before).catch(() => undefined);
    if (used === undefined || (used.user + used.system) / 1_000 >= msMax) return undefined;
  }
  return undefined;
}

const WAITING = Symbol('waiting');

/** What the thread says next; undefined when it says nothing in time or dies. */
async function nextMessage(worker: Worker, msMax: number): Promise<ThreadMessage | undefined> {
  return await new Promise((resolve) => {
    const finish = (message?: ThreadMessage) => {
      clearTimeout(timer);
      worker.off('message', finish).off('error', dead).off('exit', dead);
      resolve(message);
    };
    const dead = () => finish();
    const timer = setTimeout(dead, msMax);
    worker.once('message', finish).once('error', dead).once('exit', dead);
  });
}
