#!/usr/bin/env node
const { load } = require('../dist/program/load.cjs');

const { program, keep } = load('warden');
if (keep !== undefined) process.once('exit', keep);
program.main();
