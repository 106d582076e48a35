/**
 * Microsoft Teams: an Adaptive Card through a Workflows webhook, with a link and nothing that decides.
 * @see https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
 */
import { byStatus, JSON_TYPE, NoSecret, type Notice, type Vendor } from './vendor.ts';
import { factsOf, isEnd, quoted, standing, titleOf, UNTRUSTED } from './words.ts';

const EFFECT_MAX = 600;

export const teams: Vendor = {
  groups: false, // a card cannot be changed
  repeatable: () => false,
  make: async (notice, { link, secret }) => {
    // A card cannot be changed later: a new one says how it ended, and nothing in between.
    if (notice.kind === 'update' && !isEnd(notice.event.event)) return undefined;
    const url = await secret('url');
    if (url === '') throw new NoSecret('no address');
    return {
      url,
      headers: { 'content-type': JSON_TYPE },
      body: JSON.stringify({
        type: 'message',
        attachments: [
          {
            contentType: 'application/vnd.microsoft.card.adaptive',
            contentUrl: null,
            content: card(notice, link(notice.approval)),
          },
        ],
      }),
    };
  },
  read: byStatus,
};

/** Runs of text are shown as they are; a TextBlock would read Markdown. */
const line = (text: string, more: object = {}) => ({
  type: 'RichTextBlock',
  inlines: [{ type: 'TextRun', text, ...more }],
});

function card({ event, repeat }: Notice, link: string) {
  const { summary } = event.value;
  return {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    body: [
      line(titleOf(summary), { weight: 'Bolder', size: 'Medium' }),
      ...(summary.effect === '' ? [] : [line(quoted(summary.effect, EFFECT_MAX))]),
      ...factsOf(summary).map(([label, text]) => line(`${label}: ${text}`)),
      line(standing(event.event, event.by, event.value)),
      line(repeat ? `This message may be a repeat. ${UNTRUSTED}` : UNTRUSTED, { isSubtle: true }),
    ],
    actions: [{ type: 'Action.OpenUrl', title: 'Open', url: link }],
  };
}
