/**
 * Third check. Does the call serve the declared purpose: forbidden tools first, then, where the purpose names
 * allowed tools, only those.
 * Cost: memory only.
 */
import type { DeclaredIntent } from '#contracts/call.ts';
import type { TenantSettings } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import type { PolicyInput } from '#contracts/policy.ts';

import { block, type Call, type Checks, type Intent, pass, type Principal } from '../decide.ts';

export interface IntentPoints {
  readonly settings: (tenant: TenantId) => TenantSettings;
}

/** The check over its points. */
export function intentCheck({ settings }: IntentPoints): Checks['intent'] {
  return async (call, by) => {
    const rules = settings(call.tenant).intent ?? {};
    const declared = call.envelope.intent;
    const intent = intentOf(call, by, declared);
    if (declared !== undefined && rules.self_declared === false) {
      return block('intent.self_declared', '', intent);
    }
    if (rules.required === true && declared === undefined && by.purpose === '') {
      return block('intent.missing', '', intent);
    }
    const { tool } = call.envelope;
    if (declared?.forbidden_tools?.includes(tool) === true)
      return block('intent.tool_forbidden', '', intent);
    const allowed = declared?.allowed_tools ?? [];
    if (allowed.length > 0 && !allowed.includes(tool))
      return block('intent.tool_not_allowed', '', intent);
    return pass(intent);
  };
}

/** Nothing declared: the same text for every such call without a task. */
const NOTHING: Intent = intentText({
  allowed_tools: [],
  declared_by: '',
  forbidden_tools: [],
  purpose: '',
  task: '',
});

function intentOf(call: Call, by: Principal, declared: DeclaredIntent | undefined): Intent {
  const task = by.task !== '' ? by.task : (call.envelope.task_id ?? '');
  if (declared === undefined && by.purpose === '' && task === '') return NOTHING;
  return intentText({
    allowed_tools: declared?.allowed_tools ?? [],
    declared_by: declared !== undefined ? 'agent' : by.purpose !== '' ? 'issuer' : '',
    forbidden_tools: declared?.forbidden_tools ?? [],
    purpose: declared?.purpose ?? by.purpose,
    task,
  });
}

function intentText(input: PolicyInput['intent']): Intent {
  return { task: input.task, inputText: canonical(input) };
}
