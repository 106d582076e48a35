/** The one list of vendors, by kind of channel. */
import type { Channel } from './channels.ts';
import { pagerduty } from './pagerduty.ts';
import { slack } from './slack.ts';
import { teams } from './teams.ts';
import type { Vendor } from './vendor.ts';
import { webhook } from './webhook.ts';

export const VENDORS: Readonly<Record<Channel['kind'], Vendor>> = {
  slack,
  webhook,
  pagerduty,
  teams,
};
