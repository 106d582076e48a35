/** The methods of each era and the file that knows each. What stands in no table is not passed on. */
import { callAction } from './action.ts';
import { callTool } from './call.ts';
import type { Exchange } from './exchange.ts';
import { listTools } from './list.ts';
import type { Era, RequestMessage } from './message.ts';
import { discover, initialize, passProven } from './pass.ts';
import { askTask } from './tasks.ts';

type Handle = (exchange: Exchange, message: RequestMessage) => Promise<void>;

/** Judged as `mcp:<method>`. */
const GOVERNED: readonly (readonly [string, Handle])[] = [
  ['completion/complete', callAction],
  ['prompts/get', callAction],
  ['prompts/list', callAction],
  ['resources/list', callAction],
  ['resources/read', callAction],
  ['resources/templates/list', callAction],
  ['tasks/cancel', askTask],
  ['tasks/get', askTask],
];

export const METHODS: Readonly<Record<Era, ReadonlyMap<string, Handle>>> = {
  '2025-11-25': new Map([
    ...GOVERNED,
    ['initialize', initialize],
    ['logging/setLevel', callAction],
    ['ping', passProven],
    ['resources/subscribe', callAction],
    ['resources/unsubscribe', callAction],
    ['tasks/list', callAction],
    ['tasks/result', callAction],
    ['tools/call', callTool],
    ['tools/list', listTools],
  ]),
  '2026-07-28': new Map([
    ...GOVERNED,
    ['server/discover', discover],
    ['subscriptions/listen', callAction],
    ['tasks/update', askTask],
    ['tools/call', callTool],
    ['tools/list', listTools],
  ]),
};
