# frozen_string_literal: true

# A daemon that goes and another that comes: by SIGUSR2 (drain) and by SIGKILL. `control` asks the runner to do that.
# drain: SIGUSR2 and wait for the end; sigusr2: only send the signal; wait: for the end; kill: SIGKILL; start: the next one.
require_relative 'support'

def ended?(socket)
  socket.read(1).nil?
rescue Errno::ECONNRESET, Errno::EPIPE
  true
end

def broken
  yield
  'an answer'
rescue EOFError, Errno::EPIPE, Errno::ECONNRESET
  'broken'
end

scenario 'drain_connections' do
  one = client
  handle = create(one)
  linked = one.spawn(handle: handle, script: 'echo $$ > linked; while test ! -e go; do sleep 0.1; done; echo done; exit 42').job_id
  idle = raw
  waiting = [LinkRequest.new(handle: handle, job_id: linked), RunRequest.new(handle: handle, script: 'sleep 2; echo ran > ran'),
             StreamRequest.new(handle: handle, job_id: linked)].map do |request|
    waiter = client
    waiter.write(request)
    waiter
  end
  check('all three run', true, eventually { one.info(handle: handle).job_ids.size == 2 })
  control('drain')
  check('an idle connection gets end of file', true, ended?(idle))
  %w[Link Run Stream].zip(waiting).each { |name, waiter| check("#{name} is broken", 'broken', broken { waiter.read }) }
  check('the general connection too', 'broken', broken { one.ping })
  raises('new connections are refused', SystemCallError, /refused|No such file/) { UNIXSocket.new(Facts.socket) }
  control('start')
  one = client
  check('the container is there', [handle], one.list.handles)
  check('the job is there under its id', true, one.info(handle: handle).job_ids.include?(linked))
  waiter = client
  waiter.write(LinkRequest.new(handle: handle, job_id: linked))
  one.run(handle: handle, script: 'touch go')
  result = waiter.read
  check('its link gives status and output', [42, "done\n"], [result.exit_status, result.stdout])
  check('the run went on', true, eventually { one.run(handle: handle, script: 'test -e ran').exit_status.zero? })
end

scenario 'drain_lets_others_finish' do
  one = client
  handle = create(one)
  one.spawn(handle: handle, script: 'trap "sleep 1; exit 4" TERM; echo > trapped; while :; do sleep 0.1; done')
  check('the script is ready', true, eventually { one.run(handle: handle, script: 'test -e trapped').exit_status.zero? })
  stopping = client
  stopping.write(StopRequest.new(handle: handle))
  stopping.write(PingRequest.new)
  check('the stop runs', true, eventually { one.info(handle: handle).state == 'stopped' })
  control('sigusr2')
  check('a stop in progress is answered', StopResponse, stopping.read)
  check('what was queued behind it is dropped', 'broken', broken { stopping.read })
  control('wait')
  control('start')
  check('stopped it comes back', 'stopped', client.info(handle: handle).state)
end

scenario 'drain_keeps' do
  one = client
  active = create(one, grace_time: 600)
  stopped = create(one, grace_time: 600)
  one.stop(handle: stopped, kill: true)
  short = create(one, grace_time: 0)
  infos = [active, stopped].map { |handle| one.info(handle: handle) }
  port = one.net_in(handle: active).host_port
  finished = one.spawn(handle: active, script: 'echo lost output; exit 12').job_id
  running = one.spawn(handle: active, script: 'echo before; while test ! -e go; do sleep 0.1; done; echo after; exit 13').job_id
  check('one job has ended', true, eventually { one.info(handle: active).job_ids == [running] })
  uid = one.run(handle: active, script: 'id -u').stdout if Facts.linux?
  control('drain')
  infos.each { |info| check('snapshots exist', true, File.file?(File.join(info.container_path, 'snapshot.json'))) }
  control('start')
  one = client
  check('grace time 0 disappears', true, eventually { !(one.list.handles || []).include?(short) })
  check('the others are there', [active, stopped].sort, one.list.handles.sort)
  check('in their states', %w[active stopped], [active, stopped].map { |handle| one.info(handle: handle).state })
  check('with their addresses', infos.map(&:container_ip), [active, stopped].map { |handle| one.info(handle: handle).container_ip })
  check('and paths', infos.map(&:container_path), [active, stopped].map { |handle| one.info(handle: handle).container_path })
  other = create(one)
  check('an address in use is not handed out', false, infos.map(&:container_ip).include?(one.info(handle: other).container_ip))
  check('a port in use is not handed out', port + 1, one.net_in(handle: other).host_port)
  if Facts.linux?
    check('a uid in use is not handed out', false, one.run(handle: other, script: 'id -u').stdout == uid)
    check('and stays what it was', uid, one.run(handle: active, script: 'id -u').stdout)
  end
  check('a finished job gives its status', 12, one.link(handle: active, job_id: finished).exit_status)
  waiter = client
  waiter.write(StreamRequest.new(handle: active, job_id: running))
  one.run(handle: active, script: 'touch go')
  data = +''
  until (response = waiter.read).exit_status
    data << response.data
  end
  check('a job across the restart can be streamed with its remaining output', /after\n\z/, data)
  check('and its status', 13, response.exit_status)
  raises('then it is gone', ServerError, 'no such job') { one.link(handle: active, job_id: running) }
end

scenario 'kill' do
  one = client
  handle = create(one, handle: 'survivor')
  path = one.info(handle: handle).container_path
  away = one.spawn(handle: handle, script: 'while test ! -e go; do sleep 0.1; done; echo printed while away; exit 21').job_id
  lasting = one.spawn(handle: handle, script: 'trap "exit 22" TERM; while :; do sleep 0.1; done').job_id
  one.run(handle: handle, script: '(sleep 1; touch go) >/dev/null 2>&1 & true')
  control('kill')
  check('the connection is broken', 'broken', broken { one.ping })
  sleep 2
  control('start')
  one.reconnect
  check('the container survives', ['survivor'], one.list.handles)
  result = one.link(handle: handle, job_id: away)
  check('a job that ended meanwhile has its status and output', [21, "printed while away\n"], [result.exit_status, result.stdout])
  waiter = client
  waiter.write(LinkRequest.new(handle: handle, job_id: lasting))
  sleep 0.2
  one.stop(handle: handle)
  check('a job that goes on can be linked again', 22, waiter.read.exit_status)
  check('the directory is the same', path, one.info(handle: handle).container_path)
end

scenario 'kill_and_lost_containers' do
  linux_only('dead containers')
  one = client
  # what nobody could kill the daemon under is there still, and other scenarios look at the whole list
  lost, dead, kept = Array.new(3) { create(one) }
  paths = [lost, dead].map { |handle| one.info(handle: handle).container_path }
  pid = Integer(File.read(File.join(paths[1], 'run', 'wshd.pid')))
  control('kill')
  File.unlink(File.join(paths[0], 'snapshot.json'))
  Process.kill(:KILL, pid)
  control('start')
  check('only what lives and has a snapshot comes back', [kept], client.list.handles)
  check('the others are destroyed with their directories', [false, false], paths.map { |path| File.exist?(path) })
end

main
