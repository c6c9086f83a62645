/** Part 2 of all kills. */
import { killSuite } from './kill-suite.ts';

killSuite(1, 2);
