// @asymmetrik/node-fhir-server-core with one service per type, resources as instances of its own classes in a Map.
const { readFileSync, writeFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');

const [resources, port, modules] = process.argv.slice(2);
const core = createRequire(`${modules}/`)('@asymmetrik/node-fhir-server-core');
const kept = new Map();
for (const [path, resource] of Object.entries(JSON.parse(readFileSync(resources, 'utf8')))) {
  kept.set(path, new (core.resolveSchema('4_0_0', resource.resourceType.toLowerCase()))(resource));
}
const profiles = {};
for (const kind of new Set([...kept.keys()].map((path) => path.split('/')[0]))) {
  // A service is named by a file; this one makes a file per type beside the resources.
  const service = join(dirname(resources), `${kind.toLowerCase()}.service.cjs`);
  writeFileSync(service, `exports.searchById = async (args) => globalThis.kept.get('${kind}/' + args.id);\n`);
  profiles[kind.toLowerCase()] = { service, versions: ['4_0_0'] };
}
globalThis.kept = kept;
core.initialize({ profiles, logging: { level: 'error' } }).listen(Number(port), '127.0.0.1');
