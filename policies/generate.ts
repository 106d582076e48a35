/** Writes policies/capabilities.json anew from the pinned opa: `node policies/generate.ts`. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

import { findBinary } from '#cli/local/binaries.ts';

import { capabilitiesFrom, type OpaCapabilities } from './engine/capabilities.ts';

const opa = await findBinary('opa');
const current = JSON.parse(
  execFileSync(opa, ['capabilities', '--current'], { encoding: 'utf8', maxBuffer: 8 << 20 }),
) as OpaCapabilities;
const file = new URL('capabilities.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(capabilitiesFrom(current), null, 2)}\n`);
