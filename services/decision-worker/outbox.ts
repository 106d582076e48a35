/** Answers that become ready in one turn leave as one message for each ingress, within what the broker takes. */
import { encodeAnswers, type WorkerAnswer } from '#contracts/call.ts';

export interface Outbox {
  /** @throws when an answer alone is more than the broker takes */
  readonly put: (reply: string, answer: WorkerAnswer) => void;
  readonly flush: () => void;
}

/** At most three bytes each in UTF-8: with that still below the 1 MiB of a message. */
const MESSAGE_CHARS_MAX = 256 * 1024;

interface Group {
  readonly reply: string;
  text: string;
}

/** Any reply subject of an ingress reaches it, so answers to several of its messages share one. */
export function createOutbox(publish: (subject: string, message: string) => void): Outbox {
  let waiting = new Map<string, Group>();
  const flush = () => {
    const ready = waiting;
    waiting = new Map();
    for (const { reply, text } of ready.values()) publish(reply, text);
  };
  return {
    flush,
    put: (reply, answer) => {
      const line = encodeAnswers([answer]);
      if (line.length > MESSAGE_CHARS_MAX) return publish(reply, line);
      if (waiting.size === 0) setImmediate(flush);
      const inbox = reply.slice(0, reply.lastIndexOf('.'));
      const group = waiting.get(inbox) ?? { reply, text: '' };
      if (group.text !== '' && group.text.length + line.length > MESSAGE_CHARS_MAX) {
        publish(group.reply, group.text);
        group.text = '';
      }
      group.text += line;
      waiting.set(inbox, group);
    },
  };
}
