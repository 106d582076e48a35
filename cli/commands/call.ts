// `call`: asks for one decision as an agent would, and says it so that a tired person understands.

import type { Command } from 'commander';

import { type Caller, callerOf, ingressCall, reachable, type Reach } from '#cli/client.ts';
import { CliError, EXIT, paint, print, printJson } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';

interface CallOptions extends Reach, Caller {
  readonly upstream?: string;
  readonly callId?: string;
  readonly session?: string;
  readonly purpose?: string;
  readonly minRevision?: string;
  readonly receipt?: true;
}

/** What is shown of an answer (contracts/call.ts, DecisionBody, with `recorded`). */
interface Answer {
  readonly decision_id: string;
  readonly verdict: 'allow' | 'block' | 'escalate';
  readonly reason: { readonly code: string; readonly message: string; readonly help: string };
  readonly policy_reason?: string;
  readonly warning?: string;
  readonly approval_id?: string;
  readonly policy: { readonly digest: string };
  readonly recorded: { readonly durability: string };
  readonly receipt?: string;
}

export function register(program: Command): void {
  const verb = addVerb(program, 'call <tool> [arguments]', {
    short: 'Ask for a decision about one tool call.',
    summary: 'Ask for a decision about one tool call. Exit code 0 allow, 1 block or escalate.',
    examples: [
      [`./countersign call lookup_order '{"order_id":"ord_1001"}'`, 'as the agent of the demo'],
      [
        `./countersign call refund_order '{"order_id":"ord_1002","amount":450}' --json`,
        'the whole answer',
      ],
      [
        `./countersign call lookup_order '{"order_id":"ord_1001"}' --call-id c-1`,
        'twice gives the same answer',
      ],
    ],
  });
  reachable(verb)
    .option('--identity-file <file>', "file with the agent's identity JWT (default: the demo's)")
    .option(
      '--capability-file <file>',
      "file with a capability (default: the demo's; 'none' sends none)",
    )
    .option('--upstream <name>', 'the tool server, where several have a tool of this name')
    .option('--call-id <id>', 'the same id with the same call is answered the same, for 24 hours')
    .option('--session <id>', 'session of the agent')
    .option('--purpose <text>', 'declared purpose')
    .option(
      '--min-revision <revision>',
      'judge only knowing this change (from an answer of the admin API)',
    )
    .option('--receipt', 'with a receipt, by which a tool server can check the call itself')
    .action(call);
}

async function call(tool: string, args: string | undefined, options: CallOptions): Promise<void> {
  const answer = (await ingressCall(options, {
    method: 'POST',
    path: '/v1/decisions',
    headers: callerOf(options),
    body: bodyOf(tool, args, options),
  })) as Answer; // the ingress answers 200 only with this shape
  if (options.json === true) printJson(answer);
  else printAnswer(answer);
  if (answer.verdict !== 'allow') process.exitCode = EXIT.finding;
}

function bodyOf(tool: string, args: string | undefined, options: CallOptions): object {
  return {
    tool,
    arguments: parseArguments(args ?? '{}'),
    ...(options.upstream === undefined ? {} : { upstream: options.upstream }),
    ...(options.callId === undefined ? {} : { call_id: options.callId }),
    ...(options.session === undefined ? {} : { session_id: options.session }),
    ...(options.purpose === undefined ? {} : { intent: { purpose: options.purpose } }),
    ...(options.minRevision === undefined ? {} : { min_revision: options.minRevision }),
    ...(options.receipt === undefined ? {} : { receipt: true }),
  };
}

function parseArguments(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CliError('The arguments are not JSON.', {
      exitCode: EXIT.misuse,
      help: `quote them for the shell: '{"order_id":"ord_1001"}'`,
    });
  }
}

const STYLE = { allow: 'green', block: 'red', escalate: 'yellow' } as const;

function printAnswer(answer: Answer): void {
  const { verdict, reason, policy_reason: said, approval_id: approval } = answer;
  print(
    `${paint(['bold', STYLE[verdict]], verdict)}  ${reason.code}${said === undefined ? '' : ` (${said})`}`,
  );
  if (answer.warning === undefined) print(`  ${reason.message}`);
  else print(paint('yellow', `  ${answer.warning}`));
  if (verdict !== 'allow' && reason.help !== '') print(`  ${reason.help}`);
  if (approval !== undefined) print(`  approval  ${approval}`);
  print(
    paint(
      'dim',
      `  decision  ${answer.decision_id}   recorded, survives: ${answer.recorded.durability}`,
    ),
  );
  if (answer.receipt !== undefined) print(paint('dim', `  receipt   ${answer.receipt}`));
}
