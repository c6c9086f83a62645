# frozen_string_literal: true

require_relative 'support'

scenario 'pipelined' do
  one = client
  handle = create(one)
  socket = raw
  requests = []
  60.times do |at|
    requests << EchoRequest.new(message: "echo #{at}")
    requests << InfoRequest.new(handle: at.even? ? handle : 'nobody')
    requests << PingRequest.new
  end
  socket.write(requests.map { |request| OldWarden.frame(request) }.join)
  requests.each_with_index do |request, at|
    type, payload = answer(socket)
    kind = OldWarden.kind(request)
    if kind == :Info && request.handle == 'nobody'
      check("answer #{at}: the error is in its place", [:Error, 'unknown handle'], [type, error_text(payload)])
    else
      check("answer #{at}", kind, type)
      check("text #{at}", request.message, EchoResponse.decode(payload).message) if kind == :Echo
    end
  end
end

scenario 'behind_a_long_run' do
  one = client
  handle = create(one)
  gate = scratch
  socket = raw
  job = RunRequest.new(handle: handle, script: 'echo begun; sleep 3; echo over')
  socket.write([job, EchoRequest.new(message: 'behind'), RunRequest.new(handle: handle, script: 'echo second')]
    .map { |request| OldWarden.frame(request) }.join)
  began = now
  20.times { check('another connection is answered meanwhile', 'pong', client.call(['ping'])) }
  check('also about the same container, which has the job as soon as it is started', true, eventually { one.info(handle: handle).job_ids&.size == 1 })
  check('before the run ends', true, now - began < 3 && socket.wait_readable(0).nil?)
  check('the run', "begun\nover\n", RunResponse.decode(answer(socket)[1]).stdout)
  check('what waited', 'behind', EchoResponse.decode(answer(socket)[1]).message)
  check('the second run', "second\n", RunResponse.decode(answer(socket)[1]).stdout)
  check('the scratch directory is untouched', [], Dir.children(gate))
end

scenario 'flood' do
  # more than any daemon may hold in its queue, written without reading until the kernel refuses
  socket = raw
  frame = OldWarden.frame(EchoRequest.new(message: 'z' * 10_000))
  count = 3000
  sender = Thread.new { count.times { socket.write(frame) } }
  sleep 0.5
  check('others are served meanwhile', 'pong', client.call(['ping']))
  whole = Array.new(count) { EchoResponse.decode(answer(socket)[1]).message.bytesize }
  check('every request is answered', [10_000], whole.uniq)
  sender.join
end

scenario 'gone_in_the_middle' do
  one = client
  handle = create(one)
  socket = raw
  socket.write(OldWarden.frame(RunRequest.new(handle: handle, script: 'echo $$ > running; sleep 1; echo done > finished')))
  socket.write(OldWarden.frame(RunRequest.new(handle: handle, script: 'echo never > queued')))
  seen = eventually { one.run(handle: handle, script: 'test -s running').exit_status.zero? }
  check('the first request runs', true, seen)
  socket.close
  ended = eventually { one.run(handle: handle, script: 'test -s finished').exit_status.zero? }
  check('it is not cancelled', true, ended)
  check('no job is left running', true, eventually { one.info(handle: handle).job_ids.nil? })
  check('what was queued was not started', 1, one.run(handle: handle, script: 'test -e queued').exit_status)
  check('the daemon lives', 'pong', client.call(['ping']))
end

scenario 'half_a_frame_then_gone' do
  frame = OldWarden.frame(EchoRequest.new(message: 'x' * 1000))
  200.times do |at|
    socket = UNIXSocket.new(Facts.socket)
    socket.write(frame.byteslice(0, at * 5 % frame.bytesize))
    socket.close
  end
  check('the daemon lives', 'pong', client.call(['ping']))
end

main
