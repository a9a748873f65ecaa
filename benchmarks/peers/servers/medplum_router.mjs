// @medplum/fhir-router with its MemoryRepository on node:http.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [resources, port, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');

const repo = new MemoryRepository();
for (const resource of Object.values(JSON.parse(readFileSync(resources, 'utf8')))) {
  await repo.createResource(resource, { assignedId: true });
}
const router = new FhirRouter();

createServer(async (request, response) => {
  const [path, query] = request.url.split('?');
  const [outcome, resource] = await router.handleRequest({
    method: request.method, url: request.url, pathname: path, body: undefined, params: {}, headers: request.headers,
    query: Object.fromEntries(new URLSearchParams(query ?? '')),
  }, repo);
  const body = JSON.stringify(resource ?? outcome);
  const headers = { 'Content-Type': 'application/fhir+json', 'Content-Length': Buffer.byteLength(body) };
  response.writeHead(resource ? 200 : 404, headers).end(body);
}).listen(Number(port), '127.0.0.1');
