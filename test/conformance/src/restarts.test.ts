/** Old clients over the end of one daemon and the start of the next. */
import { describeWith } from '@warden/test-harness';
import { it } from 'vitest';
import { withRestartableDaemon } from './restartable.ts';
import { runScenario } from './scenario.ts';

const PIDFILE = `/tmp/warden-conformance-${process.pid}.pid`;

describeWith(['root', 'isolated', 'overlayfs', 'ruby'], 'old clients and the pidfile', () => {
  const suite = withRestartableDaemon({ config: { server: { pidfile: PIDFILE } } });
  it('holds the process id while the daemon lives [behaviour 12]', () =>
    runScenario('lifecycle.rb', 'pidfile', {
      daemon: suite.daemon,
      controls: suite.controls,
      facts: { WARDEN_PIDFILE: PIDFILE },
    }));
});

describeWith(['root', 'isolated', 'overlayfs', 'ruby'], 'old clients and the next daemon', () => {
  const suite = withRestartableDaemon();
  const run = (file: string, name: string): Promise<void> => runScenario(file, name, suite);

  it('breaks waiting and idle connections by a drain and answers Link again afterwards [behaviour 11]', () =>
    run('restarts.rb', 'drain_connections'));
  it('answers what a drain finds in progress and drops what is queued [behaviour 11]', () =>
    run('restarts.rb', 'drain_lets_others_finish'));
  it('keeps states, addresses, ports, uids and jobs over a drain [behaviour 19.2]', () =>
    run('restarts.rb', 'drain_keeps'));
  it('keeps containers and jobs over a kill [behaviour 19.2]', () => run('restarts.rb', 'kill'));
  it('destroys what has no snapshot or no init after a kill [behaviour 19.2]', () =>
    run('restarts.rb', 'kill_and_lost_containers'));
  it('lets a client link without end over a kill and a drain [behaviour 19.1]', () =>
    run('production.rb', 'stored_state'));
});
