# frozen_string_literal: true

# Every line of the translation table, over a real connection.
require_relative 'support'

scenario 'lifecycle' do
  one = client
  handle = one.call(['create', { 'grace_time' => 1.1 + 300, 'handle' => 'ignored', 'disk_size_mb' => 5 }])
  later { destroy(handle) }
  check('create answers the handle', /\A[0-9a-v]{11}\z/, handle)
  check('list', [handle], one.call(['list']))
  info = one.call(['INFO', handle])
  check('info is a map with string keys, whatever the case of the command', 'active', info['state'])
  check('absent fields are left out', false, info.key?('events'))
  check('nested maps too', true, !Facts.linux? || info['cpu_stat'].key?('usage'))
  job = one.call(['spawn', handle, 'echo spawned; exit 7', { 'ignored' => true }])
  check('spawn answers the id', Integer, job)
  check('link takes it as text', [7, "spawned\n", ''], one.call(['link', handle, job.to_s]))
  check('run', [5, "a\n", "b\n"], one.call(['run', handle, 'echo a; echo b >&2; exit 5']))
  check('stop', 'ok', one.call(['stop', handle]))
  check('destroy', 'ok', one.call(['destroy', handle]))
  check('an empty list is nothing', nil, one.call(['list']))
  check('ping', 'pong', one.call(['ping']))
  check('echo', 'text', one.call(%w[echo text]))
  raises('unknown', RuntimeError, 'Unknown command: FLY') { one.call(['fly']) }
end

scenario 'arguments' do
  linux_only('bind mounts and limits')
  one = client
  source = scratch
  File.chmod(0o777, source)
  mounts = [[source, '/ro', 'ro'], [source, '/rw', { 'mode' => 'RW' }]]
  handle = one.call(['create', { 'bind_mounts' => mounts, 'grace_time' => '300' }])
  later { destroy(handle) }
  check('both modes', [0, "no\n", ''], one.call(['run', handle, 'echo x > /rw/file; (echo x > /ro/no) 2>/dev/null || echo no']))
  check('written on the host', ["file"], Dir.children(source))
  raises('another mode is a name error', NameError, /\S/) { one.call(['create', { 'bind_mounts' => [[source, '/x', 'rx']] }]) }
  raises('a grace time that is no number', ArgumentError, /\S/) { one.call(['create', { 'grace_time' => 'soon' }]) }
  ports = one.call(['net', handle, 'in'])
  check('net in', ports['host_port'], ports['container_port'])
  check('net out', 'ok', one.call(['net', handle, 'out', '198.51.100.1:53']))
  raises('net out without a port', StandardError, /\S/) { one.call(['net', handle, 'out', '198.51.100.1']) }
  raises('net', RuntimeError, 'Unknown net direction: up') { one.call(['net', handle, 'up']) }
  check('limit mem', 67_108_864, one.call(['limit', handle, 'mem', '67108864']))
  check('limit mem read', 67_108_864, one.call(['limit', handle, 'mem']))
  raises('limit', RuntimeError, 'Unknown limit: cpu') { one.call(['limit', handle, 'cpu', 1]) }
  raises('copy', RuntimeError, 'Unknown copy direction: up') { one.call(['copy', handle, 'up', '/a', '/b']) }
end

scenario 'bandwidth' do
  linux_only('bandwidth limits')
  one = client
  handle = one.call(['create'])
  later { destroy(handle) }
  check('limit bandwidth', 'rate: 1000000 burst: 200000', one.call(['limit', handle, 'bandwidth', '1000000', 200_000]))
end

scenario 'copies' do
  one = client
  directory = scratch
  handle = one.call(['create'])
  later { destroy(handle) }
  File.write(File.join(directory, 'in'), 'carried')
  File.chmod(0o644, File.join(directory, 'in'))
  # only the last missing component of a destination is made; plain processes have no /tmp of their own
  one.call(['run', handle, 'mkdir -p tmp']) unless Facts.linux?
  check('copy in', 'ok', one.call(['copy', handle, 'in', File.join(directory, 'in'), '/tmp/there']))
  # in the insecure backend /tmp/there is below the container's own directory
  target = Facts.linux? ? '/tmp/there' : 'tmp/there'
  check('it arrived', [0, 'carried', ''], one.call(['run', handle, "cat #{target}"]))
  check('copy out with owner', 'ok', one.call(['copy', handle, 'out', '/tmp/there', File.join(directory, 'out'), Process.uid.to_s]))
  check('it came back', 'carried', File.read(File.join(directory, 'out')))
end

main
