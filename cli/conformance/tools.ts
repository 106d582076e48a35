/** The tools that the scenarios of the conformance suite call. Names, arguments and results are the suite's. */
import { setTimeout as sleep } from 'node:timers/promises';

import {
  acceptedContent,
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  type InputRequiredResult,
  inputResponse,
  type McpServer,
  type ServerContext,
  type ServerNotifier,
} from '@modelcontextprotocol/server';

import { askFor, audio, embedded, image, textContent } from './content.ts';

type Args = Readonly<Record<string, unknown>>;
type Answer = CallToolResult | InputRequiredResult;
interface TestTool {
  readonly name: string;
  readonly schema?: Readonly<Record<string, unknown>>;
  readonly run: (args: Args, context: ServerContext) => Answer | Promise<Answer>;
}

const PAUSE_MS = 50;
const NOTHING = { type: 'object', properties: {} };
const ofStrings = (...names: readonly string[]) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
  required: names,
});

const content = (...parts: CallToolResult['content']): CallToolResult => ({ content: parts });
const say = (text: string): CallToolResult => content(textContent(text));

/** Round trips of an input: what the client echoes is signed. */
const state = createRequestStateCodec<{ readonly round: number }>({
  key: crypto.getRandomValues(new Uint8Array(32)),
});
export const verifyState: typeof state.verify = (text, context) => state.verify(text, context);

const CONTENT: readonly TestTool[] = [
  {
    name: 'test_simple_text',
    run: () => say('This is a simple text response for testing.'),
  },
  { name: 'test_image_content', run: () => content(image) },
  { name: 'test_audio_content', run: () => content(audio) },
  {
    name: 'test_embedded_resource',
    run: () =>
      content(
        embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
      ),
  },
  {
    name: 'test_multiple_content_types',
    run: () =>
      content(
        textContent('Multiple content types test:'),
        image,
        embedded(
          'test://mixed-content-resource',
          'application/json',
          JSON.stringify({ test: 'data', value: 123 }),
        ),
      ),
  },
  {
    name: 'test_error_handling',
    run: () => {
      throw new Error('This tool intentionally returns an error for testing');
    },
  },
];

const log = async (context: ServerContext, ...lines: readonly string[]): Promise<void> => {
  for (const [at, line] of lines.entries()) {
    if (at > 0) await sleep(PAUSE_MS);
    await context.mcpReq.log('info', line);
  }
};

const ALONG_THE_WAY: readonly TestTool[] = [
  {
    name: 'test_tool_with_logging',
    run: async (_, context) => {
      await log(
        context,
        'Tool execution started',
        'Tool processing data',
        'Tool execution completed',
      );
      return say('Logged three times.');
    },
  },
  {
    name: 'test_logging_tool',
    run: async (_, context) => {
      await log(context, 'Only for who asked for a log');
      return say('Logged once.');
    },
  },
  {
    name: 'test_tool_with_progress',
    run: async (_, { mcpReq }) => {
      const { progressToken } = mcpReq._meta ?? {};
      for (const progress of [0, 50, 100]) {
        if (progress > 0) await sleep(PAUSE_MS);
        if (progressToken === undefined) continue;
        const params = { progressToken, progress, total: 100 };
        await mcpReq.notify({ method: 'notifications/progress', params });
      }
      return say('Made progress.');
    },
  },
  {
    // Its client has to come back for the result.
    name: 'test_reconnection',
    run: async (_, { http }) => {
      http?.closeSSE?.();
      await sleep(2 * PAUSE_MS);
      return say('The stream was closed in between.');
    },
  },
];

const NAME = { name: { type: 'string' } };
const OK = { ok: { type: 'boolean' } };
const askName = () => askFor('What is your name?', NAME);
const askModel = (text: string, maxTokens: number) =>
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text } }],
    maxTokens,
  });

/** Asks for one input under a name, then says what came. */
const asking = (
  name: string,
  key: string,
  ask: (args: Args) => ReturnType<typeof askName>,
): TestTool['run'] => {
  return (args, { mcpReq }) => {
    const answer = inputResponse(mcpReq.inputResponses, key);
    if (answer.kind === 'missing') return inputRequired({ inputRequests: { [key]: ask(args) } });
    return say(`${name}: ${JSON.stringify(answer)}`);
  };
};

const DEFAULTS = {
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
};
const titled = (...titles: readonly string[]) =>
  titles.map((title, at) => ({ const: `value${at + 1}`, title }));
const OPTIONS = ['option1', 'option2', 'option3'];
const ENUMS = {
  untitledSingle: { type: 'string', enum: OPTIONS },
  titledSingle: { type: 'string', oneOf: titled('First Option', 'Second Option', 'Third Option') },
  legacyEnum: {
    type: 'string',
    enum: ['opt1', 'opt2', 'opt3'],
    enumNames: ['Option One', 'Option Two', 'Option Three'],
  },
  untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
  titledMulti: {
    type: 'array',
    items: { anyOf: titled('First Choice', 'Second Choice', 'Third Choice') },
  },
};

/** Asked of a client of either era; for the old one the SDK makes requests within the stream of it. */
const INPUT: readonly TestTool[] = [
  {
    name: 'test_sampling',
    schema: ofStrings('prompt'),
    run: asking('LLM response', 'answer', ({ prompt }) => askModel(String(prompt), 100)),
  },
  {
    name: 'test_elicitation',
    schema: ofStrings('message'),
    run: asking('User response', 'answer', ({ message }) =>
      askFor(String(message), { username: { type: 'string' }, email: { type: 'string' } }),
    ),
  },
  {
    name: 'test_elicitation_sep1034_defaults',
    run: asking('Elicitation completed', 'answer', () => askFor('Review the defaults', DEFAULTS)),
  },
  {
    name: 'test_elicitation_sep1330_enums',
    run: asking('Elicitation completed', 'answer', () => askFor('Choose', ENUMS)),
  },
  { name: 'test_streaming_elicitation', run: asking('User response', 'user_name', askName) },
  {
    name: 'test_missing_capability',
    run: asking('LLM response', 'answer', () => askModel('Only with sampling', 10)),
  },
  {
    name: 'test_input_required_result_elicitation',
    run: (_, { mcpReq }) => {
      const given = acceptedContent(mcpReq.inputResponses, 'user_name');
      return given === undefined
        ? inputRequired({ inputRequests: { user_name: askName() } })
        : say(`Hello, ${String(given['name'])}!`);
    },
  },
  {
    name: 'test_input_required_result_sampling',
    run: asking('LLM response', 'capital_question', () =>
      askModel('What is the capital of France?', 100),
    ),
  },
  {
    name: 'test_input_required_result_list_roots',
    run: asking('Roots', 'client_roots', () => inputRequired.listRoots()),
  },
  {
    name: 'test_input_required_result_capabilities',
    run: (_, { mcpReq }) => {
      const envelope: Readonly<Record<string, unknown>> = mcpReq.envelope ?? {};
      const declared = Object(envelope[CLIENT_CAPABILITIES_META_KEY]) as object;
      const inputRequests = {
        ...('sampling' in declared ? { question: askModel('What is asked?', 10) } : {}),
        ...('elicitation' in declared ? { user_name: askName() } : {}),
      };
      return Object.keys(inputRequests).length === 0
        ? say('Nothing can be asked.')
        : inputRequired({ inputRequests });
    },
  },
];

const confirming: TestTool['run'] = async (_, { mcpReq }) => {
  const confirmed = acceptedContent(mcpReq.inputResponses, 'confirm');
  if (confirmed !== undefined && mcpReq.requestState() !== undefined) return say('state-ok');
  return inputRequired({
    inputRequests: { confirm: askFor('Please confirm', OK) },
    requestState: await state.mint({ round: 1 }),
  });
};

const WITH_STATE: readonly TestTool[] = [
  { name: 'test_input_required_result_request_state', run: confirming },
  { name: 'test_input_required_result_tampered_state', run: confirming },
  {
    name: 'test_input_required_result_multiple_inputs',
    run: async (_, { mcpReq }) => {
      const inputRequests = {
        user_name: askName(),
        greeting: askModel('Generate a greeting', 50),
        client_roots: inputRequired.listRoots(),
      };
      const answers = Object.keys(inputRequests).map((key) =>
        inputResponse(mcpReq.inputResponses, key),
      );
      if (!answers.some(({ kind }) => kind === 'missing')) return say(JSON.stringify(answers));
      return inputRequired({ inputRequests, requestState: await state.mint({ round: 1 }) });
    },
  },
  {
    name: 'test_input_required_result_multi_round',
    run: async (_, { mcpReq }) => {
      const { round = 0 } = mcpReq.requestState<{ round: number }>() ?? {};
      if (round >= 2) return say('Both rounds are done.');
      const ask =
        round === 0
          ? { step1: askFor('Step 1: What is your name?', NAME) }
          : {
              step2: askFor('Step 2: What is your favorite color?', { color: { type: 'string' } }),
            };
      const requestState = await state.mint({ round: round + 1 });
      return inputRequired({ inputRequests: ask, requestState });
    },
  },
];

const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

const ABOUT_SCHEMAS: readonly TestTool[] = [
  {
    name: 'json_schema_2020_12_tool',
    schema: SCHEMA_2020_12,
    run: (args) => say(JSON.stringify(args)),
  },
  {
    name: 'test_header_parameter',
    schema: {
      type: 'object',
      properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
      required: ['region'],
    },
    run: ({ region }) => say(String(region)),
  },
];

const changing = (notify: () => ServerNotifier): readonly TestTool[] => [
  {
    name: 'test_trigger_tool_change',
    run: () => {
      notify().toolsChanged();
      return say('The tools changed.');
    },
  },
  {
    name: 'test_trigger_prompt_change',
    run: () => {
      notify().promptsChanged();
      return say('The prompts changed.');
    },
  },
];

/** @param notify tells who listens about a change */
export function addTools(server: McpServer, notify: () => ServerNotifier): void {
  const tools = [
    ...CONTENT,
    ...ALONG_THE_WAY,
    ...INPUT,
    ...WITH_STATE,
    ...ABOUT_SCHEMAS,
    ...changing(notify),
  ];
  for (const { name, schema = NOTHING, run } of tools) {
    const inputSchema = fromJsonSchema<Args>(schema as never); // JSON Schema, as the suite writes it
    server.registerTool(name, { description: `Scenario tool ${name}`, inputSchema }, run);
  }
}
