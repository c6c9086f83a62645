# frozen_string_literal: true

# What clients expect of jobs: the acceptance list and the shared group "running commands".
require_relative 'support'

def text_of(one, handle, job)
  streams = { 'stdout' => +'', 'stderr' => +'' }
  last = one.stream(StreamRequest.new(handle: handle, job_id: job)) { |chunk| streams[chunk.name] << chunk.data }
  [last.exit_status, streams['stdout'], streams['stderr']]
end

def result_of(result)
  [result.exit_status, result.stdout, result.stderr]
end

scenario 'running' do
  one = client
  handle = create(one)
  check('run', [2, "hi\n", "ho\n"], result_of(one.run(handle: handle, script: 'echo hi; echo ho >&2; exit 2')))
  check('a command that does not exist', 127, one.run(handle: handle, script: '/no/such').exit_status)
  check('a signal', 255, one.run(handle: handle, script: 'kill -9 $$').exit_status)
  check('no output', [0, '', ''], result_of(one.run(handle: handle, script: ':')))
  job = one.spawn(handle: handle, script: 'echo hi; echo ho >&2; exit 2').job_id
  check('link', [2, "hi\n", "ho\n"], result_of(one.link(handle: handle, job_id: job)))
  job = one.spawn(handle: handle, script: 'echo hi; echo ho >&2; exit 2').job_id
  check('stream', [2, "hi\n", "ho\n"], text_of(one, handle, job))
  first = one.spawn(handle: handle, script: 'exit 1').job_id
  second = one.spawn(handle: handle, script: 'exit 2').job_id
  check('ids go up', true, second > first)
  check('finished jobs can be linked in any order', [2, 1], [second, first].map { |id| one.link(handle: handle, job_id: id).exit_status })
end

scenario 'discarded' do
  one = client
  handle = create(one)
  script = "head -c #{Facts.output_limit + 100_000} /dev/zero; head -c 5000 /dev/zero >&2; exit 3"
  check('run', [3, '', ''], result_of(one.run(handle: handle, script: script, discard_output: true)))
  job = one.spawn(handle: handle, script: script, discard_output: true).job_id
  check('link', [3, '', ''], result_of(one.link(handle: handle, job_id: job)))
  job = one.spawn(handle: handle, script: script, discard_output: true).job_id
  check('stream', [3, '', ''], text_of(one, handle, job))
  check('no event', nil, one.info(handle: handle).events)
end

scenario 'output_limit' do
  one = client
  over = Facts.output_limit + 200_000
  ['', ' >&2'].each do |where|
    handle = create(one)
    script = "head -c #{over} /dev/zero#{where}; exit 0"
    result = one.run(handle: handle, script: script)
    size = result.stdout.bytesize + result.stderr.bytesize
    check("run#{where}: 255", 255, result.exit_status)
    check("run#{where}: a little more than the limit", true, size > Facts.output_limit && size <= Facts.output_limit + 65_536)
    check("run#{where}: the event is in the answer", ['command exceeded maximum output'], result.info.events)
    job = one.spawn(handle: handle, script: script).job_id
    status, out, err = text_of(one, handle, job)
    check("stream#{where}: 255", 255, status)
    check("stream#{where}: a little more than the limit", true, (out.bytesize + err.bytesize).between?(Facts.output_limit + 1, Facts.output_limit + 65_536))
    exact = one.run(handle: handle, script: "head -c #{Facts.output_limit} /dev/zero#{where}; exit 4")
    check("exactly the limit#{where} is allowed", 4, exact.exit_status)
    check("the event is told once#{where}", ['command exceeded maximum output'], one.info(handle: handle).events)
  end
end

scenario 'stop_traps' do
  script = 'trap "exit 37" TERM; echo ready; while :; do sleep 0.1; done'
  [[{ background: true }, 37], [{ kill: true }, 255], [{}, 37]].each do |flags, status|
    one = client
    handle = create(one)
    job = one.spawn(handle: handle, script: script).job_id
    ready = client
    ready.write(StreamRequest.new(handle: handle, job_id: job))
    check('the script runs', "ready\n", ready.read.data)
    ready.disconnect
    linking = client
    linking.write(LinkRequest.new(handle: handle, job_id: job))
    sleep 0.2
    one.stop({ handle: handle }.merge(flags))
    result = linking.read
    check("stop #{flags}: status", status, result.exit_status)
    check("stop #{flags}: info", 'stopped', result.info&.state)
  end
end

scenario 'several_waiters' do
  %i[link stream].each do |way|
    one = client
    handle = create(one)
    job = one.spawn(handle: handle, script: 'echo begun; sleep 1; echo over; exit 9').job_id
    results = Array.new(2) do
      Thread.new do
        waiter = client
        way == :link ? result_of(waiter.link(handle: handle, job_id: job)) : text_of(waiter, handle, job)
      end
    end.map(&:value)
    check("both by #{way}", [[9, "begun\nover\n", '']] * 2, results)
    raises("a third by #{way}", ServerError, 'no such job') { text_of(one, handle, job) }
    raises('a third link', ServerError, 'no such job') { one.link(handle: handle, job_id: job) }
  end
end

scenario 'abandoned_stream' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'echo first; sleep 1; echo second; exit 5').job_id
  leaver = client
  leaver.write(StreamRequest.new(handle: handle, job_id: job))
  check('the first chunk', "first\n", leaver.read.data)
  leaver.disconnect
  sleep 1.5
  check('everything again from the start', [5, "first\nsecond\n", ''], text_of(one, handle, job))
end

scenario 'abandoned_link' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'sleep 1.7; echo kept; exit 6').job_id
  leaver = client
  leaver.write(LinkRequest.new(handle: handle, job_id: job))
  sleep 0.2
  leaver.disconnect
  sleep 2
  check('a living client gets the result', [6, "kept\n", ''], result_of(one.link(handle: handle, job_id: job)))
end

scenario 'silent_stream_left' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'sleep 1.7; exit 8').job_id
  leaver = client
  leaver.write(StreamRequest.new(handle: handle, job_id: job))
  sleep 0.2
  leaver.disconnect
  sleep 2
  check('the status is not lost', [8, '', ''], text_of(one, handle, job))
end

scenario 'script_from_standard_input' do
  one = client
  handle = create(one)
  check('it may read its own next line', "got: data\n", one.run(handle: handle, script: "read x\ndata\necho got: $x").stdout)
  linux_only('user and environment of its own')
  env = one.run(handle: handle, script: 'tr "\\0" "\\n" < /proc/$$/environ | cut -d= -f1 | sort').stdout.split
  check('exactly four variables', %w[HOME LANG PATH USER], env)
  check('as vcap', "vcap\n", one.run(handle: handle, script: 'id -un').stdout)
  check('or root', "root\n", one.run(handle: handle, script: 'id -un', privileged: true).stdout)
  usual = one.run(handle: handle, script: 'ulimit -n').stdout
  rlimits = { nofile: 333, core: 0 }
  check('limits are soft and hard', "333\n333\n0\n", one.run(handle: handle, script: 'ulimit -Sn; ulimit -Hn; ulimit -c', rlimits: rlimits).stdout)
  check('of that job only', usual, one.run(handle: handle, script: 'ulimit -n').stdout)
end

scenario 'children_left_behind' do
  one = client
  handle = create(one)
  began = now
  result = one.run(handle: handle, script: 'sleep 300 & echo done')
  check('the job ends with its script', [0, "done\n"], [result.exit_status, result.stdout])
  check('at once', true, now - began < 20)
end

main
