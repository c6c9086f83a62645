# frozen_string_literal: true

require_relative 'support'

scenario 'unknown_fields' do
  socket = raw
  # 1000 as a varint, 8 fixed bytes, a block and 4 fixed bytes, in the payload and around it
  junk = hex('c03e01 c13e0102030405060708 c23e03616263 c53e01020304')
  body = hex('085d') + junk + "\x12".b + (junk.bytesize + 3).chr + junk + "\x0a\x01k".b + junk
  socket.write(OldWarden.wrap(body))
  check('skipped everywhere', [:Echo, hex('0a016b')], answer(socket))
end

scenario 'any_order' do
  socket = raw
  socket.write(OldWarden.wrap(hex('12030a016f 085d')))
  check('payload before type', [:Echo, hex('0a016f')], answer(socket))
  handle = create(client, handle: 'order')
  script = 'echo reversed'
  socket.write(OldWarden.wrap(envelope(23, "\x12".b + script.bytesize.chr + script + "\x0a\x05".b + handle)))
  check('fields of a payload in descending order', "reversed\n", RunResponse.decode(answer(socket)[1]).stdout)
end

scenario 'last_wins' do
  socket = raw
  socket.write(OldWarden.wrap(hex('085b 085d 12030a0161 12060a01620a0163')))
  check('the last type, the last payload, the last text', [:Echo, hex('0a0163')], answer(socket))
end

scenario 'job_ids' do
  one = client
  handle = create(one)
  ids = Array.new(5) { one.spawn(handle: handle, script: 'sleep 100').job_id }
  check('more than one job', ids, one.info(handle: handle).job_ids.sort)
  raises('a job id beyond 32 bits is no job', ServerError, 'no such job') do
    # 2^33 + 1, which the library would refuse to write
    socket = one.socket
    payload = "\x0a".b + handle.bytesize.chr + handle + hex('10 8180808020')
    socket.write(OldWarden.wrap(envelope(22, payload)))
    one.read
  end
end

scenario 'open_enums' do
  linux_only('net_out and bind mounts')
  one = client
  handle = create(one)
  socket = one.socket
  payload = "\x0a".b + handle.bytesize.chr + handle + "\x12\x08".b + '10.1.2.3' + hex('2807')
  socket.write(OldWarden.wrap(envelope(32, payload)))
  raises('an unlisted protocol is an error that names it', ServerError, /7/) { one.read }
  mount = "\x0a\x04/tmp\x12\x02/x\x18\x09".b
  socket.write(OldWarden.wrap(envelope(11, "\x0a".b + mount.bytesize.chr + mount)))
  raises('an unlisted mode', ServerError, 'Unknown mode') { one.read }
  check('the connection is usable', 'pong', one.call(['ping']))
end

main
