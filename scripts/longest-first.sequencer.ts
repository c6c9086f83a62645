import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Small files that run for long: one that begins when all others have ended would keep a single worker busy. */
const LONG = /\/(?:kernel|native-programs|compliance\/src\/network[^/]*|copy-confined)\.test\.ts$/;

/** Vitest's own order (what took longest the last time, else the largest file), behind what is known to take long. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = (file: TestSpecification) => LONG.test(file.moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
