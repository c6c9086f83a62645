# frozen_string_literal: true

# Absent and zero are different things; empty lists are absent.
require_relative 'support'

scenario 'limits' do
  linux_only('limits')
  one = client
  handle = create(one)
  untouched = one.limit_memory(handle: handle).limit_in_bytes
  check('no memory limit', 9_223_372_036_854_771_712, untouched)
  check('a write', 64 * 1024 * 1024, one.limit_memory(handle: handle, limit_in_bytes: 64 * 1024 * 1024).limit_in_bytes)
  check('a read changes nothing', 64 * 1024 * 1024, one.limit_memory(handle: handle).limit_in_bytes)
  shares = one.limit_cpu(handle: handle).limit_in_shares
  check('a read of shares', 1024, shares)
  check('zero is a write; the kernel makes it 2', 2, one.limit_cpu(handle: handle, limit_in_shares: 0).limit_in_shares)
  check('and stays', 2, one.limit_cpu(handle: handle).limit_in_shares)
end

scenario 'grace_time_zero' do
  # first: a connection references every container that exists when it is made
  observer = client
  owner = client
  handle = owner.create(grace_time: 0).handle
  later { destroy(handle) }
  other = owner.create({}).handle
  later { destroy(other) }
  owner.disconnect
  gone = eventually { !(observer.list.handles || []).include?(handle) }
  check('zero means at once', true, gone)
  check('absent means the default', true, observer.list.handles.include?(other))
end

scenario 'exit_status_zero' do
  one = client
  handle = create(one)
  result = one.run(handle: handle, script: 'true')
  check('status 0 is present', 0, result.exit_status)
  check('empty outputs are present', ['', ''], [result.stdout, result.stderr])
  check('info is present', 'active', result.info&.state)
  job = one.spawn(handle: handle, script: 'exit 0').job_id
  result = one.link(handle: handle, job_id: job)
  check('link the same', [0, '', ''], [result.exit_status, result.stdout, result.stderr])
end

scenario 'empty_payloads' do
  socket = raw
  handle = create(client)
  [[PingRequest.new, '085b1200'], [StopRequest.new(handle: handle), '080c1200'], [DestroyRequest.new(handle: handle), '080d1200']]
    .each do |request, expected|
    socket.write(OldWarden.frame(request))
    length = socket.gets("\r\n").to_i
    check("#{OldWarden.kind(request)}: the empty payload is written", hex(expected), socket.read(length))
    socket.read(2)
  end
end

scenario 'absent_lists' do
  one = client
  check('no handles', nil, one.list.handles)
  handle = create(one)
  check('one handle', [handle], one.list.handles)
  info = one.info(handle: handle)
  check('no events', nil, info.events)
  check('no jobs', nil, info.job_ids)
end

scenario 'flags_default_to_false' do
  one = client
  handle = create(one)
  # neither field is on the wire: 0a <handle> 12 <script>
  payload = "\x0a".b + handle.bytesize.chr + handle + "\x12\x07".b + 'id -u; '
  socket = raw
  socket.write(OldWarden.wrap(envelope(23, payload)))
  result = RunResponse.decode(answer(socket)[1])
  check('it ran', 0, result.exit_status)
  check('unprivileged', false, Facts.linux? && result.stdout == "0\n")
  check('with output', /\A\d+\n\z/, result.stdout)
end

main
