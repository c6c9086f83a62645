# frozen_string_literal: true

# Each row of the table of malformed input: one error that says what is wrong, and a connection that stays usable.
require_relative 'support'

ROWS = {
  'bytes that are no message' => [hex('ffffff'), /\S/],
  'a truncated envelope' => [hex('085b1205'), /truncated/],
  'an envelope without payload' => [hex('085b'), /payload/],
  'an envelope without type' => [hex('1200'), /type/],
  'an unknown type' => [hex('08631200'), /\AUnknown request type: 99\z/],
  'the type of errors' => [hex('08011200'), /\AUnknown request type: 1\z/],
  'an enormous type' => [hex('08ffffffffffffffffff011200'), /\AUnknown request type: \d+\z/],
  'a payload cut off' => [hex('085d12020a09'), /truncated/],
  'a wrong wire type' => [hex('085d12020801'), /message/],
  'Echo without message' => [hex('085d1200'), /message/],
  'Spawn without script' => [hex('081512030a0168'), /script/],
  'Run without handle' => [hex('081712041202616 2'), /handle/],
  'Info without handle' => [hex('080e1200'), /handle/],
  'Link without job id' => [hex('081612030a0168'), /job_id/],
  'LimitBandwidth without rate' => [hex('083512030a0168'), /rate/],
  'a bind mount without paths' => [hex('080b12020a00'), /src_path/],
  'a group, which no version of the format here has' => [hex('085d12011b'), /wire type 3/],
  'field number zero' => [hex('085d12020000'), /field number/],
  'an endless number' => [hex('085bffffffffffffffffffffffff'), /\S/]
}.freeze

scenario 'rows' do
  socket = raw
  ROWS.each do |what, (bytes, message)|
    # the good frame is in the same write: it must not wait for more bytes
    socket.write(OldWarden.wrap(bytes) + PING)
    type, payload = answer(socket)
    check("#{what}: an error", :Error, type)
    check("#{what}: its text", message, error_text(payload))
    check("#{what}: no internal name leaks", nil, error_text(payload)[/Warden::|ProtocolError|TypeError|\.ts\b|\.js\b|\bat \S+:\d+/])
    check("#{what}: the frame behind it is answered at once", PONG, socket.read(PONG.bytesize))
  end
end

scenario 'refused_requests' do
  one = client
  raises('an unknown handle', ServerError, 'unknown handle') { one.info(handle: 'nobody') }
  handle = create(one, handle: 'taken')
  raises('a handle twice', ServerError, 'container with handle: taken already exists.') { one.create(handle: 'taken') }
  raises('an unknown job', ServerError, 'no such job') { one.link(handle: handle, job_id: 4_000_000_000) }
  raises('an unknown job to stream', ServerError, 'no such job') { one.stream(StreamRequest.new(handle: handle, job_id: 9)) { nil } }
  one.stop(handle: handle, kill: true)
  raises('a state', ServerError, "Container state must be one of 'active', current state is 'stopped'") do
    one.run(handle: handle, script: 'true')
  end
  check('one connection through all of it', 'pong', one.call(['ping']))
end

scenario 'unknown_handle_everywhere' do
  one = client
  fields = { script: 'x', job_id: 1, src_path: '/a', dst_path: '/b', rate: 1, burst: 1, network: '10.0.0.1' }
  %i[stop destroy info spawn run link net_in net_out copy_in copy_out limit_memory limit_disk limit_bandwidth limit_cpu].each do |name|
    request = OldWarden.request(name)
    wanted = request.class.fields.values.map(&:name)
    raises(name, ServerError, 'unknown handle') { one.call(request.class.new(fields.slice(*wanted).merge(handle: 'nobody'))) }
  end
  raises(:stream, ServerError, 'unknown handle') { one.stream(StreamRequest.new(handle: 'nobody', job_id: 1)) { nil } }
end

# Bytes at random, from a seed: whatever the daemon thinks of them, it answers or closes, and goes on.
scenario 'fuzz' do
  seed = Integer(ENV.fetch('WARDEN_FUZZ_SEED', '20131'))
  random = Random.new(seed)
  names = %i[create stop destroy info spawn link run stream net_in net_out copy_in copy_out limit_memory limit_disk limit_bandwidth limit_cpu ping list echo]
  good = names.map do |name|
    request = OldWarden.request(name)
    request.class.fields.each_value do |field|
      value = case field.type
              when :string then %w[nobody x /a][random.rand(3)]
              when :uint32, :uint64, :int32 then random.rand(100_000)
              when :bool then true
              end
      request[field.name] = value unless value.nil? || (name == :create && field.name != :grace_time)
    end
    request.handle = 'nobody' if request.respond_to?(:handle=) && name != :create
    OldWarden.frame(request)
  end
  closed = answered = 0
  400.times do |round|
    socket = UNIXSocket.new(Facts.socket)
    bytes = Array.new(1 + random.rand(4)) do
      case random.rand(4)
      when 0 then random.bytes(random.rand(60))
      when 1 then OldWarden.wrap(random.bytes(random.rand(80)))
      when 2 then OldWarden.wrap(envelope([11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 41, 42, 51, 52, 53, 54, 91, 92, 93, 1001][random.rand(20)], random.bytes(random.rand(60))))
      else
        frame = good[random.rand(good.size)].dup
        (1 + random.rand(3)).times { frame.setbyte(random.rand(frame.bytesize), random.rand(256)) }
        frame
      end
    end.join
    begin
      socket.write(bytes)
      socket.close_write if round.odd?
      while socket.wait_readable(0.02)
        piece = socket.read_nonblock(65_536, exception: false)
        break closed += 1 if piece.nil?

        answered += 1 if piece.is_a?(String)
      end
    rescue Errno::EPIPE, Errno::ECONNRESET
      closed += 1
    ensure
      socket.close
    end
    next unless (round % 50).zero?

    check("after #{round} rounds of seed #{seed} the daemon answers", 'pong', client.call(['ping']))
  end
  check('both reactions were seen', true, closed.positive? && answered.positive?)
  one = client
  (one.list.handles || []).each { |handle| destroy(handle) }
  handle = create(one)
  check('and works', "fine\n", one.run(handle: handle, script: 'echo fine').stdout)
end

main
