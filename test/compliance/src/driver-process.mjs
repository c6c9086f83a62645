// Runs a network driver (as built) in the network namespace it was started in, and does what the other end of
// the IPC channel asks for.
import { isWardenError, silentLogger } from '@warden/interface';
import { nftablesNetwork, noNetwork } from '@warden/net-nftables';

const kind = JSON.parse(process.argv[2]);
const make = kind === 'none' ? noNetwork() : nftablesNetwork({ ...kind, table: 'warden_kit' });
const driver = make({ logger: silentLogger });

process.on('message', async ({ id, method, args }) => {
  try {
    const member = driver[method];
    process.send({ id, value: typeof member === 'function' ? await member.apply(driver, args) : member });
  } catch (error) {
    const { code, message, fields } = error;
    process.send({ id, error: { known: isWardenError(error), code, message, fields } });
  }
});
process.on('disconnect', () => process.exit(0));
process.send({ id: 0 });
