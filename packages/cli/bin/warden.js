#!/usr/bin/env node
import { main } from '../dist/program/warden.js';

await main();
