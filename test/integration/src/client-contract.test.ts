/** The cases that every client holds to, against a real daemon. The fake's own are in packages/client. */
import { CLIENT_CONTRACT } from '@warden/client/testing';
import { describeWith, withDaemon } from '@warden/test-harness';
import { it } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs'], 'the client against a daemon', () => {
  const suite = withDaemon();
  for (const { title, run } of CLIENT_CONTRACT)
    it(title, () => run({ connect: () => suite.daemon.connect() }));
});
