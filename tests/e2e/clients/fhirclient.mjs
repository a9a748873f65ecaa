// fhirclient of SMART: a token of Backend Services, pages by its own pageLimit, references it resolves, the summary, and an error.
import smart from 'fhirclient';
import { accessToken, base, person, tell } from './login.mjs';

const open = new smart.FhirClient(base);
const statement = await open.fhirRequest('metadata');
const { token_endpoint: tokenEndpoint } = await open.fhirRequest('.well-known/smart-configuration');
const storage = { get: async () => undefined, set: async (_, value) => value, unset: async () => true };
const token = await accessToken(tokenEndpoint);
const client = smart({ headers: {} }, {}, storage).client({ serverUrl: base, tokenResponse: { access_token: token } });

const form = new URLSearchParams({ identifier: `${person.system}|${person.value}`, birthdate: person.birthDate });
const headers = { 'content-type': 'application/x-www-form-urlencoded' };
const patients = await client.request({ url: 'Patient/_search', method: 'POST', headers, body: String(form) });
const patient = patients.entry.find((one) => one.search.mode === 'match').resource.id;
const read = await client.request(`Patient/${patient}`);

let pages = 0;
const observations = [];
await client.request(`Observation?patient=${patient}&_count=10&_sort=-date`, {
  pageLimit: 0,
  onPage: (page) => {
    pages += 1;
    observations.push(...page.entry.filter((one) => one.search.mode === 'match').map((one) => one.resource.id));
  },
});

const allergies = await client.request(`AllergyIntolerance?patient=${patient}&_include=AllergyIntolerance:patient`);
const flat = await client.request(`AllergyIntolerance?patient=${patient}`, { flat: true, resolveReferences: 'patient' });
const summary = await client.request(`Patient/${patient}/$summary`);
const refused = await client.request('Observation').catch((error) => error);

tell({
  fhirVersion: statement.fhirVersion,
  birthDate: read.birthDate,
  pages,
  observations: observations.length,
  different: new Set(observations).size,
  allergies: flat.filter((one) => one.patient?.id === patient).length,
  included: allergies.entry.filter((one) => one.search.mode === 'include').map((one) => one.resource.resourceType),
  summary: summary.type,
  refused: [refused.status, /patient-required/.test(String(refused.message)) ? 'patient-required' : refused.message],
});
