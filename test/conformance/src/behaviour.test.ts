/** What clients rely on, asked of the daemon by a client of its time. */
import { describeWith, HOST_ADDRESS, withDaemon } from '@warden/test-harness';
import { it } from 'vitest';
import { runScenario } from './scenario.ts';

const OUTPUT_LIMIT = 1_048_576;

describeWith(['root', 'isolated', 'overlayfs', 'ruby'], 'old clients and their containers', () => {
  const suite = withDaemon({ config: { server: { job_output_limit: OUTPUT_LIMIT } } });
  const run = (file: string, name: string): Promise<void> =>
    runScenario(file, name, {
      daemon: suite.daemon,
      facts: { WARDEN_OUTPUT_LIMIT: String(OUTPUT_LIMIT), WARDEN_HOST_ADDRESS: HOST_ADDRESS },
    });

  it('creates and destroys [behaviour 5 Create]', () => run('lifecycle.rb', 'create_and_destroy'));
  it('takes a custom handle once [behaviour 19.2]', () => run('lifecycle.rb', 'custom_handle'));
  it('lets one of several concurrent creates have a handle [behaviour 20.24]', () =>
    run('lifecycle.rb', 'concurrent_creates'));
  it('lists in order, stopped ones too [behaviour 5 List]', () => run('lifecycle.rb', 'list'));
  it('stops, and refuses what needs an active container [behaviour 4]', () => run('lifecycle.rb', 'stop'));
  it('answers whoever waits on a job of a destroyed container [behaviour 5 Destroy]', () =>
    run('lifecycle.rb', 'destroy_ends_jobs'));
  it('destroys after the grace time [behaviour 8]', () => run('lifecycle.rb', 'grace_time'));
  it('keeps a container that another connection has named [behaviour 8]', () =>
    run('lifecycle.rb', 'grace_time_cancelled'));
  it('answers info [behaviour 5 Info]', () => run('lifecycle.rb', 'info'));
  it('writes snapshots of the documented form [behaviour 9]', () => run('lifecycle.rb', 'snapshot'));

  it('copies files in and out [behaviour 5 CopyIn]', () => run('lifecycle.rb', 'file_transfer'));
  it('copies the results of a staging out, owned as asked [behaviour 19.1]', () =>
    run('production.rb', 'staging_copies'));

  it('runs, links and streams jobs [behaviour 5 Run]', () => run('jobs.rb', 'running'));
  it('discards output without a limit [behaviour 6.4]', () => run('jobs.rb', 'discarded'));
  it('ends jobs over the output limit, by Run and Stream, on both streams [behaviour 19.2]', () =>
    run('jobs.rb', 'output_limit'));
  it('answers Link with the status of a trapped stop, 255 of a kill [behaviour 19.2]', () =>
    run('jobs.rb', 'stop_traps'));
  it('answers two Links and two Streams on one job, and no third [behaviour 19.2]', () =>
    run('jobs.rb', 'several_waiters'));
  it('streams an abandoned job again from its start [behaviour 19.2]', () =>
    run('jobs.rb', 'abandoned_stream'));
  it('keeps the result of an abandoned Link [behaviour 20.12]', () => run('jobs.rb', 'abandoned_link'));
  it('keeps the result of a silent stream that was left [behaviour 20.12]', () =>
    run('jobs.rb', 'silent_stream_left'));
  it('feeds the script on standard input in the documented environment [behaviour 6.3]', () =>
    run('jobs.rb', 'script_from_standard_input'));
  it('ends a job with its script [behaviour 6.4]', () => run('jobs.rb', 'children_left_behind'));

  it('serves the whole start sequence of the production client [behaviour 19.1]', () =>
    run('production.rb', 'start_sequence'));
  it('lets a log agent read the sockets of a job [behaviour 6.2]', () => run('production.rb', 'log_agent'));
  it('tells the reason of a crash in the answer of Link [behaviour 19.1]', () =>
    run('production.rb', 'crash_reason'));
  it('kills on a staging timeout [behaviour 19.1]', () => run('production.rb', 'staging'));
  it("reaches an app by the host's own address [behaviour 19.1]", () =>
    run('production.rb', 'app_health_check'));
});
