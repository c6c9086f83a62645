/** The wire protocol, spoken by clients that share nothing with the daemon. */
import { describeWith, withDaemon } from '@warden/test-harness';
import { it } from 'vitest';
import { runScenario } from './scenario.ts';

describeWith(['root', 'isolated', 'overlayfs', 'ruby', 'python3'], 'old clients on the wire', () => {
  const suite = withDaemon();
  const run = (file: string, name: string): Promise<void> =>
    runScenario(file, name, { daemon: suite.daemon });

  it('takes a frame byte by byte and acts on the whole one only [protocol 2]', () =>
    run('framing.rb', 'byte_by_byte'));
  it('takes a frame cut at every place [protocol 2]', () => run('framing.rb', 'cut_anywhere'));
  it('takes header, body and trailer as separate writes [protocol 2]', () =>
    run('framing.rb', 'two_writes_per_frame'));
  it('takes a thousand frames in one write and answers in order [protocol 2]', () =>
    run('framing.rb', 'many_in_one_write'));
  it('never speaks first [protocol 1]', () => run('framing.rb', 'silent_server'));
  it('answers one error to each odd header and closes [protocol 2.1]', () =>
    run('framing.rb', 'odd_headers'));
  it('reads leading zeros as decimal [protocol 2.1]', () => run('framing.rb', 'leading_zeros'));
  it('answers an error to an empty message and stays in step [protocol 2.1]', () =>
    run('framing.rb', 'empty_message'));
  it('answers an error to a wrong trailer and closes [protocol 2.1]', () =>
    run('framing.rb', 'wrong_trailer'));
  it('takes a frame of exactly the limit and refuses one byte more by its header [protocol 2.1]', () =>
    run('framing.rb', 'largest_frame'));
  it('takes a half-close for the end of the client and keeps its job [protocol 1]', () =>
    run('framing.rb', 'half_close'));
  it('works byte for byte through a TCP proxy [protocol 1]', () => run('sync.rb', 'tcp_proxy'));

  it('is written by an old encoder as in the worked examples [protocol 5]', () =>
    run('golden.rb', 'requests'));
  it('answers Ping by the nine bytes of the worked example [protocol 5]', () => run('golden.rb', 'ping'));
  it('answers Create by the bytes of the worked example [protocol 5]', () => run('golden.rb', 'create'));
  it('answers an empty Create by the bytes of the worked example [protocol 5]', () =>
    run('golden.rb', 'generated_handle'));
  it('answers an error by the bytes of the worked example and data behind them [protocol 5]', () =>
    run('golden.rb', 'error'));
  it('answers Run and the last Stream by the bytes of the worked examples [protocol 5]', () =>
    run('golden.rb', 'results'));
  it('answers Info by the bytes of the worked example, job ids unpacked [protocol 4]', () =>
    run('golden.rb', 'info'));

  it('pairs pipelined answers by order, errors in their place [protocol 6]', () =>
    run('order.rb', 'pipelined'));
  it('lets others wait behind a long Run and other connections not [protocol 6]', () =>
    run('order.rb', 'behind_a_long_run'));
  it('answers every request of a flood without starving others [protocol 6]', () => run('order.rb', 'flood'));
  it('goes on with the request of a gone client and drops what it had queued [protocol 6]', () =>
    run('order.rb', 'gone_in_the_middle'));
  it('survives clients that leave in the middle of a frame [protocol 2]', () =>
    run('order.rb', 'half_a_frame_then_gone'));

  it('tells an absent limit (read) from a zero one (write) [protocol 4]', () => run('presence.rb', 'limits'));
  it('tells a grace time of zero from an absent one [protocol 4]', () =>
    run('presence.rb', 'grace_time_zero'));
  it('writes exit status 0 and empty outputs [protocol 4]', () => run('presence.rb', 'exit_status_zero'));
  it('writes empty payloads [protocol 4]', () => run('presence.rb', 'empty_payloads'));
  it('leaves empty lists out [protocol 4]', () => run('presence.rb', 'absent_lists'));
  it('takes absent flags for false [protocol 4]', () => run('presence.rb', 'flags_default_to_false'));

  it('echoes any bytes [protocol 4]', () => run('bytes.rb', 'echo'));
  it('echoes eight mebibytes [protocol 4]', () => run('bytes.rb', 'large_echo'));
  it('takes any bytes as a handle [protocol 4]', () => run('bytes.rb', 'handles'));
  it('carries scripts and outputs of any bytes [protocol 4]', () => run('bytes.rb', 'scripts'));
  it('answers errors about names of any bytes [protocol 4]', () =>
    run('bytes.rb', 'unknown_bytes_in_errors'));

  it('skips unknown fields of every wire type [protocol 4]', () => run('decoding.rb', 'unknown_fields'));
  it('takes fields in any order [protocol 4]', () => run('decoding.rb', 'any_order'));
  it('takes the last value of a repeated occurrence [protocol 4]', () => run('decoding.rb', 'last_wins'));
  it('answers more than one job id to a decoder that knows no packed lists [protocol 4]', () =>
    run('decoding.rb', 'job_ids'));
  it('answers an error to unlisted enum numbers [protocol 4]', () => run('decoding.rb', 'open_enums'));

  it('answers an error to each row of malformed input and the frame behind it at once [protocol 7]', () =>
    run('malformed.rb', 'rows'));
  it('answers refused requests by the original texts and keeps the connection [protocol 7]', () =>
    run('malformed.rb', 'refused_requests'));
  it('answers unknown handle to every request that names one [behaviour 3]', () =>
    run('malformed.rb', 'unknown_handle_everywhere'));
  it('goes on after bytes at random [protocol 7]', () => run('malformed.rb', 'fuzz'));
});

describeWith(['root', 'isolated', 'overlayfs', 'ruby'], 'a daemon with other bounds', () => {
  const limit = 100_000;
  const suite = withDaemon({ config: { server: { max_frame_bytes: limit } } });
  it('takes the configured limit of a frame [protocol 2.1]', () =>
    runScenario('framing.rb', 'largest_frame', {
      daemon: suite.daemon,
      facts: { WARDEN_FRAME_LIMIT: String(limit) },
    }));
});

describeWith(['root', 'isolated', 'overlayfs', 'ruby', 'python3'], 'old client libraries', () => {
  const suite = withDaemon();
  const run = (file: string, name: string): Promise<void> =>
    runScenario(file, name, { daemon: suite.daemon });

  it('serves a synchronous client that connects and reconnects [protocol 9.1]', () =>
    run('sync.rb', 'connecting'));
  it('keeps the connection of a synchronous client after an error [protocol 9.1]', () =>
    run('sync.rb', 'server_errors'));
  it('ends a synchronous client by an end of file it can recover from [protocol 9.1]', () =>
    run('sync.rb', 'end_of_file'));
  it('serves any request by its name [protocol 9.1]', () => run('sync.rb', 'any_request_by_name'));
  it('streams to a synchronous client until the status comes [protocol 9.1]', () => run('sync.rb', 'stream'));
  it('streams a job without output by its final response only [protocol 8 Stream]', () =>
    run('sync.rb', 'stream_of_discarded_output'));
  it('serves an evented client that pipelines [protocol 9.2]', () => run('evented.rb', 'pairs_by_order'));
  it('serves v1 commands of an evented client [protocol 9.2]', () => run('evented.rb', 'v1_commands'));
  it('fails all that an evented client waits for when the connection ends [protocol 9.2]', () =>
    run('evented.rb', 'disconnected'));
  it('serves the v1 commands of a container [protocol 9.3]', () => run('v1.rb', 'lifecycle'));
  it('serves the v1 arguments [protocol 9.3]', () => run('v1.rb', 'arguments'));
  it('serves the v1 copy commands [protocol 9.3]', () => run('v1.rb', 'copies'));
  it('serves the v1 bandwidth command [protocol 9.3]', () => run('v1.rb', 'bandwidth'));
  it('satisfies a strict reader and skips its properties [protocol 9.4]', () =>
    run('strict.py', 'lifecycle'));
  it('answers limits to a strict reader [protocol 9.4]', () => run('strict.py', 'limits'));
  it('answers results to a strict reader [protocol 9.4]', () => run('strict.py', 'jobs'));
});
