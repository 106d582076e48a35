/**
 * The closed table of errors of the admin API. Operators' scripts may rely on the codes; what a call can be refused
 * with is another table (reasons.ts), whose `request.*` rows both share.
 */
import { Type, type Static } from 'typebox';

import { REASONS } from './reasons.ts';

export interface AdminErrorSpec {
  readonly status: number;
  readonly message: string;
  readonly help: string;
}

const row = (status: number, message: string, help: string): AdminErrorSpec => ({
  status,
  message,
  help,
});

const shared = ({ status, text, help }: (typeof REASONS)[keyof typeof REASONS]): AdminErrorSpec =>
  row(status, text, help);

const SEE_OPENAPI = 'The OpenAPI document at /openapi.json describes every route.';
const SEND_TOKEN = 'Send "Authorization: Bearer <operator token>".';
const ASK_ADMIN = 'Ask an admin of this installation.';

export const ADMIN_ERRORS = {
  'request.syntax': shared(REASONS['request.syntax']),
  'request.encoding': shared(REASONS['request.encoding']),
  'request.duplicate_key': shared(REASONS['request.duplicate_key']),
  'request.number': shared(REASONS['request.number']),
  'request.surrogate': shared(REASONS['request.surrogate']),
  'request.depth': shared(REASONS['request.depth']),
  'request.forbidden_key': shared(REASONS['request.forbidden_key']),
  'request.members': shared(REASONS['request.members']),
  'request.schema': row(400, 'The request does not have the documented shape.', SEE_OPENAPI),
  'request.content_type': row(
    415,
    'This content type is not accepted here.',
    'Send "Content-Type: application/json".',
  ),
  'request.too_large': row(413, 'The body is too large.', 'Send less at once.'),
  'request.not_found': row(404, 'There is nothing at this address.', SEE_OPENAPI),
  'request.method': row(405, 'This method is not allowed here.', SEE_OPENAPI),
  'operator.missing': row(401, 'There is no operator token.', SEND_TOKEN),
  'operator.unknown': row(401, 'This operator token is not known.', SEND_TOKEN),
  'operator.too_many_attempts': row(
    429,
    'Too many wrong operator tokens came from this address.',
    'Wait a minute, then send the right one.',
  ),
  'operator.role': row(403, 'Your roles do not allow this.', ASK_ADMIN),
  'operator.tenant': row(403, 'This tenant is not among yours.', ASK_ADMIN),
  'operator.last_admin': row(
    409,
    'This would leave the installation without an admin.',
    'Make another person an admin first.',
  ),
  'tenant.name': row(
    400,
    'This is not a tenant name.',
    'Use lower-case letters, digits, "-" and "_", at most 63, beginning with a letter or digit.',
  ),
  'thing.not_found': row(404, 'There is no such thing in this tenant.', 'List what there is.'),
  'issuer.taken': row(
    409,
    'Another registration of this tenant names the same issuer.',
    'Change that one, or delete it first.',
  ),
  'issuer.keys': row(
    422,
    'The keys of this issuer cannot be accepted.',
    'Send public signature keys: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519.',
  ),
  'issuer.algorithm': row(
    422,
    'This signature algorithm is not accepted.',
    'Use RS256-512, PS256-512, ES256-512 or EdDSA.',
  ),
  'url.refused': row(
    422,
    'This address cannot be used.',
    'Use https, or http to a loopback address, without user name, password and fragment.',
  ),
  'tool.schema': row(
    422,
    'The schema of this tool cannot be used.',
    'Send a JSON Schema 2020-12 without references to other documents.',
  ),
  'tool.upstream': row(
    422,
    'This tool names an upstream that is not registered.',
    'Put the upstream first.',
  ),
  'tool.repeated': row(422, 'The batch has this tool twice.', 'Send each tool once.'),
  'agent.unknown': row(422, 'This agent is not registered.', 'Put the agent first.'),
  'compat.key': row(422, 'This is no key.', 'Give the key as base64.'),
  'compat.taken': row(
    422,
    'Tokens that name this tenant are taken.',
    'Name another tenant, as the tokens of your key do.',
  ),
  'capability.terms': row(
    422,
    'A capability with these terms cannot be made.',
    'Compare the terms with the documentation of capabilities.',
  ),
  'switch.place': row(
    422,
    'There is no such switch.',
    'Scope "global" belongs to tenant "_platform", all others to a tenant; all but "global" and "tenant" take an id.',
  ),
  'switch.same_person': row(
    409,
    'You have asked for this release already; it takes another person.',
    'Let another operator send the same release.',
  ),
  'mode.criteria': row(
    409,
    'The criteria of this mode are not met.',
    'Wait until they are, or send "override": true; who did it and why stays in the chain.',
  ),
  'mode.canary': row(
    422,
    'A class that is enforced has no canary share.',
    'Leave the canary out, or name observe or soft-block.',
  ),
  'exception.scope': row(
    422,
    'This exception would hold for every call of the tenant.',
    'Name an agent, a class or a tool.',
  ),
  'exception.same_person': row(
    409,
    'You made this exception; it takes another person to review it.',
    'Let another operator look at it.',
  ),
  'facts.key': row(
    422,
    'This is not the name of a fact.',
    'Write segments with "/" between them, such as orders/17; write "/" in a segment as %2F.',
  ),
  'facts.null': row(
    422,
    'A fact holds null, which no policy could tell from an unknown one.',
    'Leave the member out, or delete the fact.',
  ),
  'facts.none': row(422, 'There is no change.', 'Send changes, or name the source that is alive.'),
  'facts.source': row(
    422,
    'This source does not feed this fact.',
    'Put the fact below a key that the source is registered with.',
  ),
  'facts.source_unknown': row(
    404,
    'There is no such source.',
    'Register it with PUT fact-sources/{id}.',
  ),
  'facts.as_of': row(
    422,
    'This is not a time that a source can speak of.',
    'Write an RFC 3339 time that is not in the future.',
  ),
  'facts.outdated': row(
    409,
    'This source has told of a later time already.',
    'Deliver in order; what is outdated must not overwrite what is newer.',
  ),
  'webhook.refused': row(
    403,
    'The webhook is not signed by a registered source.',
    'Sign id, timestamp and body with the secret of the source (standardwebhooks.com).',
  ),
  'webhook.time': row(
    403,
    'The webhook was signed too long ago, or in the future.',
    'Send it within five minutes, with the time of this attempt.',
  ),
  'facts.too_large': row(413, 'A fact is too large.', 'A fact has at most 256 KiB.'),
  'tenant.time_zone': row(
    422,
    'This time zone is not known.',
    'Use an IANA name, such as Europe/Oslo.',
  ),
  'budgets.ceiling': row(
    422,
    'This ceiling says nothing that could be held.',
    'Name calls, cost or both; an agent only with scope agent.',
  ),
  'budgets.runaway': row(
    422,
    'This rule for run-away agents says nothing that could be held.',
    'Name repeats, times_habit or both, and each class once.',
  ),
  'policy.archive': row(
    422,
    'The archive cannot be read.',
    'Send a tar archive, gzipped or not, of the policy files.',
  ),
  'policy.refused': row(
    422,
    'The policy was not accepted.',
    'Each finding names file and line; "countersign policy test" shows the same offline.',
  ),
  'policy.compiler_away': row(
    503,
    'The policy compiler cannot be run.',
    'Check the path of the opa command that admin was started with.',
  ),
  'change.not_recorded': row(
    503,
    'The change was not acknowledged, so it may or may not take effect.',
    'Send it again; a repeated change does no harm.',
  ),
  'approval.not_found': row(404, 'There is no such held call in this tenant.', 'List what waits.'),
  'approval.ended': row(
    409,
    'This call does not wait any more.',
    'Look at it: somebody decided it, or it ended by itself.',
  ),
  'approval.not_approver': row(
    403,
    'You are not among those who may decide this call now.',
    'Its plan says who is.',
  ),
  'approval.self': row(
    403,
    'You asked for this call, or it runs on your behalf.',
    'Another person has to decide it.',
  ),
  'approval.voted': row(409, 'You have said yes already; it takes another person.', ASK_ADMIN),
  'approval.incomplete': row(
    409,
    'What you saw of this call is not everything, or not what it is now.',
    'Show it again and approve what is shown. It can be denied as it is.',
  ),
  'approval.step_up': row(
    403,
    'This takes a second factor that is fresh.',
    'Send a one-time code along (--code on the command line), or decide on its page.',
  ),
  'approval.impossible': row(
    422,
    'These arguments, or this grant, cannot be.',
    'Change them as it says, or approve the call as it is.',
  ),
  'approval.unavailable': row(
    503,
    'The approval service does not answer; held calls stay held.',
    'Send it again; a repeated decision does no harm.',
  ),
  'channel.not_found': row(
    404,
    'There is no such channel.',
    'List them: ./countersign notify channels.',
  ),
  'notifier.unavailable': row(
    503,
    'The notifier does not answer; what was ordered is recorded and may not be done.',
    'Order it again; a repeat does no harm.',
  ),
  'sign_in.form': row(
    403,
    'This form is not one of your session.',
    'Open the page again, then send it from there.',
  ),
  'sign_in.code': row(
    403,
    'This code is not right, or it was used before.',
    'Wait for the next code of your authenticator app.',
  ),
  'sign_in.wait': row(
    429,
    'There were too many wrong tries.',
    'Wait as long as Retry-After says, then send the right one.',
  ),
  'sign_in.password': row(
    422,
    'This password cannot be taken.',
    'Use 12 to 256 characters that others would not guess.',
  ),
  'sign_in.secret': row(
    422,
    'This is no secret of one-time codes.',
    'Send base32 of at least 16 bytes, or none to have one made.',
  ),
  'sign_in.unavailable': row(
    503,
    'Nobody can sign in here now; operator tokens go on to work.',
    'It takes a database and COUNTERSIGN_SIGN_IN_KEY_FILE. Is the database there?',
  ),
  'audit.unavailable': row(
    503,
    'The database of the audit trail does not answer; decisions and changes go on and are not lost.',
    'Try again later.',
  ),
  'audit.not_sealed': row(
    409,
    'This is not under a witnessed checkpoint yet.',
    'Ask again in a few seconds; if it stays so, the status tells which witness is behind.',
  ),
  'audit.size': row(
    422,
    'The tree has not had these sizes.',
    'Name sizes up to that of the newest checkpoint, the smaller first.',
  ),
  'service.clock': row(
    503,
    "This process's clock and the broker's disagree.",
    'Set the clock right; /readyz of admin says which way it is off. Kill and revoke go on.',
  ),
  'service.unavailable': row(503, 'A part that this needs is away.', 'Try again in a moment.'),
  'service.failed': row(500, 'Something failed here.', 'The log of admin says what.'),
} as const satisfies Record<string, AdminErrorSpec>;

export type AdminErrorCode = keyof typeof ADMIN_ERRORS;

/** Every answer with a status of 400 or more. */
export const AdminErrorBody = Type.Object({
  error: Type.Object({
    code: Type.String({ description: 'Stable code.' }),
    message: Type.String(),
    path: Type.Optional(
      Type.String({ description: 'JSON pointer to the place in the body that is wrong.' }),
    ),
    help: Type.String({ description: 'What to do next.' }),
  }),
});
export type AdminErrorBody = Static<typeof AdminErrorBody>;
