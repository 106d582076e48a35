/**
 * The closed table of reasons. Each refusal, and each allow, carries one of these codes; agents, operators and
 * SIEM rules may rely on them. The public text never contains input; detail for the operator travels apart.
 *
 * status: HTTP status where it leaves the house by itself. 200 = the call was judged (and recorded); any other
 *   status = it was never judged.
 * retryable: the same call may succeed later without any change.
 * liftable: a rollout mode (observe, soft-block) may lift it. Never identity, revocation, kill, floor or evidence.
 */

export type Check =
  | 'request'
  | 'service'
  | 'identity'
  | 'capability'
  | 'intent'
  | 'policy'
  | 'budget'
  | 'evidence';

export interface ReasonSpec {
  readonly check: Check;
  readonly status: number;
  readonly retryable: boolean;
  readonly liftable: boolean;
  readonly text: string;
  readonly help: string;
}

const row = (
  check: Check,
  status: number,
  words: readonly [text: string, help: string],
  may: { retryable?: true; liftable?: true } = {},
): ReasonSpec => ({
  check,
  status,
  retryable: may.retryable ?? false,
  liftable: may.liftable ?? false,
  text: words[0],
  help: words[1],
});

const RETRY = { retryable: true } as const;
const LIFT = { liftable: true } as const;
const RETRY_LATER = 'Try again in a moment; the call was not run.';
const NEW_IDENTITY = 'Send a valid agent identity token as "Authorization: Bearer".';
const ASK_CAPABILITY = 'Ask for a capability that covers this call.';
const ASK_OPERATOR =
  'An operator of this tenant has to look at it; repeating the call will not help.';

export const REASONS = {
  // The request itself: refused by the ingress before anybody judged it.
  'request.syntax': row('request', 400, [
    'The body is not valid JSON.',
    'Send one JSON object in UTF-8.',
  ]),
  'request.encoding': row('request', 400, [
    'The body is not valid UTF-8.',
    'Send UTF-8 without a byte order mark.',
  ]),
  'request.duplicate_key': row('request', 400, [
    'An object has the same key twice.',
    'Send each key once.',
  ]),
  'request.number': row('request', 400, [
    'A number cannot be kept exactly.',
    'Send finite numbers, and integers within 2^53 - 1; larger ones as strings.',
  ]),
  'request.surrogate': row('request', 400, [
    'A string holds a lone surrogate.',
    'Send well-formed Unicode.',
  ]),
  'request.depth': row('request', 400, [
    'The body is nested too deeply.',
    'Nest at most 32 levels.',
  ]),
  'request.forbidden_key': row('request', 400, [
    'An object has a key that is not allowed.',
    'Rename the key.',
  ]),
  'request.members': row('request', 400, [
    'The body has too many members.',
    'Send a smaller document.',
  ]),
  'request.schema': row('request', 400, [
    'The request does not have the documented shape.',
    'Compare it with the OpenAPI document.',
  ]),
  'request.content_type': row('request', 415, [
    'The content type is not application/json.',
    'Send "Content-Type: application/json".',
  ]),
  'request.too_large': row('request', 413, [
    'The body is too large.',
    'Send at most 1 MiB in all and 256 KiB of arguments.',
  ]),
  'request.arguments_too_large': row('request', 413, [
    'The arguments are too large.',
    'Send at most 256 KiB of arguments.',
  ]),
  'request.header': row('request', 400, [
    'A header is missing, repeated or malformed.',
    'Compare the headers with the documentation.',
  ]),
  'request.header_mismatch': row('request', 400, [
    'A header does not agree with the body.',
    'Send headers that mirror the body.',
  ]),
  'request.not_found': row('request', 404, [
    'There is nothing at this address.',
    'See the OpenAPI document for the routes.',
  ]),
  'request.method': row('request', 405, [
    'This method is not allowed here.',
    'See the OpenAPI document for the methods.',
  ]),
  'request.origin': row('request', 403, [
    'This origin may not call here.',
    'Call from a program, not from a foreign web page.',
  ]),
  'request.timeout': row(
    'request',
    408,
    ['The request did not arrive in time.', 'Send the whole request within ten seconds.'],
    RETRY,
  ),
  'request.unknown_ref': row('request', 404, [
    'This ref belongs to no decision of yours.',
    'Send the ref of the answer, with the identity that asked.',
  ]),
  'request.unknown_session': row('request', 404, [
    'There is no such session.',
    'Open a session with initialize.',
  ]),
  'request.outcome_repeated': row('request', 409, [
    'Another outcome was reported for this decision.',
    'Report one outcome for each decision.',
  ]),
  // The service could not judge. Nothing ran.
  'service.no_worker': row('service', 503, ['Nobody is there to decide.', RETRY_LATER], RETRY),
  'service.timeout': row(
    'service',
    503,
    [
      'The decision did not arrive in time.',
      'The call was not run. Ask again, with the same call_id if it had one.',
    ],
    RETRY,
  ),
  'service.bus_away': row('service', 503, ['The message bus is away.', RETRY_LATER], RETRY),
  'service.malformed_answer': row(
    'service',
    503,
    ['The decision could not be understood.', RETRY_LATER],
    RETRY,
  ),
  'service.overloaded': row('service', 503, ['The service is overloaded.', RETRY_LATER], RETRY),
  'service.stale': row(
    'service',
    503,
    ['What is known about rights is too old to decide.', RETRY_LATER],
    RETRY,
  ),
  'service.clock': row(
    'service',
    503,
    ['The clocks of this service disagree.', RETRY_LATER],
    RETRY,
  ),
  'service.behind': row(
    'service',
    503,
    ['The revision that you demanded has not arrived yet.', RETRY_LATER],
    RETRY,
  ),
  'service.tenant_rate': row(
    'service',
    429,
    ['This tenant sends too many calls.', 'Slow down and try again.'],
    RETRY,
  ),
  'service.agent_rate': row(
    'service',
    429,
    ['This agent sends too many calls.', 'Slow down and try again.'],
    RETRY,
  ),
  'service.source_rate': row(
    'service',
    429,
    ['Too many calls without a proven identity.', 'Slow down and try again.'],
    RETRY,
  ),
  'service.failed': row('service', 500, [
    'The service failed; nothing was allowed.',
    'Try again; if it stays so, tell the operator of this service.',
  ]),
  'service.upstream_away': row(
    'service',
    502,
    ['The tool server did not answer.', 'The call was allowed; whether it ran is unknown.'],
    RETRY,
  ),
  'service.upstream_unreachable': row(
    'service',
    502,
    ['The tool server cannot be reached.', 'The call did not run; try again in a moment.'],
    RETRY,
  ),
  'service.upstream_failed': row(
    'service',
    502,
    [
      'The tool server did not give an answer that can be passed on.',
      'Whether the call ran is unknown; tell the operator of the tool server.',
    ],
    RETRY,
  ),
  // First check. Up to a proven signature nothing is recorded: 401 (or 503 when keys cannot be had).
  'identity.missing': row('identity', 401, ['There is no agent identity.', NEW_IDENTITY]),
  'identity.malformed': row('identity', 401, [
    'The agent identity is not a signed JWT.',
    NEW_IDENTITY,
  ]),
  'identity.unknown_issuer': row('identity', 401, [
    'The issuer of this identity is not registered.',
    'Register the issuer, or use a registered one.',
  ]),
  'identity.algorithm': row('identity', 401, [
    'The identity is signed with an algorithm that is not accepted.',
    NEW_IDENTITY,
  ]),
  'identity.signature': row('identity', 401, [
    'The signature of the identity does not verify.',
    NEW_IDENTITY,
  ]),
  'identity.expired': row('identity', 401, [
    'The identity has expired.',
    'Fetch a fresh identity token.',
  ]),
  'identity.not_yet_valid': row('identity', 401, [
    'The identity is not valid yet.',
    'Check the clock of the issuer.',
  ]),
  'identity.audience': row('identity', 401, [
    'The identity is meant for somebody else.',
    'Fetch an identity token for the audience of this service.',
  ]),
  'identity.claims': row('identity', 401, [
    'A claim of the identity is missing or malformed.',
    'Compare the claims with what the issuer was registered with.',
  ]),
  'identity.sender': row('identity', 401, [
    'The identity is bound to a key, and its sender did not prove to hold it.',
    'Send the identity as "Authorization: DPoP" with a fresh proof, or over TLS with its certificate.',
  ]),
  'identity.proof': row('identity', 401, [
    'The DPoP proof does not hold for this request.',
    'Make a fresh proof (RFC 9449) for this method, this address and this identity.',
  ]),
  'identity.proof_replayed': row('identity', 401, [
    'The DPoP proof was used before.',
    'Make a fresh proof for each request.',
  ]),
  'identity.proof_nonce': row('identity', 401, [
    'The DPoP proof needs the nonce of this service.',
    'Make a fresh proof with the nonce of header DPoP-Nonce.',
  ]),
  'identity.keys_unavailable': row(
    'identity',
    503,
    ['The keys of the issuer cannot be had.', RETRY_LATER],
    RETRY,
  ),
  'identity.unavailable': row(
    'identity',
    503,
    ['The identity could not be checked.', RETRY_LATER],
    RETRY,
  ),
  'identity.unknown_agent': row('identity', 200, [
    'This agent is not registered.',
    'Ask an operator to register the agent.',
  ]),
  'identity.agent_issuer': row('identity', 200, [
    'This agent is registered with another issuer.',
    'Use the identity of the registered issuer.',
  ]),
  'identity.actor_chain': row('identity', 200, [
    'The chain of actors is too deep.',
    'Delegate over fewer agents.',
  ]),
  'identity.not_enforcement_point': row('identity', 200, [
    'This caller may not speak for others.',
    'Ask an operator to register it as an enforcement point.',
  ]),
  // Second check.
  'capability.missing': row(
    'capability',
    200,
    ['There is no capability, and this agent has no standing grant.', ASK_CAPABILITY],
    LIFT,
  ),
  'capability.malformed': row('capability', 200, [
    'The capability cannot be read.',
    ASK_CAPABILITY,
  ]),
  'capability.version': row('capability', 200, [
    'The capability has a version that is not accepted.',
    ASK_CAPABILITY,
  ]),
  'capability.signature': row('capability', 200, [
    'The signature of the capability does not verify.',
    ASK_CAPABILITY,
  ]),
  'capability.unknown_caveat': row('capability', 200, [
    'The capability has a caveat that is not known here.',
    ASK_CAPABILITY,
  ]),
  'capability.unenforceable': row('capability', 200, [
    'The capability has a caveat that cannot be enforced here.',
    ASK_CAPABILITY,
  ]),
  'capability.unknown_root': row('capability', 200, [
    'The capability was not issued here.',
    ASK_CAPABILITY,
  ]),
  'capability.revoked': row('capability', 200, ['The capability was revoked.', ASK_CAPABILITY]),
  'capability.expired': row('capability', 200, [
    'The capability has expired.',
    'Ask for a fresh capability.',
  ]),
  'capability.not_yet_valid': row('capability', 200, [
    'The capability is not valid yet.',
    'Wait until it is valid, or ask for another.',
  ]),
  'capability.calls_need_expiry': row('capability', 200, [
    'A capability that limits calls must expire within 31 days.',
    ASK_CAPABILITY,
  ]),
  'capability.tool_not_covered': row('capability', 200, [
    'The capability does not cover this tool.',
    ASK_CAPABILITY,
  ]),
  'capability.tool_forbidden': row('capability', 200, [
    'The capability forbids this tool.',
    ASK_CAPABILITY,
  ]),
  'capability.upstream_not_covered': row('capability', 200, [
    'The capability does not cover this upstream.',
    ASK_CAPABILITY,
  ]),
  'capability.wrong_agent': row('capability', 200, [
    'The capability belongs to another agent.',
    ASK_CAPABILITY,
  ]),
  'capability.wrong_tenant': row('capability', 200, [
    'The capability belongs to another tenant.',
    ASK_CAPABILITY,
  ]),
  'capability.wrong_task': row('capability', 200, [
    'The capability belongs to another task.',
    ASK_CAPABILITY,
  ]),
  'capability.wrong_audience': row('capability', 200, [
    'The capability is meant for somebody else.',
    ASK_CAPABILITY,
  ]),
  'capability.wrong_sender': row('capability', 200, [
    'The capability is bound to a key, and its sender did not prove to hold it.',
    'Send a DPoP proof by that key, or call over TLS with its certificate.',
  ]),
  'capability.arguments_not_covered': row('capability', 200, [
    'The capability does not cover these arguments.',
    'Use arguments that the capability allows, or ask for a wider one.',
  ]),
  'capability.unavailable': row(
    'capability',
    200,
    ['The capability could not be checked.', RETRY_LATER],
    RETRY,
  ),
  'capability.killed': row('capability', 200, ['This was stopped by an operator.', ASK_OPERATOR]),
  // Third check.
  'intent.tool_forbidden': row(
    'intent',
    200,
    ['The declared purpose forbids this tool.', 'Use a tool that serves the declared purpose.'],
    LIFT,
  ),
  'intent.tool_not_allowed': row(
    'intent',
    200,
    [
      'The declared purpose does not allow this tool.',
      'Use a tool that serves the declared purpose.',
    ],
    LIFT,
  ),
  'intent.missing': row(
    'intent',
    200,
    ['This tenant asks for a declared purpose.', 'Declare the intent with the call.'],
    LIFT,
  ),
  'intent.self_declared': row(
    'intent',
    200,
    [
      'This tenant does not accept a purpose declared by the agent.',
      'Let the person or the orchestrator declare the task.',
    ],
    LIFT,
  ),
  'intent.unavailable': row(
    'intent',
    200,
    ['The intent could not be checked.', RETRY_LATER],
    RETRY,
  ),
  // Fourth check, with what must hold before a policy is asked.
  'tool.unknown': row('policy', 200, [
    'This tool is not registered.',
    'Ask an operator to register and classify the tool.',
  ]),
  'tool.ambiguous': row('policy', 200, [
    'Several upstreams have a tool of this name.',
    'Name the upstream.',
  ]),
  'tool.arguments': row('policy', 200, [
    'The arguments do not fit the registered schema of the tool.',
    'Compare the arguments with the schema of the tool.',
  ]),
  'facts.missing': row('policy', 200, [
    'A fact that the policy needs is not known.',
    'Check what the arguments refer to.',
  ]),
  'facts.stale': row(
    'policy',
    200,
    [
      'What is known of a fact that the policy needs is too old.',
      'Try again in a moment; if it stays so, the system that the fact comes from is silent.',
    ],
    RETRY,
  ),
  'policy.input_too_large': row('policy', 200, [
    'What the policy would have to look at is too large.',
    'Send smaller arguments; if that does not help, an operator has to make the facts smaller.',
  ]),
  'policy.allowed': row('policy', 200, ['Allowed.', '']),
  'policy.blocked': row(
    'policy',
    200,
    [
      'The policy blocks this call.',
      'Change the call so that the policy allows it; repeating it unchanged will not help.',
    ],
    LIFT,
  ),
  'policy.needs_approval': row(
    'policy',
    200,
    ['A person has to approve this call.', 'Wait for the approval, then repeat exactly this call.'],
    LIFT,
  ),
  'policy.approved': row('policy', 200, ['Allowed: people approved exactly this call.', '']),
  'approval.denied': row('policy', 200, [
    'A person declined this call.',
    'Do not repeat it and do not look for another way to the same effect; ask the person you work for.',
  ]),
  'approval.edited': row('policy', 200, [
    'A person changed the arguments of this call.',
    'Send the tool with exactly the changed arguments; the handle of the held call tells them.',
  ]),
  'approval.used': row('policy', 200, [
    'This call was approved and has been released; it is not released twice.',
    'Find out whether it ran. If it is wanted once more, send it after the approval has expired: people are asked anew.',
  ]),
  'policy.obligation': row('policy', 200, [
    'The policy demands something that cannot be done here, so the call did not run.',
    ASK_OPERATOR,
  ]),
  'policy.floor': row('policy', 200, [
    'The safety floor of this installation blocks this call.',
    ASK_OPERATOR,
  ]),
  'policy.none': row('policy', 200, [
    'This tenant has no active policy.',
    'Ask an operator to activate one.',
  ]),
  'policy.undefined': row('policy', 200, ['The policy gave no decision.', ASK_OPERATOR]),
  'policy.wrong_shape': row('policy', 200, [
    'The policy gave an answer of the wrong shape.',
    ASK_OPERATOR,
  ]),
  'policy.error': row('policy', 200, ['The policy failed.', ASK_OPERATOR]),
  'policy.builtin': row('policy', 200, [
    'The policy uses a function that is not there or failed.',
    ASK_OPERATOR,
  ]),
  'policy.memory': row('policy', 200, ['The policy used too much memory.', ASK_OPERATOR]),
  'policy.runaway': row('policy', 200, [
    'The policy ran too long and is refused from now on.',
    ASK_OPERATOR,
  ]),
  'policy.unavailable': row('policy', 200, ['The policy could not be asked.', RETRY_LATER], RETRY),
  // Fifth check.
  'budget.exhausted': row(
    'budget',
    200,
    [
      'A ceiling of this window is reached.',
      'Wait for the next window, or ask for a higher ceiling.',
    ],
    { retryable: true, liftable: true },
  ),
  'budget.capability_exhausted': row(
    'budget',
    200,
    ['The capability has no calls left.', 'Ask for a fresh capability.'],
    LIFT,
  ),
  'budget.runaway': row(
    'budget',
    200,
    [
      'This agent repeats itself, or calls far more than it usually does.',
      'Stop and look at what it does; it may go on in the next minute.',
    ],
    { retryable: true, liftable: true },
  ),
  'budget.unavailable': row(
    'budget',
    200,
    ['The budget could not be reserved.', RETRY_LATER],
    RETRY,
  ),
  // Idempotency and evidence.
  'call.conflict': row('request', 200, [
    'This call_id was used for another call.',
    'Use a new call_id for a new call.',
  ]),
  'call.unknown': row('request', 200, [
    'A call with this call_id was begun and its end is not known.',
    'Find out whether it ran before you repeat it under a new call_id.',
  ]),
  'call.killed': row('request', 502, [
    'An operator stopped this call while it was on its way.',
    'Whether it ran is unknown. Do not repeat it; ask the person you work for.',
  ]),
  'call.in_progress': row(
    'request',
    503,
    ['A call with this call_id is being decided.', RETRY_LATER],
    RETRY,
  ),
  'call.unavailable': row(
    'request',
    503,
    ['The call_id could not be claimed.', RETRY_LATER],
    RETRY,
  ),
  'evidence.too_large': row('evidence', 413, [
    'The record of this call would be too large.',
    'Send a smaller call.',
  ]),
  'evidence.unavailable': row(
    'evidence',
    503,
    ['The decision could not be recorded, so it does not count.', RETRY_LATER],
    RETRY,
  ),
  'evidence.outcome_unavailable': row(
    'evidence',
    503,
    ['The outcome could not be recorded.', 'Report it again in a moment.'],
    RETRY,
  ),
} as const satisfies Record<string, ReasonSpec>;

export type Reason = keyof typeof REASONS;

/** The row of a code. */
export const reasonSpec = (code: Reason): ReasonSpec => REASONS[code];

/** True for text that is a code of the table. */
export const isReason = (text: string): text is Reason => Object.hasOwn(REASONS, text);

/** What leaves the house about a reason. */
export interface PublicReason {
  readonly code: Reason;
  readonly check: Check;
  readonly message: string;
  readonly help: string;
}

const PUBLIC = new Map<Reason, PublicReason>(
  (Object.keys(REASONS) as Reason[]).map((code) => {
    const { check, text, help } = reasonSpec(code);
    return [code, { code, check, message: text, help }];
  }),
);

/** The public form of a reason; `message` replaces the table's text only where a policy's author wrote one for callers. */
export function publicReason(code: Reason, message = ''): PublicReason {
  const plain = PUBLIC.get(code);
  if (plain === undefined) throw new Error(`reason without a row: ${code}`);
  return message === '' ? plain : { ...plain, message };
}
