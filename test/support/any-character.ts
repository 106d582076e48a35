// Any character of Unicode, for random texts.

import fc from 'fast-check';

const SURROGATES = { from: 0xd800, many: 0x800 };

/** What fast-check calls the unit `binary`, whose tables take a second to make. */
export const anyCharacter = fc
  .integer({ min: 0, max: 0x10ffff - SURROGATES.many })
  .map((n) => String.fromCodePoint(n < SURROGATES.from ? n : n + SURROGATES.many));
