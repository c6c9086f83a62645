# frozen_string_literal: true

# The production client of the original daemon: an agent that runs applications. It holds named connections, starts an app by a
# fixed sequence of requests, reads its output from the job's sockets, and stores handle, job id and ports in a file of its own.
require_relative 'support'

class Agent
  def initialize
    @connections = {}
  end

  # A connection by its name, connected on demand.
  def [](name)
    one = (@connections[name] ||= SyncClient.new(Facts.socket))
    one.connect unless one.connected?
    one
  end

  # Sends a request on a named connection; a lost one is dialled again without limit.
  def call(name, request)
    self[name].call(request)
  rescue EOFError, SystemCallError
    @connections.delete(name)
    sleep 0.1
    retry
  end

  def close
    @connections.each_value { |one| one.disconnect if one.connected? }
  end
end

# What a log agent does: it connects to the socket of a stream, takes the four bytes of position and then reads on.
def tail(path)
  socket = UNIXSocket.new(path)
  position = socket.read(4).unpack1('N')
  [position, socket]
end

EGRESS = [
  { network: '198.51.100.0/24', port_range: '8000:9000', protocol: 0 },
  { network: '198.51.100.1', port: 53, protocol: 1 },
  { network: '203.0.113.0-203.0.113.9', protocol: 3 },
  { network: '198.51.100.1/32', protocol: 2, icmp_type: 8, icmp_code: 0 },
  # logged rules are sent last: the latest rule is looked at first
  { network: '198.51.100.1', port: 443, protocol: 0, log: true }
].freeze

def start_app(agent, source)
  mounts = [BindMount.new(src_path: source, dst_path: source, mode: BindMount::Mode::RO)]
  handle = agent.call(:app, CreateRequest.new(bind_mounts: mounts, rootfs: Facts.rootfs)).handle
  later { destroy(handle) }
  check('LimitCpu', 256, agent.call(:app, LimitCpuRequest.new(handle: handle, limit_in_shares: 256)).limit_in_shares)
  disk = agent.call(:app, LimitDiskRequest.new(handle: handle, byte: 512 << 20, inode: 200_000))
  check('LimitDisk', ENV['WARDEN_QUOTA'] == 'on' ? 512 << 20 : nil, disk.byte)
  check('LimitMemory', 256 << 20, agent.call(:app, LimitMemoryRequest.new(handle: handle, limit_in_bytes: 256 << 20)).limit_in_bytes)
  ports = agent.call(:app, NetInRequest.new(handle: handle))
  check('NetIn without ports: both are the same', ports.host_port, ports.container_port)
  EGRESS.each_with_index do |rule, at|
    check("NetOut #{at}", NetOutResponse, agent.call(:app, NetOutRequest.new(rule.merge(handle: handle))))
  end
  setup = agent.call(:app, RunRequest.new(handle: handle, privileged: true,
                                          script: "mkdir -p /home/vcap/app && cp #{source}/droplet /home/vcap/ && chown -R vcap:vcap /home/vcap && id -u"))
  check('Run, privileged', [0, "0\n"], [setup.exit_status, setup.stdout])
  extract = agent.call(:app, RunRequest.new(handle: handle, script: 'cd && cp droplet app/run && echo $PWD'))
  check('Run', [0, "/home/vcap\n"], [extract.exit_status, extract.stdout])
  [handle, ports.container_port]
end

scenario 'start_sequence' do
  linux_only('limits, firewall and root file system')
  agent = Agent.new
  later { agent.close }
  source = scratch
  File.write(File.join(source, 'droplet'), <<~SCRIPT)
    echo listening on $PORT
    echo a complaint >&2
    while test ! -e /home/vcap/stop; do sleep 0.1; done
    echo bye
    exit 3
  SCRIPT
  handle, port = start_app(agent, source)
  spawn = SpawnRequest.new(handle: handle, script: "cd app; export PORT=#{port}; exec bash ./run", discard_output: true,
                           rlimits: ResourceLimits.new(nofile: 16_384, nproc: 512))
  job = agent.call(:app, spawn).job_id
  info = agent.call(:info, InfoRequest.new(handle: handle))
  check('Info: path and addresses', true, [info.container_path, info.host_ip, info.container_ip].none? { |text| text.to_s.empty? })
  check('Info: CPU time', true, info.cpu_stat.usage.positive?)
  check('Info: memory', true, (info.memory_stat.total_rss + info.memory_stat.total_cache - info.memory_stat.total_inactive_file).positive?)
  check('Info: disk only with quota', ENV['WARDEN_QUOTA'] == 'on', !info.disk_stat.nil?)
  check('the app is a running job', true, info.job_ids.include?(job))
  check('the droplet is seen on the host', true, File.file?(File.join(info.container_path, 'tmp', 'rootfs', 'home', 'vcap', 'app', 'run')))
  agent[:link].write(LinkRequest.new(handle: handle, job_id: job))
  check('List while Link waits', true, agent.call(:list, ListRequest.new).handles.include?(handle))
  agent.call(:app, RunRequest.new(handle: handle, script: 'touch /home/vcap/stop'))
  result = agent[:link].read
  check('Link: the exit status', 3, result.exit_status)
  check('Link: output was discarded', ['', ''], [result.stdout, result.stderr])
  check('Link: info, and no event for a plain exit', [true, nil], [!result.info.nil?, result.info&.events])
  check('Stop', StopResponse, agent.call(:stop, StopRequest.new(handle: handle)))
  check('Destroy', DestroyResponse, agent.call(:app, DestroyRequest.new(handle: handle)))
  raises('Stop of what is gone fails', ServerError, 'unknown handle') { agent.call(:stop, StopRequest.new(handle: handle)) }
  listed = agent.call(:list, ListRequest.new).handles
  check('so it asks List, which does not name it', false, (listed || []).include?(handle))
  raises('Destroy again is an error it ignores', ServerError, 'unknown handle') { agent.call(:app, DestroyRequest.new(handle: handle)) }
end

scenario 'log_agent' do
  one = client
  handle = create(one)
  path = one.info(handle: handle).container_path
  script = 'while test ! -e go; do sleep 0.1; done; for i in 1 2 3; do echo out $i; echo err $i >&2; done; sleep 1; exit 7'
  job = one.spawn(handle: handle, script: script, discard_output: true).job_id
  directory = File.join(path, 'jobs', job.to_s)
  check('the sockets are there when Spawn has answered', [true, true], %w[stdout.sock stderr.sock].map { |name| File.socket?(File.join(directory, name)) })
  readers = %w[stdout.sock stderr.sock].map { |name| tail(File.join(directory, name)) }
  check('the positions are those of the first byte that follows', [0, 0], readers.map(&:first))
  late = nil
  texts = readers.map { |_, socket| Thread.new { socket.read } }
  one.run(handle: handle, script: 'touch go')
  sleep 0.5
  late = tail(File.join(directory, 'stdout.sock'))
  result = one.link(handle: handle, job_id: job)
  check('everything until the end of file', ["out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n"], texts.map(&:value))
  check('a late reader gets the same from the start', [0, "out 1\nout 2\nout 3\n"], [late[0], late[1].read])
  check('the status is as ever', 7, result.exit_status)
  check('the sockets go with the job', true, eventually { !File.exist?(File.join(directory, 'stdout.sock')) })
end

scenario 'stored_state' do
  agent = Agent.new
  later { agent.close }
  handle = agent.call(:app, CreateRequest.new(grace_time: 600)).handle
  later { destroy(handle) }
  port = agent.call(:app, NetInRequest.new(handle: handle)).container_port
  job = agent.call(:app, SpawnRequest.new(handle: handle, script: 'while test ! -e stop; do sleep 0.1; done; exit 5')).job_id
  stored = JSON.parse(JSON.generate(handle: handle, job_id: job, port: port))
  # Link is retried without limit on lost connections, across a crash and a drain
  linking = Thread.new { agent.call(:link, LinkRequest.new(handle: stored['handle'], job_id: stored['job_id'])) }
  sleep 0.3
  control('kill')
  control('start')
  sleep 0.3
  control('drain')
  control('start')
  again = client
  check('handle and job id are stable', [stored['job_id']], again.info(handle: stored['handle']).job_ids)
  again.run(handle: handle, script: 'touch stop')
  result = linking.value
  check('the repeated Link gives the status', 5, result.exit_status)
  check('and info', 'active', result.info&.state)
end

scenario 'crash_reason' do
  linux_only('memory limits')
  one = client
  handle = create(one)
  one.limit_memory(handle: handle, limit_in_bytes: 32 << 20)
  job = one.spawn(handle: handle, script: 'x=$(head -c 200000000 /dev/zero | tr "\\0" x); echo survived').job_id
  result = one.link(handle: handle, job_id: job)
  check('killed', 255, result.exit_status)
  check('the reason is the first event of the answer', 'out of memory', result.info&.events&.first)
end

scenario 'staging' do
  one = client
  handle = create(one)
  one.spawn(handle: handle, script: 'trap "" TERM; sleep 300')
  began = now
  check('Stop with kill on a timeout', StopResponse, one.stop(handle: handle, kill: true))
  check('is quick', true, now - began < 9)
  home = one.info(handle: handle).container_path
  check('files stay', true, File.directory?(home))
end

scenario 'staging_copies' do
  one = client
  handle = create(one)
  home = Facts.linux? ? '/home/vcap' : '/'
  one.run(handle: handle, script: 'mkdir -p staged/logs; echo "{}" > staged/staging_info.yml; echo log > staged/logs/staging.log')
  host = scratch
  owner = Process.uid.to_s
  one.copy_out(handle: handle, src_path: File.join(home, 'staged/staging_info.yml'), dst_path: host, owner: owner)
  check('a file', "{}\n", File.read(File.join(host, 'staging_info.yml')))
  one.copy_out(handle: handle, src_path: File.join(home, 'staged/'), dst_path: File.join(host, 'with slash'), owner: owner)
  check('contents, with a trailing slash', ['logs', 'staging_info.yml'], Dir.children(File.join(host, 'with slash')).sort)
  one.copy_out(handle: handle, src_path: File.join(home, 'staged'), dst_path: host, owner: owner)
  check('the directory, without', "log\n", File.read(File.join(host, 'staged', 'logs', 'staging.log')))
  check('owned by the numeric uid', [Process.uid], Dir.glob(File.join(host, '**/*')).map { |name| File.stat(name).uid }.uniq)
end

scenario 'app_health_check' do
  linux_only('port forwarding')
  address = Facts.host_address or raise Skip, 'WARDEN_HOST_ADDRESS is not set'
  one = client
  handle = create(one)
  port = one.net_in(handle: handle).container_port
  one.spawn(handle: handle, script: "while :; do echo alive | nc -l -p #{port}; done")
  text = eventually do
    socket = TCPSocket.new(address, port)
    socket.read
  rescue SystemCallError
    nil
  ensure
    socket&.close
  end
  check("the host's own address and the answered container_port reach the app", "alive\n", text)
end

main
