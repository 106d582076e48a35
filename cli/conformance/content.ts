/** What the scenarios of the conformance suite want to see: resources, prompts and the content of results. */
import {
  acceptedContent,
  fromJsonSchema,
  type InputRequest,
  inputRequired,
  type McpServer,
  ResourceTemplate,
} from '@modelcontextprotocol/server';

/** One red pixel. */
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
/** A sound of no length. */
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

export const textContent = (text: string) => ({ type: 'text' as const, text });
export const image = { type: 'image' as const, data: PNG, mimeType: 'image/png' };
export const audio = { type: 'audio' as const, data: WAV, mimeType: 'audio/wav' };

export const embedded = (uri: string, mimeType: string, text: string) => ({
  type: 'resource' as const,
  resource: { uri, mimeType, text },
});

/** A form for a person, all of whose fields have to be filled in. */
export function askFor(
  message: string,
  properties: Readonly<Record<string, object>>,
): InputRequest {
  const requestedSchema = { type: 'object', properties, required: Object.keys(properties) };
  // Fields as the suite describes them, some by forms of schema that the SDK's type leaves out.
  return inputRequired.elicit({ message, requestedSchema: requestedSchema as never });
}

export function addResources(server: McpServer): void {
  const add = (uri: string, mimeType: string, content: { text: string } | { blob: string }) =>
    server.registerResource(
      uri.slice('test://'.length),
      uri,
      { description: `Test resource ${uri}`, mimeType },
      () => ({ contents: [{ uri, mimeType, ...content }] }),
    );
  add('test://static-text', 'text/plain', {
    text: 'This is the content of the static text resource.',
  });
  add('test://static-binary', 'image/png', { blob: PNG });
  add('test://watched-resource', 'text/plain', { text: 'Somebody may watch this.' });
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { description: 'Data by id', mimeType: 'application/json' },
    (uri, { id }) => {
      const text = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` });
      return { contents: [{ uri: uri.href, mimeType: 'application/json', text }] };
    },
  );
}

const user = <T>(content: T) => ({ role: 'user' as const, content });

const stringArguments = (...names: readonly string[]) =>
  fromJsonSchema<Record<string, string>>({
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
    required: [...names],
  });

export function addPrompts(server: McpServer): void {
  server.registerPrompt(
    'test_simple_prompt',
    { description: 'A prompt without arguments' },
    () => ({
      messages: [user(textContent('This is a simple prompt for testing.'))],
    }),
  );
  server.registerPrompt(
    'test_prompt_with_arguments',
    { description: 'A prompt with arguments', argsSchema: stringArguments('arg1', 'arg2') },
    ({ arg1, arg2 }) => ({
      messages: [user(textContent(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
    }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'A prompt with a resource', argsSchema: stringArguments('resourceUri') },
    ({ resourceUri = '' }) => ({
      messages: [
        user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
        user(textContent('Please process the embedded resource above.')),
      ],
    }),
  );
  server.registerPrompt(
    'test_prompt_with_image',
    { description: 'A prompt with an image' },
    () => ({
      messages: [user(image), user(textContent('Please analyze the image above.'))],
    }),
  );
  server.registerPrompt(
    'test_input_required_result_prompt',
    { description: 'A prompt that asks before it answers' },
    ({ mcpReq }) => {
      const given = acceptedContent(mcpReq.inputResponses, 'user_context');
      if (given !== undefined) {
        return { messages: [user(textContent(`The context is ${String(given['context'])}.`))] };
      }
      const ask = askFor('What context should the prompt use?', { context: { type: 'string' } });
      return inputRequired({ inputRequests: { user_context: ask } });
    },
  );
}
