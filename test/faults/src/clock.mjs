// Loaded into the daemon before anything else: its wall clock is off by as many milliseconds as a file says.
import fs from 'node:fs';

const file = process.env.WARDEN_TEST_CLOCK;
const now = Date.now;
const offset = () => Number(fs.readFileSync(file, 'utf8'));
class Shifted extends Date {
  constructor(...given) {
    super(...(given.length === 0 ? [now() + offset()] : given));
  }
  static now() {
    return now() + offset();
  }
}
globalThis.Date = Shifted;
