// Writes docs/configuration.md, docs/errors.md and the manual pages from the tables of the built packages;
// tests keep them equal.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualPages } from '../packages/cli/dist/words/manual.js';
import { describeConfiguration, describeErrors, SCHEMA } from '../packages/daemon/dist/index.js';
import { ERROR_CODES } from '../packages/interface/dist/index.js';

const docs = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../docs');
fs.writeFileSync(path.join(docs, 'configuration.md'), describeConfiguration(SCHEMA));
fs.writeFileSync(path.join(docs, 'errors.md'), describeErrors(ERROR_CODES));

const manual = path.resolve(docs, '../packages/cli/man');
fs.rmSync(manual, { recursive: true, force: true });
fs.mkdirSync(manual);
for (const [name, text] of manualPages()) fs.writeFileSync(path.join(manual, name), text);
