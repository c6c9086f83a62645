# frozen_string_literal: true

# Strings are bytes: nothing between client and container may look at them.
require_relative 'support'

ALL = (0..255).map(&:chr).join.b

scenario 'echo' do
  one = client
  ["\xFF\x00\xFE".b, ALL, ''.b, "\u00e9\u{1f600}".b, "\xC2".b, "\xED\xA0\x80".b].each do |bytes|
    check("echo of #{bytes.inspect[0, 40]}", bytes, one.echo(message: bytes).message.b)
  end
end

scenario 'large_echo' do
  bytes = Random.new(7).bytes(8 * 1024 * 1024)
  one = client
  check('8 MiB come back unchanged', true, one.echo(message: bytes).message.b == bytes)
  check('the connection goes on', 'pong', one.call(['ping']))
end

scenario 'handles' do
  one = client
  ["\xC2\x82".b, "\xFF\x00\xFE".b, ''.b, "a b\n/../c".b, "'\"$(reboot)".b].each do |bytes|
    handle = create(one, handle: bytes)
    check("created as #{bytes.inspect}", bytes, handle.b)
    check('listed', true, one.list.handles.map(&:b).include?(bytes))
    check('usable', "ok\n", one.run(handle: bytes, script: 'echo ok').stdout)
    raises('not a second time', ServerError, /already exists/) { one.create(handle: bytes) }
    path = one.info(handle: bytes).container_path
    check('its directory is named by the id', /\A[0-9a-v]{11}\z/, File.basename(path))
    one.destroy(handle: bytes)
    raises('gone', ServerError, 'unknown handle') { one.info(handle: bytes) }
  end
end

scenario 'scripts' do
  one = client
  handle = create(one)
  bytes = (1..255).map(&:chr).join.b.delete("'")
  result = one.run(handle: handle, script: "printf %s '".b + bytes + "'".b)
  check('every byte of a script', bytes, result.stdout.b)
  result = one.run(handle: handle, script: 'for i in $(seq 0 255); do printf "\\\\$(printf %03o $i)"; done >&2')
  check('every byte of an output', ALL, result.stderr.b)
  result = one.run(handle: handle, script: "read line\nthis is data\necho \"got: $line\"")
  check('the script is standard input', "got: this is data\n", result.stdout)
  long = "#{'# padding' * 20}\n" * 2000
  check('a long script', "end\n", one.run(handle: handle, script: "#{long}echo end").stdout)
end

scenario 'unknown_bytes_in_errors' do
  one = client
  raises('a missing source is named with its bytes', ServerError, /\S/) do
    one.create(bind_mounts: [{ src_path: "/no/\xFF/such".b, dst_path: '/x', mode: 0 }])
  end unless !Facts.linux?
  raises('an odd handle is unknown', ServerError, 'unknown handle') { one.info(handle: "\xFF\xFE".b) }
  check('the connection is usable', 'pong', one.call(['ping']))
end

main
