# frozen_string_literal: true

require_relative 'support'

scenario 'byte_by_byte' do
  socket = raw
  OldWarden.frame(EchoRequest.new(message: 'piecemeal')).each_char do |byte|
    check('nothing is answered before the frame is whole', nil, socket.wait_readable(0)) if byte == "\n"
    socket.write(byte)
    socket.flush
  end
  type, payload = answer(socket)
  check('type', :Echo, type)
  check('text', 'piecemeal', EchoResponse.decode(payload).message)
end

scenario 'cut_anywhere' do
  frame = OldWarden.frame(EchoRequest.new(message: 'cut in two'))
  socket = raw
  (1...frame.bytesize).each do |at|
    socket.write(frame.byteslice(0, at))
    sleep 0.002
    socket.write(frame.byteslice(at, frame.bytesize))
    check("cut at #{at}", [:Echo, 'cut in two'], [:Echo, EchoResponse.decode(answer(socket)[1]).message])
  end
end

scenario 'two_writes_per_frame' do
  socket = raw
  20.times do |at|
    body = envelope(93, EchoRequest.new(message: "number #{at}").encode.to_s)
    socket.write("#{body.bytesize}\r\n")
    socket.write(body)
    socket.write("\r\n")
  end
  20.times { |at| check("answer #{at}", "number #{at}", EchoResponse.decode(answer(socket)[1]).message) }
end

scenario 'many_in_one_write' do
  socket = raw
  reader = Thread.new { Array.new(1000) { EchoResponse.decode(answer(socket)[1]).message } }
  socket.write((0...1000).map { |at| OldWarden.frame(EchoRequest.new(message: at.to_s)) }.join)
  check('all in order', (0...1000).map(&:to_s), reader.value)
end

scenario 'silent_server' do
  socket = raw
  check('the daemon says nothing first', nil, socket.wait_readable(0.3))
  socket.write(PING)
  check('and answers when asked', PONG, socket.read(PONG.bytesize))
end

# Each of these headers ends the connection after one error; the daemon itself goes on.
BROKEN = {
  'letters' => "abc\r\n", 'empty' => "\r\n", 'fraction' => "4.0\r\n", 'negative' => "-1\r\n", 'blank before' => " 4\r\n",
  'blank after' => "4 \r\n", 'plus' => "+4\r\n", 'hexadecimal' => "0x4\r\n", 'underscore' => "0_4\r\n", 'binary' => "0b1\r\n",
  'line feed only' => "4\n", 'endless digits' => '1' * 64, 'endless garbage' => 'x' * 64, 'over the limit' => "99999999999\r\n",
  'number beyond all bounds' => "99999999999999\r\n", 'a JSON line of the first generation' => "[\"ping\"]\n"
}.freeze

scenario 'odd_headers' do
  BROKEN.each do |what, header|
    socket = raw
    socket.write(PING + header.b + PING)
    check("#{what}: the frame before it is answered", PONG, socket.read(PONG.bytesize))
    type, payload = answer(socket)
    check("#{what}: an error", :Error, type)
    check("#{what}: that says what is wrong", /frame/, error_text(payload))
    check("#{what}: then the end", nil, socket.read(1))
  rescue Errno::ECONNRESET
    check("#{what}: then the end", true, true)
  end
  check('the daemon lives', 'pong', client.call(['ping']))
end

scenario 'leading_zeros' do
  socket = raw
  body = envelope(93, EchoRequest.new(message: 'ten').encode.to_s)
  # 9 bytes; as an octal literal 011 would be the same number, 0009 would be none
  socket.write("0009\r\n".b + body + "\r\n")
  check('digits are decimal', 'ten', EchoResponse.decode(answer(socket)[1]).message)
end

scenario 'empty_message' do
  socket = raw
  socket.write("0\r\n\r\n")
  type, payload = answer(socket)
  check('an error', :Error, type)
  check('names the field', /type/, error_text(payload))
  socket.write(PING)
  check('the stream stays in step', PONG, socket.read(PONG.bytesize))
end

scenario 'wrong_trailer' do
  socket = raw
  socket.write("4\r\n\x08\x5b\x12\x00XX".b)
  type, payload = answer(socket)
  check('an error', :Error, type)
  check('that names the trailer', /trailer/, error_text(payload))
  check('then the end', nil, socket.read(1))
end

scenario 'largest_frame' do
  body_of = ->(text) { envelope(93, EchoRequest.new(message: text).encode.to_s) }
  text = 'y' * (Facts.frame_limit - 64)
  text << 'y' * (Facts.frame_limit - body_of.call(text).bytesize)
  body = body_of.call(text)
  check('the frame is exactly at the limit', Facts.frame_limit, body.bytesize)
  socket = raw
  sender = Thread.new { socket.write(OldWarden.wrap(body)) }
  check('it comes back whole', true, EchoResponse.decode(answer(socket)[1]).message == text)
  sender.join
  other = raw
  other.write("#{Facts.frame_limit + 1}\r\n")
  type, payload = answer(other)
  check('one byte more is refused by the header alone', :Error, type)
  check('with the limit', /#{Facts.frame_limit}/, error_text(payload))
  check('and closed', nil, other.read(1))
  socket.write(PING)
  check('the first connection goes on', PONG, socket.read(PONG.bytesize))
end

scenario 'half_close' do
  socket = raw
  socket.write(PING)
  socket.close_write
  check('the connection ends, with or without the answer', true, [PONG, ''].include?(socket.read))

  # a job that somebody half-closed over is not lost
  one = client
  handle = create(one)
  job = one.spawn(handle: handle, script: 'sleep 0.5; echo kept; exit 5').job_id
  linking = raw
  linking.write(OldWarden.frame(LinkRequest.new(handle: handle, job_id: job)))
  linking.close_write
  check('the waiting connection ends', '', linking.read)
  result = one.link(handle: handle, job_id: job)
  check('the result is still there', [5, "kept\n"], [result.exit_status, result.stdout])
end

main
