# frozen_string_literal: true

# What programs with the synchronous client rely on.
require_relative 'support'

scenario 'connecting' do
  one = SyncClient.new(Facts.socket)
  raises('disconnect without a connection', RuntimeError, 'not connected') { one.disconnect }
  one.connect
  check('connected', true, one.connected?)
  raises('connect twice', RuntimeError, 'already connected') { one.connect }
  one.reconnect
  check('reconnect from connected', 'pong', SyncClient.new(Facts.socket).connect.call(['ping']))
  one.disconnect
  raises('a request without a connection', RuntimeError, 'not connected') { one.ping }
  one.reconnect
  check('reconnect from disconnected', PingResponse, one.ping)
  one.disconnect
end

scenario 'server_errors' do
  one = client
  raises('an error is raised with its message', ServerError, 'unknown handle') { one.stop(handle: 'nobody') }
  check('and the connection stays', PingResponse, one.ping)
  50.times { raises('again and again', ServerError, 'unknown handle') { one.destroy(handle: 'nobody') } }
  check('and stays', "x", one.echo(message: 'x').message)
end

scenario 'end_of_file' do
  one = client
  one.socket.write("garbage that ends the connection\r\n")
  raises('the error comes first', ServerError, /frame/) { one.read }
  raises('then the end of the file', EOFError, /end of file/) { one.read }
  check('which disconnects', false, one.connected?)
  one.connect
  check('and the client can connect again', PingResponse, one.ping)
end

scenario 'any_request_by_name' do
  one = client
  handle = create(one)
  check('echo', 'hello', one.echo(message: 'hello').message)
  check('list', [handle], one.list.handles)
  check('info', 'active', one.info(handle: handle).state)
  check('run', "x\n", one.run(handle: handle, script: 'echo x').stdout)
  job = one.spawn(handle: handle, script: 'echo y; exit 3').job_id
  check('link', [3, "y\n"], [one.link(handle: handle, job_id: job)].map { |r| [r.exit_status, r.stdout] }.first)
  ports = one.net_in(handle: handle)
  check('net_in without ports answers the same port twice', ports.host_port, ports.container_port)
  check('stop', StopResponse, one.stop(handle: handle))
  check('destroy', DestroyResponse, one.destroy(handle: handle))
  raises('no such request', NoMethodError, /\S/) { one.fly_away }
end

scenario 'stream' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'echo out; echo err >&2; sleep 0.3; echo more; exit 4').job_id
  chunks = []
  last = one.stream(StreamRequest.new(handle: handle, job_id: job)) { |response| chunks << response }
  check('the final response has the status', 4, last.exit_status)
  check('no name and no data', [nil, nil], [last.name, last.data])
  check('and info', 'active', last.info&.state)
  check('data responses have a name', [], chunks.map(&:name) - %w[stdout stderr])
  check('data that is not empty', true, chunks.all? { |chunk| !chunk.data.empty? })
  check('and neither status nor info', true, chunks.all? { |chunk| chunk.exit_status.nil? && chunk.info.nil? })
  check('standard output in order', "out\nmore\n", chunks.select { |c| c.name == 'stdout' }.map(&:data).join)
  check('standard error', "err\n", chunks.select { |c| c.name == 'stderr' }.map(&:data).join)
  raises('another message is refused by the client', ArgumentError, /\AExpected argument to be of type:'.*StreamRequest', but received: '.*PingRequest'\.\z/) do
    one.stream(PingRequest.new) { nil }
  end
  check('the connection goes on', PingResponse, one.ping)
  raises('the job is gone', ServerError, 'no such job') { one.stream(StreamRequest.new(handle: handle, job_id: job)) { nil } }
end

scenario 'stream_of_discarded_output' do
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'echo out; echo err >&2; exit 6', discard_output: true).job_id
  chunks = []
  last = one.stream(StreamRequest.new(handle: handle, job_id: job)) { |response| chunks << response }
  check('only the final response', [[], 6], [chunks, last.exit_status])
end

scenario 'tcp_proxy' do
  # a proxy that knows nothing of the protocol and cuts the stream where it likes
  server = TCPServer.new('127.0.0.1', 0)
  random = Random.new(11)
  Thread.new do
    loop do
      outer = server.accept
      inner = UNIXSocket.new(Facts.socket)
      [[outer, inner], [inner, outer]].each do |from, to|
        Thread.new do
          loop { to.write(from.readpartial(1 + random.rand(3000))) }
        rescue IOError, SystemCallError
          [from, to].each { |one| one.close unless one.closed? }
        end
      end
    end
  end
  one = SyncClient.new("tcp://127.0.0.1:#{server.addr[1]}").connect
  bytes = Random.new(3).bytes(700_000)
  check('echo through the proxy', true, one.echo(message: bytes).message.b == bytes)
  handle = create(one)
  check('run through the proxy', "proxied\n", one.run(handle: handle, script: 'echo proxied').stdout)
  job = one.spawn(handle: handle, script: 'seq 1 20000').job_id
  data = +''
  one.stream(StreamRequest.new(handle: handle, job_id: job)) { |chunk| data << chunk.data }
  check('stream through the proxy', (1..20_000).map { |n| "#{n}\n" }.join, data)
  one.disconnect
end

main
