// @medplum/fhir-router with its MemoryRepository on node:http.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [resources, port, modules] = process.argv.slice(2);
// The package asks for Node 22, which has this class; it names it when it is loaded, and a read never uses it.
globalThis.WebSocket ??= class {};
const entry = pathToFileURL(`${modules}/node_modules/@medplum/fhir-router/dist/esm/index.mjs`);
const { FhirRouter, MemoryRepository } = await import(entry);

const repo = new MemoryRepository();
for (const resource of Object.values(JSON.parse(readFileSync(resources, 'utf8')))) {
  await repo.createResource(resource, { assignedId: true });
}
const router = new FhirRouter();

createServer(async (request, response) => {
  const [outcome, resource] = await router.handleRequest({
    method: request.method, url: request.url, pathname: '', body: undefined, params: {}, query: {}, headers: request.headers,
  }, repo);
  const body = JSON.stringify(resource ?? outcome);
  const headers = { 'Content-Type': 'application/fhir+json', 'Content-Length': Buffer.byteLength(body) };
  response.writeHead(resource ? 200 : 404, headers).end(body);
}).listen(Number(port), '127.0.0.1');
