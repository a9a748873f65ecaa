// fhir-kit-client: discovery, search in a body, paging by its own links, what comes along, the summary, and an error.
import { Client } from 'fhir-kit-client';
import { accessToken, base, person, tell } from './login.mjs';

const client = new Client({ baseUrl: base });
const { tokenUrl } = await client.smartAuthMetadata();
client.bearerToken = await accessToken(String(tokenUrl));

const statement = await client.capabilityStatement();
const patients = await client.search({
  resourceType: 'Patient',
  searchParams: { identifier: `${person.system}|${person.value}`, birthdate: person.birthDate },
  options: { postSearch: true },
});
const patient = patients.entry.find((one) => one.search.mode === 'match').resource.id;
const read = await client.read({ resourceType: 'Patient', id: patient });

const observations = [];
let pages = 0;
let page = await client.search({ resourceType: 'Observation', searchParams: { patient, _count: 10, _sort: '-date' } });
while (page) {
  pages += 1;
  observations.push(...page.entry.filter((one) => one.search.mode === 'match').map((one) => one.resource.id));
  page = await client.nextPage({ bundle: page });
}

const allergies = await client.search({
  resourceType: 'AllergyIntolerance',
  searchParams: { patient, _include: 'AllergyIntolerance:patient' },
});
const input = {
  resourceType: 'Parameters',
  parameter: [{ name: 'identifier', valueIdentifier: { system: person.system, value: person.value } }],
};
const summary = await client.operation({ name: 'summary', resourceType: 'Patient', input });
const refused = await client.search({ resourceType: 'Observation' }).catch((error) => error.response);

tell({
  fhirVersion: statement.fhirVersion,
  birthDate: read.birthDate,
  pages,
  observations: observations.length,
  different: new Set(observations).size,
  allergies: allergies.entry.filter((one) => one.search.mode === 'match').length,
  included: allergies.entry.filter((one) => one.search.mode === 'include').map((one) => one.resource.resourceType),
  summary: summary.type,
  refused: [refused.status, refused.data.issue[0].details.coding[0].code],
});
