# frozen_string_literal: true

# The worked examples of the protocol's description, byte for byte, in both directions.
require_relative 'support'

def unframe(socket)
  header = socket.gets("\r\n")
  header + socket.read(header.to_i + 2)
end

scenario 'requests' do
  create_request = CreateRequest.new(
    bind_mounts: [BindMount.new(src_path: '/var/src', dst_path: '/dst', mode: 0)], grace_time: 300, handle: 'h1'
  )
  check('ping', hex('340d0a085b12000d0a'), PING)
  check('create',
        hex('33310d0a 080b 121b 0a12 0a082f7661722f737263 12042f647374 1800 10ac02 1a026831 0d0a'),
        OldWarden.frame(create_request))
  check('empty create', hex('340d0a080b12000d0a'), OldWarden.frame(CreateRequest.new))
  check('net out',
        hex("34350d0a 0820 1229 0a026831 120b31302e302e302e312f3332 2802 30#{'ff' * 9}01 38#{'ff' * 9}01 0d0a"),
        OldWarden.frame(NetOutRequest.new(handle: 'h1', network: '10.0.0.1/32', protocol: 2, icmp_type: -1, icmp_code: -1)))
end

scenario 'ping' do
  socket = raw
  socket.write(hex('340d0a085b12000d0a'))
  check('the answer is the same nine bytes', hex('340d0a085b12000d0a'), socket.read(9))
end

scenario 'create' do
  # the description's own example needs /var/src; only that path differs
  source = scratch
  File.write(File.join(source, 'file'), 'from the host')
  socket = raw
  later { destroy('h1') }
  request = CreateRequest.new(bind_mounts: [BindMount.new(src_path: source, dst_path: '/dst', mode: 0)], grace_time: 300, handle: 'h1')
  socket.write(OldWarden.frame(request))
  check('create response', hex('380d0a080b12040a0268310d0a'), unframe(socket))
  linux_only('bind mounts')
  socket.write(OldWarden.frame(RunRequest.new(handle: 'h1', script: 'cat /dst/file')))
  check('the mount is there', 'from the host', RunResponse.decode(answer(socket)[1]).stdout)
end

scenario 'generated_handle' do
  socket = raw
  socket.write(hex('340d0a080b12000d0a'))
  bytes = unframe(socket)
  handle = CreateResponse.decode(Envelope.decode(bytes[4..-3]).payload).handle
  later { destroy(handle) }
  check('eleven characters of the base-32 alphabet', /\A[0-9a-v]{11}\z/, handle)
  check('the rest as in the description', hex('31370d0a080b120d0a0b') + handle.b + "\r\n", bytes)
end

scenario 'error' do
  socket = raw
  socket.write(OldWarden.frame(InfoRequest.new(handle: 'no such container')))
  header = socket.gets("\r\n")
  body = socket.read(header.to_i)
  socket.read(2)
  check('type 1', hex('0801'), body[0, 2])
  payload = Envelope.decode(body).payload
  check('the message is first and exactly this', hex('120e756e6b6e6f776e2068616e646c65'), payload[0, 16])
  check('only the data field follows', true, payload.bytesize == 16 || payload.getbyte(16) == (4 << 3 | 2))
  check('the backtrace stays empty', nil, ErrorResponse.decode(payload).backtrace)
end

scenario 'results' do
  one = client
  handle = create(one)
  socket = raw
  socket.write(OldWarden.frame(RunRequest.new(handle: handle, script: 'echo hi')))
  _, payload = answer(socket)
  check('run: status 0, stdout and empty stderr are all written', hex('0800 1203 68690a 1a00'), payload[0, 9])
  check('then info', 4 << 3 | 2, payload.getbyte(9))
  job = one.spawn(handle: handle, script: 'true').job_id
  socket.write(OldWarden.frame(StreamRequest.new(handle: handle, job_id: job)))
  _, payload = answer(socket)
  check('the last stream response begins with status 0', hex('1800'), payload[0, 2])
  check('then info', 4 << 3 | 2, payload.getbyte(2))
end

scenario 'info' do
  one = client
  handle = create(one)
  jobs = Array.new(3) { one.spawn(handle: handle, script: 'sleep 100').job_id }
  socket = raw
  socket.write(OldWarden.frame(InfoRequest.new(handle: handle)))
  _, payload = answer(socket)
  check('state first', hex('5206616374697665'), payload[0, 8])
  varint = ->(n) { n < 128 ? n.chr.b : (n & 127 | 128).chr.b + varint.call(n >> 7) }
  ids = jobs.map { |id| hex('e002') + varint.call(id) }.join
  _, together, behind = payload.rpartition(ids)
  check('job ids, each with its own tag', ids, together)
  check('no field of this protocol behind them', '', InfoResponse.decode(behind).encode.to_s)
  check('no event, no field', nil, InfoResponse.decode(payload).events)
end

main
