/** The groups that the original's tests share between both backends, asked of plain processes. */
import { describeWith, withDaemon } from '@warden/test-harness';
import { it } from 'vitest';
import { withRestartableDaemon } from './restartable.ts';
import { runScenario } from './scenario.ts';

const OUTPUT_LIMIT = 1_048_576;
const PIDFILE = `/tmp/warden-conformance-insecure-${process.pid}.pid`;
const CONFIG = {
  server: {
    container_klass: 'Warden::Container::Insecure',
    job_output_limit: OUTPUT_LIMIT,
    pidfile: PIDFILE,
  },
};
const FACTS = { WARDEN_BACKEND: 'insecure', WARDEN_OUTPUT_LIMIT: String(OUTPUT_LIMIT) };

describeWith(['root', 'isolated', 'ruby'], 'old clients and the insecure backend', () => {
  const suite = withDaemon({ config: CONFIG });
  const run = (file: string, name: string): Promise<void> =>
    runScenario(file, name, { daemon: suite.daemon, facts: FACTS });

  it('lifecycle: creates and destroys [behaviour 16]', () => run('lifecycle.rb', 'create_and_destroy'));
  it('lifecycle: takes a custom handle once [behaviour 16]', () => run('lifecycle.rb', 'custom_handle'));
  it('lifecycle: takes any bytes as a handle [behaviour 16]', () => run('bytes.rb', 'handles'));
  it('lifecycle: lists in order [behaviour 16]', () => run('lifecycle.rb', 'list'));
  it('lifecycle: stops [behaviour 16]', () => run('lifecycle.rb', 'stop'));
  it('lifecycle: lets one of several concurrent creates have a handle [behaviour 16]', () =>
    run('lifecycle.rb', 'concurrent_creates'));
  it('lifecycle: answers whoever waits on a job of a destroyed container [behaviour 16]', () =>
    run('lifecycle.rb', 'destroy_ends_jobs'));
  it('lifecycle: destroys after the grace time [behaviour 16]', () => run('lifecycle.rb', 'grace_time'));
  it('lifecycle: destroys at once with a grace time of zero [behaviour 16]', () =>
    run('presence.rb', 'grace_time_zero'));

  it('running commands: runs, links and streams [behaviour 16]', () => run('jobs.rb', 'running'));
  it('running commands: discards output [behaviour 16]', () => run('jobs.rb', 'discarded'));
  it('running commands: limits output [behaviour 16]', () => run('jobs.rb', 'output_limit'));
  it('running commands: stops with traps and by kill [behaviour 16]', () => run('jobs.rb', 'stop_traps'));
  it('running commands: answers several waiters [behaviour 16]', () => run('jobs.rb', 'several_waiters'));
  it('running commands: streams an abandoned job again [behaviour 16]', () =>
    run('jobs.rb', 'abandoned_stream'));
  it('running commands: keeps the result of an abandoned Link [behaviour 16]', () =>
    run('jobs.rb', 'abandoned_link'));
  it('running commands: feeds the script on standard input [behaviour 16]', () =>
    run('jobs.rb', 'script_from_standard_input'));
  it('running commands: serves a log agent [behaviour 16]', () => run('production.rb', 'log_agent'));
  it('running commands: ends a job with its script [behaviour 16]', () =>
    run('jobs.rb', 'children_left_behind'));

  it('info: answers the base fields [behaviour 16]', () => run('lifecycle.rb', 'info'));
  it('file transfer: copies in and out [behaviour 16]', () => run('lifecycle.rb', 'file_transfer'));
  it('file transfer: copies the results of a staging [behaviour 16]', () =>
    run('production.rb', 'staging_copies'));
  it('file transfer: serves the v1 copy commands [behaviour 16]', () => run('v1.rb', 'copies'));
  it('serves the v1 commands of a container [behaviour 16]', () => run('v1.rb', 'lifecycle'));
  it('satisfies a strict reader [behaviour 16]', () => run('strict.py', 'lifecycle'));
});

describeWith(['root', 'isolated', 'ruby'], 'old clients and the next insecure daemon', () => {
  const suite = withRestartableDaemon({ config: CONFIG });
  const run = (file: string, name: string): Promise<void> =>
    runScenario(file, name, {
      daemon: suite.daemon,
      controls: suite.controls,
      facts: { ...FACTS, WARDEN_PIDFILE: PIDFILE },
    });

  it('drain: breaks waiting and idle connections, Link works afterwards [behaviour 16]', () =>
    run('restarts.rb', 'drain_connections'));
  it('drain: answers what is in progress [behaviour 16]', () =>
    run('restarts.rb', 'drain_lets_others_finish'));
  it('drain: keeps states and jobs [behaviour 16]', () => run('restarts.rb', 'drain_keeps'));
  it('snapshotting: writes snapshots [behaviour 16]', () => run('lifecycle.rb', 'snapshot'));
  it('snapshotting: keeps containers and jobs over a kill [behaviour 16]', () => run('restarts.rb', 'kill'));
  it('pidfile: holds the process id [behaviour 16]', () => run('lifecycle.rb', 'pidfile'));
});
