#!/usr/bin/env node
import { main } from '../dist/program/wardend.js';

await main();
