// Many clients that run jobs in one container as fast as they get answers: node run-storm.mjs SOCKET HANDLE
// CLIENTS SECONDS. Prints {"runs", "wrong"}.
import { connect } from '@warden/client';

const [path, handle, clients, seconds] = process.argv.slice(2);
const until = performance.now() + Number(seconds) * 1_000;
let runs = 0;
const wrong = [];
await Promise.all(
  Array.from({ length: Number(clients) }, async (_, client) => {
    const warden = await connect({ path });
    for (let at = 0; performance.now() < until; at++) {
      const { stdoutText, exitStatus } = await warden.container(handle).run(`echo ${client} ${at}`);
      if (exitStatus !== 0 || stdoutText !== `${client} ${at}\n`)
        wrong.push(`${client} ${at}: ${exitStatus}`);
      runs++;
    }
    await warden.close();
  }),
);
process.stdout.write(JSON.stringify({ runs, wrong }));
