/** Configuration from the environment: one TypeBox schema per process, read once, all problems listed at once. */
import { readFileSync } from 'node:fs';

import { type Static, type TObject, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';

/** What is wrong with a configuration; the process prints it and exits 78 (EX_CONFIG). */
export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** A path of a file that holds a secret; the secret itself never stands in the environment. */
export const SecretFile = (description: string) => Type.String({ minLength: 1, description });
/** Of the variable that names the keys of what stands sealed in Postgres (at-rest.ts), the same keys for every process. */
export const AT_REST_KEYS =
  'JSON list of 1 to 3 keys of 32 bytes in base64 that seal contents in Postgres, newest first: the first one seals, each opens (docs/privacy.md).';
/** A TCP port; 0 = any free one. */
export const Port = (description: string) =>
  Type.Integer({ minimum: 0, maximum: 65_535, description });

/** What every process needs. */
export const HostConfig = {
  COUNTERSIGN_NATS_URL: Type.String({
    default: 'nats://127.0.0.1:4222',
    description: 'Address of the broker.',
  }),
  COUNTERSIGN_NATS_PASSWORD_FILE: Type.String({
    default: '',
    description:
      'File with the password of this process at the broker. Empty only where the broker has no users (tests).',
  }),
  COUNTERSIGN_NATS_MONITOR_URL: Type.String({
    default: 'http://127.0.0.1:8222',
    description: "The broker's HTTP monitoring; asked for the durability class.",
  }),
  COUNTERSIGN_HEALTH_PORT: Type.Integer({
    minimum: 0,
    maximum: 65_535,
    default: 0,
    description: 'Port on 127.0.0.1 of /healthz, /readyz and /metrics; 0 = any free one.',
  }),
  COUNTERSIGN_LOG_LEVEL: Type.String({
    default: 'info',
    pattern: '^(trace|debug|info|warn|error|fatal|silent)$',
    description: 'Least severe level that is logged.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.String({
    default: '',
    description: 'Base address of an OTLP/HTTP receiver of traces; empty = no traces.',
  }),
} as const;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The checked configuration. Values of integer and boolean properties are converted strictly.
 * @throws ConfigError with every problem
 */
export function readConfig<T extends TObject>(schema: T, environment: Environment): Static<T> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, property] of Object.entries(schema.properties as Record<string, TSchema>)) {
    const text = environment[name];
    if (text === undefined || text === '') {
      if ('default' in property) values[name] = property.default;
      else if (schema.required?.includes(name) === true)
        problems.push(`${name} is not set: ${describe(property)}`);
      continue;
    }
    values[name] = convert(text, property);
  }
  if (problems.length === 0) {
    for (const error of Compile(schema).Errors(values)) {
      problems.push(`${error.instancePath.slice(1)} ${error.message}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values as Static<T>; // checked by the compiled schema just above
}

const describe = (property: TSchema) =>
  'description' in property ? String(property.description) : '';

function convert(text: string, property: TSchema): unknown {
  const type = 'type' in property ? property.type : undefined;
  if (type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

/** Content of a secret file without surrounding blanks. @throws ConfigError naming the file's purpose, never its content */
export function readSecret(path: string, purpose: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch {
    throw new ConfigError([`${purpose}: ${path} cannot be read`]);
  }
  if (text === '') throw new ConfigError([`${purpose}: ${path} is empty`]);
  return text;
}

/** JSON content of a secret file. @throws ConfigError */
export function readSecretJson(path: string, purpose: string): unknown {
  try {
    return JSON.parse(readSecret(path, purpose));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`${purpose}: ${path} is not JSON`]);
  }
}
