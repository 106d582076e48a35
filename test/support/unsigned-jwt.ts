/** A token in the form of a JWT with the given claims and a signature that proves nothing. */
export function jwt(claims: unknown, signature = 'c2lnbmF0dXJl'): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}.${signature}`;
}
