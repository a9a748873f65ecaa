// How a client gets a token without a user: SMART Backend Services with a key of its own (private_key_jwt).
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { importJWK, SignJWT } from 'jose';

const { GATEWAY_BASE, GATEWAY_CLIENT_ID, GATEWAY_KEY_FILE, GATEWAY_BSN, GATEWAY_BIRTH_DATE } = process.env;

export const base = GATEWAY_BASE;
export const person = {
  system: 'http://fhir.nl/fhir/NamingSystem/bsn',
  value: GATEWAY_BSN,
  birthDate: GATEWAY_BIRTH_DATE,
};

export async function accessToken(tokenEndpoint) {
  const key = JSON.parse(readFileSync(GATEWAY_KEY_FILE, 'utf8'));
  const assertion = await new SignJWT({ extensions: { 'hl7-b2b': { version: '1', purpose_of_use: ['TREAT'] } } })
    .setProtectedHeader({ alg: 'ES384', kid: key.kid, typ: 'JWT' })
    .setIssuer(GATEWAY_CLIENT_ID)
    .setSubject(GATEWAY_CLIENT_ID)
    .setAudience(tokenEndpoint)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime('4m')
    .sign(await importJWK(key, 'ES384'));
  const answer = await fetch(tokenEndpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope: 'system/*.rs',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return (await answer.json()).access_token;
}

// What was read, for the test that started this.
export function tell(found) {
  console.log(JSON.stringify(found));
}
