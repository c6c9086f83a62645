// Writes docs/configuration.md and docs/errors.md from the tables of the built packages; a test keeps them equal.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeConfiguration, describeErrors, SCHEMA } from '../packages/daemon/dist/index.js';
import { ERROR_CODES } from '../packages/interface/dist/index.js';

const docs = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../docs');
fs.writeFileSync(path.join(docs, 'configuration.md'), describeConfiguration(SCHEMA));
fs.writeFileSync(path.join(docs, 'errors.md'), describeErrors(ERROR_CODES));
