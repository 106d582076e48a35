/** Configuration of the ingress. */
import { type Static, Type } from 'typebox';

import { HostConfig, Port, SecretFile } from '#host/config.ts';

import type { AdmissionLimits } from './admission.ts';

const PerSecond = (description: string, value: number) =>
  Type.Integer({ minimum: 1, default: value, description });

export const IngressConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_INGRESS_HOST: Type.String({
    default: '127.0.0.1',
    description: 'Address that callers reach.',
  }),
  COUNTERSIGN_INGRESS_PORT: Port('Port that callers reach; 0 = any free one.'),
  COUNTERSIGN_INGRESS_PUBLIC_URL: Type.String({
    default: '',
    description: 'Address in answers that name this service. Empty = http:// with host and port.',
  }),
  COUNTERSIGN_INGRESS_ALLOWED_ORIGINS: Type.String({
    default: '',
    description: 'Origins of web pages that may call, separated by commas; loopback always may.',
  }),
  COUNTERSIGN_INGRESS_TRUSTED_PROXIES: Type.String({
    default: '',
    description:
      'Addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas.',
  }),
  COUNTERSIGN_INGRESS_TLS_CERT_FILE: Type.String({
    default: '',
    description:
      'File with the certificate (PEM, with its chain) for TLS; empty = plain HTTP. Clients are asked for a certificate and need none.',
  }),
  COUNTERSIGN_INGRESS_TLS_KEY_FILE: Type.String({
    default: '',
    description: 'File with the private key of that certificate (PEM).',
  }),
  COUNTERSIGN_INGRESS_TLS_CLIENT_CA_FILE: Type.String({
    default: '',
    description:
      'File with CAs (PEM): then every client needs a certificate that one of them signed. Empty = any certificate counts, by its thumbprint alone.',
  }),
  COUNTERSIGN_INGRESS_CLIENT_CERT_HEADER: Type.String({
    default: '',
    pattern: '^[A-Za-z0-9-]*$',
    description:
      'Header in which trusted proxies name the certificate of the client (RFC 9440, or PEM with percent escapes). Empty = none is believed.',
  }),
  COUNTERSIGN_INGRESS_DPOP_NONCE: Type.Boolean({
    default: false,
    description: 'Take DPoP proofs only with a nonce of this service, at most 5 minutes old.',
  }),
  COUNTERSIGN_UPSTREAM_CREDENTIALS_DIR: Type.String({
    default: '',
    description:
      'Folder with one folder for each tenant, in which the files with credentials of its upstreams are. Empty = none.',
  }),
  COUNTERSIGN_AUTHORIZATION_SERVERS: Type.String({
    default: '',
    description: 'Addresses of authorization servers told to MCP clients, separated by commas.',
  }),
  COUNTERSIGN_SEAL_KEY_FILE: SecretFile(
    'File with the key that seals refs and task ids: base64 of 32 bytes or more, the same for all replicas.',
  ),
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'File with the MAC key of this process: JSON object, writer name to base64.',
  ),
  COUNTERSIGN_TENANT_CALLS_PER_SECOND: PerSecond(
    'Calls of one tenant that one process admits, unless the tenant has a rate of its own.',
    20_000,
  ),
  COUNTERSIGN_AGENT_CALLS_PER_SECOND: PerSecond(
    'Calls of one agent that one process admits, unless its tenant has a rate of its own for agents.',
    20_000,
  ),
  COUNTERSIGN_TENANT_BYTES_PER_SECOND: Type.Integer({
    minimum: 2_097_152,
    default: 67_108_864,
    description: 'Bytes of requests of one tenant that one process admits.',
  }),
  COUNTERSIGN_SOURCE_CALLS_PER_SECOND: PerSecond(
    'Calls from one address with identities that no worker has proved yet.',
    1_000,
  ),
  COUNTERSIGN_UNPROVEN_CALLS_PER_SECOND: PerSecond('The same over all addresses.', 3_000),
  COUNTERSIGN_CALLS_IN_FLIGHT_MAX: Type.Integer({
    minimum: 2,
    default: 10_000,
    description:
      'Calls that wait for a worker at most, however fast the workers are; one tenant may have half of those that may.',
  }),
});
export type IngressConfig = Static<typeof IngressConfig>;

export const admissionLimits = (config: IngressConfig): AdmissionLimits => ({
  tenantCallsPerSecond: config.COUNTERSIGN_TENANT_CALLS_PER_SECOND,
  agentCallsPerSecond: config.COUNTERSIGN_AGENT_CALLS_PER_SECOND,
  tenantBytesPerSecond: config.COUNTERSIGN_TENANT_BYTES_PER_SECOND,
  sourceCallsPerSecond: config.COUNTERSIGN_SOURCE_CALLS_PER_SECOND,
  unprovenCallsPerSecond: config.COUNTERSIGN_UNPROVEN_CALLS_PER_SECOND,
});

/** Who may call: pages of these origins, and whoever these proxies name. */
export const callersOf = (config: IngressConfig) => ({
  allowedOrigins: listOf(config.COUNTERSIGN_INGRESS_ALLOWED_ORIGINS),
  trustedProxies: listOf(config.COUNTERSIGN_INGRESS_TRUSTED_PROXIES),
});

/** How senders prove their keys. */
export const senderOptions = (config: IngressConfig) => ({
  certificateHeader: config.COUNTERSIGN_INGRESS_CLIENT_CERT_HEADER,
  trustedProxies: listOf(config.COUNTERSIGN_INGRESS_TRUSTED_PROXIES),
  nonce: config.COUNTERSIGN_INGRESS_DPOP_NONCE,
});

export const mcpOptions = (config: IngressConfig) => ({
  folder: config.COUNTERSIGN_UPSTREAM_CREDENTIALS_DIR,
  environment: upstreamCredentials(),
  authorizationServers: listOf(config.COUNTERSIGN_AUTHORIZATION_SERVERS),
});

/** The parts of a value that is a list separated by commas. */
const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** Begin of the names of variables that hold credentials of upstreams; tenant, two underscores and a name follow. */
export const CREDENTIAL_PREFIX = 'COUNTERSIGN_CREDENTIAL_';

/** The variables of this process that hold credentials of upstreams: named by operators, so in no schema. */
const upstreamCredentials = (): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(
    // oxlint-disable-next-line node/no-process-env -- see above
    Object.entries(process.env).filter(([name]) => name.startsWith(CREDENTIAL_PREFIX)),
  );
