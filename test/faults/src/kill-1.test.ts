/** Part 1 of all kills. */
import { killSuite } from './kill-suite.ts';

killSuite(0, 2);
