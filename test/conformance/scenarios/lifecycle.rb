# frozen_string_literal: true

# The shared groups "lifecycle", "info", "file transfer", "snapshotting" and "pidfile" of the original's tests, for every backend.
require_relative 'support'

def snapshot(path)
  JSON.parse(File.read(File.join(path, 'snapshot.json')))
end

scenario 'create_and_destroy' do
  one = client
  handle = one.create({}).handle
  check('a handle', /\A[0-9a-v]{11}\z/, handle)
  path = one.info(handle: handle).container_path
  check('a directory', true, File.directory?(path))
  check('destroy', DestroyResponse, one.destroy(handle: handle))
  check('the directory is gone', false, File.exist?(path))
  raises('twice', ServerError, 'unknown handle') { one.destroy(handle: handle) }
  check('not listed', nil, one.list.handles)
end

scenario 'custom_handle' do
  one = client
  check('the handle asked for', 'my own', create(one, handle: 'my own'))
  raises('is refused a second time', ServerError, 'container with handle: my own already exists.') { one.create(handle: 'my own') }
  one.destroy(handle: 'my own')
  raises('is unknown afterwards', ServerError, 'unknown handle') { one.destroy(handle: 'my own') }
  check('and can be used again', 'my own', create(one, handle: 'my own'))
end

scenario 'concurrent_creates' do
  outcomes = Array.new(6) do
    Thread.new do
      client.create(handle: 'contended').handle
    rescue ServerError => e
      e.message
    end
  end.map(&:value)
  later { destroy('contended') }
  check('one wins', 1, outcomes.count('contended'))
  check('the others are refused', 5, outcomes.count('container with handle: contended already exists.'))
  check('one is listed', ['contended'], client.list.handles)
end

scenario 'list' do
  one = client
  handles = Array.new(3) { |at| create(one, handle: "in order #{at}") }
  check('in the order of their creation', handles, one.list.handles)
  one.stop(handle: handles[1], kill: true)
  check('stopped ones too', handles, one.list.handles)
  one.destroy(handle: handles[0])
  check('destroyed ones not', handles[1..], one.list.handles)
end

scenario 'stop' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'sleep 300').job_id
  check('stop', StopResponse, one.stop(handle: handle))
  check('the job has ended', 255, one.link(handle: handle, job_id: job).exit_status)
  check('state', 'stopped', one.info(handle: handle).state)
  check('again', StopResponse, one.stop(handle: handle))
  %i[spawn run].each do |name|
    raises(name, ServerError, /container state/i) { one.call(OldWarden.request(name, handle: handle, script: 'true')) }
  end
  raises('net_in', ServerError, "Container state must be one of 'active', current state is 'stopped'") { one.net_in(handle: handle) }
  check('destroy', DestroyResponse, one.destroy(handle: handle))
end

scenario 'destroy_ends_jobs' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'echo going; sleep 300').job_id
  waiter = client
  waiter.write(LinkRequest.new(handle: handle, job_id: job))
  sleep 0.3
  one.destroy(handle: handle)
  begin
    result = waiter.read
    check('whoever waits is answered', 255, result.exit_status)
    check('with the last info', 'active', result.info&.state)
  rescue ServerError => e
    check('or told that it is gone', /unknown handle|no such job/, e.message)
  end
end

scenario 'grace_time' do
  observer = client
  owner = client
  handle = owner.create(grace_time: 1).handle
  later { destroy(handle) }
  sleep 1.5
  check('referenced: it stays', [handle], observer.list.handles)
  owner.disconnect
  check('unreferenced: it goes', true, eventually { observer.list.handles.nil? })
end

scenario 'grace_time_cancelled' do
  observer = client
  owner = client
  handle = owner.create(grace_time: 2).handle
  later { destroy(handle) }
  owner.disconnect
  sleep 0.5
  # naming it is a reference
  observer.info(handle: handle)
  sleep 3
  check('another connection keeps it', [handle], observer.list.handles)
end

scenario 'info' do
  one = client
  handle = create(one)
  info = one.info(handle: handle)
  check('state', 'active', info.state)
  check('addresses are one /30', 1, info.container_ip.split('.').last.to_i - info.host_ip.split('.').last.to_i)
  check('path', true, File.directory?(info.container_path))
  check('no lists', [nil, nil], [info.events, info.job_ids])
  job = one.spawn(handle: handle, script: 'sleep 300').job_id
  check('the running job', [job], one.info(handle: handle).job_ids)
  one.stop(handle: handle, kill: true)
  check('stopped', ['stopped', nil], [one.info(handle: handle).state, one.info(handle: handle).job_ids])
  linux_only('statistics')
  check('memory', true, info.memory_stat.total_rss + info.memory_stat.total_cache >= info.memory_stat.total_inactive_file)
  check('bandwidth is unlimited', [0xffffffff] * 4, %i[in_rate in_burst out_rate out_burst].map { |name| info.bandwidth_stat[name] })
  busy = create(one)
  before = one.info(handle: busy).cpu_stat.usage
  one.run(handle: busy, script: 'for i in $(seq 1 20000); do :; done')
  after = one.info(handle: busy).cpu_stat.usage
  check('CPU time in nanoseconds goes up', true, after > before + 1_000_000)
end

scenario 'file_transfer' do
  one = client
  handle = create(one)
  place = Facts.linux? ? '/tmp' : 'tmp'
  one.run(handle: handle, script: "mkdir -p #{place}")
  host = scratch
  tree = File.join(host, 'tree')
  FileUtils.mkdir_p(File.join(tree, 'deep er'))
  File.write(File.join(tree, 'deep er', 'file'), 'content')
  File.write(File.join(tree, 'tool'), "#!/bin/sh\necho ran\n")
  File.chmod(0o755, File.join(tree, 'tool'))
  File.symlink('tool', File.join(tree, 'link'))
  one.copy_in(handle: handle, src_path: tree, dst_path: '/tmp')
  check('without a slash the directory itself', "content", one.run(handle: handle, script: "cat '#{place}/tree/deep er/file'").stdout)
  check('modes are kept', "ran\n", one.run(handle: handle, script: "#{place}/tree/tool").stdout)
  check('links are links', "tool\n", one.run(handle: handle, script: "readlink #{place}/tree/link").stdout)
  one.copy_in(handle: handle, src_path: "#{tree}/", dst_path: '/tmp/other')
  check('with a slash its contents', "ran\n", one.run(handle: handle, script: "#{place}/other/tool").stdout)
  back = File.join(host, 'back')
  one.copy_out(handle: handle, src_path: '/tmp/tree/', dst_path: back, owner: Process.uid.to_s)
  check('out again', 'content', File.read(File.join(back, 'deep er', 'file')))
  check('owned as asked', Process.uid, File.stat(File.join(back, 'tool')).uid)
  raises('a missing source', ServerError, /\S/) { one.copy_in(handle: handle, src_path: "#{host}/none", dst_path: '/tmp') }
  raises('a missing source inside', ServerError, /\S/) { one.copy_out(handle: handle, src_path: '/tmp/none', dst_path: host) }
  check('an empty owner means none', CopyOutResponse, one.copy_out(handle: handle, src_path: '/tmp/tree/tool', dst_path: File.join(host, 'tool2'), owner: ''))
  one.stop(handle: handle, kill: true)
  check('out of a stopped container', CopyOutResponse, one.copy_out(handle: handle, src_path: '/tmp/tree', dst_path: host + '/stopped'))
  raises('but not in', ServerError, /container state/i) { one.copy_in(handle: handle, src_path: tree, dst_path: '/tmp') }
end

scenario 'snapshot' do
  one = client
  handle = create(one, grace_time: 77)
  path = one.info(handle: handle).container_path
  file = File.join(path, 'snapshot.json')
  check('written by create', true, File.file?(file))
  check('mode 0600', 0o600, File.stat(file).mode & 0o777)
  first = snapshot(path)
  check('state', 'active', first['state'])
  check('grace time', 77, first['grace_time'])
  check('handle and id', [handle, File.basename(path)], first['resources'].values_at('handle', 'container_id'))
  network = one.info(handle: handle).host_ip.split('.').map(&:to_i)
  network[3] -= 1
  check('the base address of the /30', network.join('.'), first['resources']['network'])
  check('no event', [], first['events'])
  check('no job', {}, first['jobs'])
  job = one.spawn(handle: handle, script: 'sleep 1; exit 3', discard_output: true).job_id.to_s
  check('a job', [true, nil], snapshot(path)['jobs'][job]&.values_at('discard_output', 'log_tag'))
  check('with its status and without output, once it has ended', [3, '', ''], eventually { snapshot(path)['jobs'][job]['status'] })
  one.run(handle: handle, script: 'true')
  check('there after a run', 'active', snapshot(path)['state'])
  port = one.net_in(handle: handle).host_port
  check('a port', [port], snapshot(path)['resources']['ports'])
  one.stop(handle: handle, kill: true)
  check('stopped', 'stopped', snapshot(path)['state'])
  one.destroy(handle: handle)
  check('gone', false, File.exist?(file))
end

scenario 'pidfile' do
  file = Facts.pidfile or raise Skip, 'WARDEN_PIDFILE is not set'
  pid = File.read(file)
  check('number and newline', /\A\d+\n\z/, pid)
  check('of a living process', 1, Process.kill(0, pid.to_i))
  control('terminate')
  check('removed at the normal end', false, File.exist?(file))
  control('start')
  check('written again', true, File.read(file) != pid)
  control('kill')
  check('left by a kill', true, File.exist?(file))
  control('start')
  check('a stale one is replaced', 1, Process.kill(0, File.read(file).to_i))
  check('the daemon works', 'pong', client.call(['ping']))
end

main
