/**
 * The trial run of a new policy: inputs as large as they may be, for every tool that its sources name, in a
 * thread with a hard stop. It does not judge verdicts; it finds rules that run away, run out of memory, or fail.
 */
import { ARGUMENTS_BYTES_MAX } from '#contracts/call.ts';
import { compileFactKeys } from '#contracts/facts.ts';
import type { Json, JsonObject } from '#contracts/json.ts';
import type { PolicyInput } from '#contracts/policy.ts';

import type { Bundle } from './bundle.ts';
import { asWarning, errorIn, type Finding } from './findings.ts';
import { isTest } from './sources.ts';
import { startPolicyThread, type ThreadEvaluation } from './thread.ts';

const TOOLS_MAX = 32;
const NAMES_MAX = 32;
/** All evaluations together; each alone has a second. */
const TRIAL_MS_MAX = 10_000;
/** 2026-01-01: any time will do, as long as it is the same for the same bundle. */
const TRIAL_TIME_MS = 1_767_225_600_000;

/** An input in which every field is as empty as its type allows, as a call without anything would be. */
export function emptyInput(facts: JsonObject = {}): PolicyInput {
  return {
    call: { tool: '', arguments: {}, upstream: '', schema: 'none' },
    principal: {
      tenant: '',
      agent: '',
      agent_class: '',
      on_behalf_of: '',
      workflow: '',
      actors: [],
    },
    capability: { id: '', root_id: '', subject: '', issued_at: 0, expires_at: 0, caveats: [] },
    intent: { task: '', purpose: '', allowed_tools: [], forbidden_tools: [], declared_by: '' },
    facts,
    facts_revision: '',
    session: { id: '', calls: [] },
    time: { unix: TRIAL_TIME_MS / 1_000, unix_ms: TRIAL_TIME_MS },
    mode: 'enforce',
  };
}

interface Trial {
  readonly what: string;
  readonly input: PolicyInput;
}

/** What the trial run found. Stops at the first runaway. */
export async function tryOut(bundle: Bundle): Promise<readonly Finding[]> {
  const thread = await startPolicyThread(bundle);
  const deadline = Date.now() + TRIAL_MS_MAX;
  const findings = new Map<string, Finding>();
  try {
    for (const { what, input } of trials(bundle)) {
      if (Date.now() > deadline) break;
      const evaluation = await thread.evaluate(JSON.stringify(input), TRIAL_TIME_MS);
      const finding = judge(what, evaluation);
      if (finding !== undefined && !findings.has(finding.code)) findings.set(finding.code, finding);
      if (finding?.code === 'trial.runaway') break;
    }
  } finally {
    await thread.close();
  }
  return [...findings.values()];
}

/** At most one finding of each code is kept: the first case tells its author enough. */
function judge(what: string, evaluation: ThreadEvaluation): Finding | undefined {
  if (evaluation.ok) return undefined;
  const code = evaluation.code.replace('policy.', 'trial.');
  const finding = errorIn('', code, `for ${what}: ${evaluation.detail}`);
  const fatal = evaluation.code === 'policy.runaway' || evaluation.code === 'policy.memory';
  // A refusal by failing is safe, and still not what an author wants.
  return fatal ? finding : asWarning(finding);
}

function* trials({ files, facts: declared }: Bundle): Generator<Trial> {
  const code = Object.keys(files)
    .filter((path) => path.endsWith('.rego') && !isTest(path))
    .map((path) => files[path] ?? '')
    .join('\n');
  const facts: JsonObject = {};
  for (const { alias, default: value } of compileFactKeys(declared)) facts[alias] = value ?? {};
  const empty = emptyInput(facts);
  yield { what: 'an empty call', input: empty };

  const names = found(code, /\barguments\.([a-z_]\w*)/gi, NAMES_MAX);
  const tools = ['', ...found(code, /"([\w.:/-]{1,128})"/g, TOOLS_MAX)];
  for (const tool of tools) {
    for (const [filling, value] of fillings(names.length)) {
      const call = { ...empty.call, tool, arguments: filled(names, value) };
      yield { what: `tool "${tool}" with ${filling}`, input: { ...empty, call } };
    }
  }
}

function found(code: string, pattern: RegExp, max: number): string[] {
  const names = new Set<string>();
  for (const match of code.matchAll(pattern)) {
    if (names.size === max) break;
    if (match[1] !== undefined) names.add(match[1]);
  }
  return [...names];
}

/** Values that, one for each argument, come close to what a call may carry. */
function fillings(count: number): readonly (readonly [string, Json])[] {
  const bytes = Math.floor((ARGUMENTS_BYTES_MAX * 0.9) / Math.max(count, 1));
  const list = Array.from({ length: Math.floor(bytes / 8) }, (_, at) => at);
  const members: JsonObject = {};
  for (const at of list.slice(0, Math.floor(bytes / 24))) members[`member_${at}`] = at;
  return [
    ['long text', 'a '.repeat(Math.floor(bytes / 2))],
    ['long lists', list],
    ['large objects', members],
    ['large numbers', Number.MAX_SAFE_INTEGER],
  ];
}

function filled(names: readonly string[], value: Json): JsonObject {
  const filledIn: JsonObject = {};
  for (const name of names.length === 0 ? ['any'] : names) filledIn[name] = value;
  return filledIn;
}
