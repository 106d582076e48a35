/** The other side of thread.ts: one loaded policy, one question at a time. */
import { parentPort, workerData } from 'node:worker_threads';

import type { ThreadAnswer, ThreadMessage, ThreadQuestion, ThreadStart } from './thread.ts';
import { describe, type LoadedPolicy, loadPolicy } from './wasm.ts';

const { bundle, limits } = workerData as ThreadStart;
const say = (message: ThreadMessage) => parentPort?.postMessage(message);

try {
  const policy = await loadPolicy(bundle, limits);
  parentPort?.on('message', (question: ThreadQuestion) => say(answer(policy, question)));
  say({ kind: 'ready' });
} catch (fault) {
  say({ kind: 'unusable', message: fault instanceof Error ? fault.message : 'unknown fault' });
}

function answer(policy: LoadedPolicy, { input, timeMs, rule }: ThreadQuestion): ThreadAnswer {
  if (rule === undefined) {
    return { kind: 'evaluation', evaluation: policy.evaluate(input, timeMs) };
  }
  try {
    return { kind: 'value', value: { ok: true, value: policy.evaluateRule(rule, input, timeMs) } };
  } catch (fault) {
    return { kind: 'value', value: { ok: false, detail: describe(fault) } };
  }
}
