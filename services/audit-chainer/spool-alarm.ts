/** How full the streams before the chain are. A full one refuses records, and with them calls: people hear of it before. */
import { CONSUMERS, type StreamName } from '#contracts/streams.ts';
import type { Logger } from '#host/log.ts';
import type { Bus } from '#host/nats.ts';

import { CHAINED } from './sealed-through.ts';

const ASK_MS = 5_000;
/** From here on it is an alarm. */
export const ALARM_RATIO = 0.6;
/** Below this it is over: not at each record that comes and goes. */
const CALM_RATIO = 0.5;

export interface SpoolAlarm {
  /** Bytes used of those allowed, by stream; a stream is missing until it was asked. */
  readonly used: () => ReadonlyMap<StreamName, number>;
  /** What people have to know, empty while there is room. */
  readonly fault: () => string;
  readonly close: () => void;
}

/** @param onAlarm called when a stream passes the limit, not again before it was below */
export function watchSpool(
  bus: Bus,
  log: Logger,
  onAlarm: (stream: StreamName, sentence: string) => void,
): SpoolAlarm {
  const used = new Map<StreamName, number>();
  const alarmed = new Map<StreamName, string>();
  const ask = async () => {
    for (const name of CHAINED) {
      const { stream } = CONSUMERS[name];
      const { config, state } = await bus.jsm.streams.info(stream);
      const ratio = config.max_bytes > 0 ? state.bytes / config.max_bytes : 0;
      used.set(stream, ratio);
      if (ratio < CALM_RATIO) alarmed.delete(stream);
      if (ratio < ALARM_RATIO && !alarmed.has(stream)) continue;
      const sentence = `${stream} holds ${Math.floor(ratio * 100)} % of its bytes; when it is full, calls are refused`;
      const isNew = !alarmed.has(stream);
      alarmed.set(stream, sentence);
      if (!isNew) continue;
      log.error({ stream, ratio }, 'the spool fills up');
      onAlarm(stream, sentence);
    }
  };
  const again = () =>
    void ask().catch((error: unknown) => log.debug({ err: error }, 'the spool cannot be asked'));
  again();
  const timer = setInterval(again, ASK_MS);
  return {
    used: () => used,
    fault: () => [...alarmed.values()].join('; '),
    close: () => clearInterval(timer),
  };
}
