/**
 * Traces by OpenTelemetry, exported by OTLP over HTTP when the standard variable OTEL_EXPORTER_OTLP_ENDPOINT is set.
 * The SDK is loaded only then; without it every function here does nothing and costs nothing. Observation stays
 * outside: callers tell a finished stage with its times, so no check is wrapped.
 */
import type { Attributes, SpanContext } from '@opentelemetry/api';

/** A stage that has ended; times in milliseconds since the epoch, fractions allowed. */
export interface Stage {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes?: Attributes;
}

/** A span that is open. `traceparent` (W3C) goes to whoever works for it. */
export interface OpenSpan {
  readonly traceparent: string;
  readonly stage: (stage: Stage) => void;
  /** @param error empty when all went as it should; a refusal is no error */
  readonly end: (attributes?: Attributes, error?: string) => void;
}

export interface Tracing {
  readonly enabled: boolean;
  /** Opens a span below `parent` (a traceparent, or empty). Span names are templates, never ids. */
  readonly begin: (
    name: string,
    kind: 'server' | 'client' | 'consumer',
    from: { readonly parent: string; readonly attributes?: Attributes },
  ) => OpenSpan;
  readonly close: () => Promise<void>;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

const nothing = () => undefined;
const OFF: Tracing = {
  enabled: false,
  begin: (_name, _kind, { parent }) => ({ traceparent: parent, stage: nothing, end: nothing }),
  close: () => Promise.resolve(),
};

/** @param endpoint base address of an OTLP/HTTP receiver; empty = no traces */
export async function startTracing(service: string, endpoint: string): Promise<Tracing> {
  if (endpoint === '') return OFF;
  const [
    { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace },
    { BatchSpanProcessor, TracerProvider },
    { OTLPTraceExporter },
    { resourceFromAttributes },
  ] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const exporter = new OTLPTraceExporter({ url: new URL('/v1/traces', endpoint).href });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': service,
      'service.namespace': 'countersign',
    }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer('countersign');
  const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, consumer: SpanKind.CONSUMER };
  const contextOf = (parent: string) => {
    const remote = remoteOf(parent);
    return remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
  };
  return {
    enabled: true,
    begin: (name, kind, { parent, attributes = {} }) => {
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes }, contextOf(parent));
      const { traceId, spanId, traceFlags } = span.spanContext();
      const below = trace.setSpan(ROOT_CONTEXT, span);
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        stage: ({ name: stage, startMs, endMs, attributes: told = {} }) => {
          tracer
            .startSpan(stage, { startTime: new Date(startMs), attributes: told }, below)
            .end(new Date(endMs));
        },
        end: (told = {}, error = '') => {
          span.setAttributes(told);
          if (error !== '') span.setStatus({ code: SpanStatusCode.ERROR, message: error });
          span.end();
        },
      };
    },
    close: () => provider.shutdown(),
  };
}

/** untrusted: a traceparent comes from callers; what is none starts a trace of its own. */
function remoteOf(parent: string): SpanContext | undefined {
  const match = TRACEPARENT.exec(parent);
  if (match === null) return undefined;
  const [, traceId = '', spanId = '', flags = ''] = match;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}
