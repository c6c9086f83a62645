import { modelSuite } from './suite.ts';

modelSuite(1, 2);
