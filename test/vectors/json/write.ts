/**
 * Writes the vectors of this folder from the tables below; the expectations are by hand, not by
 * our parser. Run once after changing a table: `node test/vectors/json/write.ts`.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';

import type { MalformedJsonCode } from '#contracts/json.ts';

/** Document text (or hex for what is not text), and its canonical text. */
const VALID: readonly [name: string, document: string, canonical: string][] = [
  ['null', 'null', 'null'],
  ['blanks-around', ' \t\r\n[ 1 , 2 ]\n', '[1,2]'],
  ['empty-containers', '{"b":[ ],"a":{ }}', '{"a":{},"b":[]}'],
  ['names-sorted-by-utf16-unit', '{"\\ufb33":1,"\\ud83d\\ude02":2,"\\u20ac":3,"1":4,"\\r":5,"\\u0080":6,"ö":7}',
    '{"\\r":5,"1":4,"\u0080":6,"ö":7,"€":3,"😂":2,"\ufb33":1}'],
  ['names-like-integers-sorted-as-text', '{"10":1,"9":2,"-1":3}', '{"-1":3,"10":1,"9":2}'],
  ['names-inherited-by-objects', '{"toString":1,"hasOwnProperty":2}', '{"hasOwnProperty":2,"toString":1}'],
  ['name-empty', '{"":1}', '{"":1}'],
  ['names-differ-in-case', '{"a":1,"A":2}', '{"A":2,"a":1}'],
  ['names-differ-in-normalisation', '{"\\u00e9":1,"e\\u0301":2}', '{"e\u0301":2,"\u00e9":1}'],
  ['same-name-in-different-objects', '[{"a":1},{"a":{"a":1}}]', '[{"a":1},{"a":{"a":1}}]'],
  ['string-escapes', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\"\\\\/\\b\\f\\n\\r\\t"'],
  ['string-control-escapes', '"\\u0000\\u001F\\u007f"', '"\\u0000\\u001f\u007f"'],
  ['string-html-characters-stay', '"<\\u003e&\\u2028"', '"<>&\u2028"'],
  ['string-surrogate-pair-escaped', '"\\uD83D\\uDE00"', '"😀"'],
  ['string-noncharacter', '"\\uffff"', '"\uffff"'],
  ['string-replacement-character', '"\ufffd"', '"\ufffd"'],
  ['string-byte-order-mark-inside', '"\ufeff"', '"\ufeff"'],
  ['number-integer-limits', '[9007199254740991,-9007199254740991]', '[9007199254740991,-9007199254740991]'],
  ['number-negative-zero-becomes-zero', '[-0,-0.0,-0e5,0]', '[0,0,0,0]'],
  ['number-underflow-becomes-zero', '[1e-400,-1e-400]', '[0,0]'],
  ['number-fraction-rounds-to-double', '[0.1000000000000000055,333333333.33333329]', '[0.1,333333333.3333333]'],
  ['number-integer-written-as-fraction', '[1.0,10e-1,1E2]', '[1,1,100]'],
  ['number-exponents', '[4.50,2e-3,0.000000000000000000000000001,1e-6,1e-7]', '[4.5,0.002,1e-27,0.000001,1e-7]'],
  ['number-smallest-double', '[5e-324,-5e-324]', '[5e-324,-5e-324]'],
  ['depth-32', '['.repeat(32) + ']'.repeat(32), '['.repeat(32) + ']'.repeat(32)],
  ['rfc8785-section-3.2.2-within-i-json',
    '{"numbers":[333333333.33333329,4.50,2e-3],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    '{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'],
];

const hex = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));

/** Document, the fault's code and the byte at which it begins. */
const INVALID: readonly [string, string | Uint8Array, MalformedJsonCode, number][] = [
  ['empty', '', 'syntax', 0],
  ['blank', ' \n', 'syntax', 2],
  ['blank-no-break-space', '\u00a01', 'syntax', 0],
  ['two-values', '1 2', 'syntax', 2],
  ['trailing-nul', '{}\0', 'syntax', 2],
  ['comment', '{}//x', 'syntax', 2],
  ['trailing-comma-in-array', '[1,]', 'syntax', 3],
  ['trailing-comma-in-object', '{"a":1,}', 'syntax', 7],
  ['missing-colon', '{"a" 1}', 'syntax', 5],
  ['unquoted-name', '{a:1}', 'syntax', 1],
  ['single-quotes', "{'a':1}", 'syntax', 1],
  ['name-not-a-string', '{1:1}', 'syntax', 1],
  ['unclosed-array', '[1', 'syntax', 2],
  ['unclosed-object', '{"a":1', 'syntax', 6],
  ['unclosed-string', '"abc', 'syntax', 4],
  ['unclosed-string-at-backslash', '"a\\', 'syntax', 2],
  ['crossed-brackets', '[{]}', 'syntax', 2],
  ['literal-in-capitals', 'True', 'syntax', 0],
  ['literal-cut-off', '[tru]', 'syntax', 1],
  ['control-character-in-string', '"a\tb"', 'syntax', 2],
  ['escape-unknown', '"\\x41"', 'syntax', 1],
  ['escape-unicode-cut-off', '"\\u12"', 'syntax', 1],
  ['escape-unicode-not-hex', '"\\u00g0"', 'syntax', 1],
  ['escape-unicode-capital-u', '"\\U0041"', 'syntax', 1],
  ['number-nan', 'NaN', 'syntax', 0],
  ['number-infinity', '-Infinity', 'syntax', 1],
  ['number-leading-zero', '01', 'syntax', 1],
  ['number-leading-plus', '+1', 'syntax', 0],
  ['number-leading-dot', '.5', 'syntax', 0],
  ['number-trailing-dot', '1.', 'syntax', 2],
  ['number-hexadecimal', '0x10', 'syntax', 1],
  ['number-exponent-without-digits', '1e+', 'syntax', 3],
  ['number-minus-alone', '-', 'syntax', 1],
  ['number-underscore', '1_000', 'syntax', 1],
  ['number-fullwidth-digit', '１', 'syntax', 0],
  ['not-finite-1e400', '{"amount":1e400}', 'number_not_finite', 10],
  ['not-finite-negative', '[-1e400]', 'number_not_finite', 1],
  ['not-finite-long-integer', '9'.repeat(400), 'number_not_finite', 0],
  ['integer-2-to-53', '9007199254740992', 'integer_out_of_range', 0],
  ['integer-2-to-53-plus-1', '[1,9007199254740993]', 'integer_out_of_range', 3],
  ['integer-negative-2-to-53', '-9007199254740992', 'integer_out_of_range', 0],
  ['integer-written-with-exponent', '1e30', 'integer_out_of_range', 0],
  ['integer-written-with-fraction', '9007199254740992.0', 'integer_out_of_range', 0],
  ['integer-after-rounding-a-fraction', '9007199254740991.9', 'integer_out_of_range', 0],
  ['duplicate-key', '{"a":1,"a":1}', 'duplicate_key', 7],
  ['duplicate-key-after-escape-decoding', '{"a":1,"\\u0061":2}', 'duplicate_key', 7],
  ['duplicate-key-nested', '{"é":{"x":1,"y":2,"x":3}}', 'duplicate_key', 19],
  ['duplicate-key-empty', '{"":1,"":2}', 'duplicate_key', 6],
  ['duplicate-key-like-an-index', '{"0":1,"1":2,"0":3}', 'duplicate_key', 13],
  ['duplicate-key-inherited-name', '{"toString":1,"toString":2}', 'duplicate_key', 14],
  ['duplicate-key-with-null', '{"a":null,"a":1}', 'duplicate_key', 10],
  ['forbidden-key-proto', '{"__proto__":{"admin":true}}', 'forbidden_key', 1],
  ['forbidden-key-proto-escaped', '{"\\u005f_proto__":1}', 'forbidden_key', 1],
  ['forbidden-key-constructor', '{"a":{"constructor":1}}', 'forbidden_key', 6],
  ['forbidden-key-prototype', '[{"prototype":1}]', 'forbidden_key', 2],
  ['lone-surrogate-high', '"\\ud800"', 'lone_surrogate', 1],
  ['lone-surrogate-low', '"ab\\udc00"', 'lone_surrogate', 3],
  ['lone-surrogate-two-high', '"\\ud800\\ud800"', 'lone_surrogate', 1],
  ['lone-surrogate-two-low', '"\\udc00\\udc00"', 'lone_surrogate', 1],
  ['lone-surrogate-swapped', '"\\ude00\\ud83d"', 'lone_surrogate', 1],
  ['lone-surrogate-then-text', '"\\ud83dx"', 'lone_surrogate', 1],
  ['lone-surrogate-then-other-escape', '"\\ud83d\\n"', 'lone_surrogate', 1],
  ['lone-surrogate-in-name', '{"\\udfff":1}', 'lone_surrogate', 2],
  ['utf8-surrogate-encoded', hex('"', [0xed, 0xa0, 0x80], '"'), 'invalid_utf8', 1],
  ['utf8-overlong-slash', hex('"', [0xc0, 0xaf], '"'), 'invalid_utf8', 1],
  ['utf8-beyond-unicode', hex('"', [0xf4, 0x90, 0x80, 0x80], '"'), 'invalid_utf8', 1],
  ['utf8-continuation-alone', hex('"a', [0x80], '"'), 'invalid_utf8', 2],
  ['utf8-cut-off', hex('"', [0xe2, 0x82]), 'invalid_utf8', 1],
  ['utf8-latin1', hex('"caf', [0xe9], '"'), 'invalid_utf8', 4],
  ['utf8-after-replacement-character', hex('"\ufffd\ufffd', [0xff], '"'), 'invalid_utf8', 7],
  ['utf16-little-endian', hex([0x5b, 0x00, 0x5d, 0x00]), 'syntax', 1],
  ['byte-order-mark', hex([0xef, 0xbb, 0xbf], '{}'), 'byte_order_mark', 0],
  ['byte-order-mark-utf16', hex([0xff, 0xfe, 0x5b, 0x00]), 'invalid_utf8', 0],
  ['too-deep-arrays', '['.repeat(33) + ']'.repeat(33), 'too_deep', 32],
  ['too-deep-mixed', '{"a":['.repeat(16) + '{', 'too_deep', 96],
  ['too-deep-unclosed', '['.repeat(1000), 'too_deep', 32],
];

function write(folder: string, name: string, vector: object): void {
  const path = new URL(`${folder}/${name}.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(vector, null, 2)}\n`);
}

for (const folder of ['valid', 'invalid']) {
  rmSync(new URL(folder, import.meta.url), { recursive: true, force: true });
  mkdirSync(new URL(folder, import.meta.url));
}
for (const [name, document, canonical] of VALID) {
  write('valid', name, { hex: Buffer.from(document).toString('hex'), canonical });
}
for (const [name, document, code, offset] of INVALID) {
  write('invalid', name, { hex: Buffer.from(document).toString('hex'), code, offset });
}
