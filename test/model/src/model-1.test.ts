import { modelSuite } from './suite.ts';

modelSuite(0, 2);
