#!/usr/bin/env node
const { load } = require('../dist/program/load.cjs');

const { program, keep } = load('wardend');
program.main(process.argv.slice(2), keep);
