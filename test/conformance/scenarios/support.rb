# frozen_string_literal: true

# What every scenario needs: facts about the daemon from the environment, named scenarios of which one runs per process, checks
# that print one JSON line each. Nothing here or below belongs to the daemon's project: an old client knows only the socket.
require 'json'
require 'timeout'
require 'fileutils'
require 'tmpdir'
require_relative '../clients/messages'
require_relative '../clients/sync_client'

module Facts
  module_function

  def socket = ENV.fetch('WARDEN_SOCKET', '/tmp/warden.sock')
  def backend = ENV.fetch('WARDEN_BACKEND', 'linux')
  def linux? = backend == 'linux'
  def frame_limit = Integer(ENV.fetch('WARDEN_FRAME_LIMIT', '67108864'))
  def output_limit = Integer(ENV.fetch('WARDEN_OUTPUT_LIMIT', '10485760'))
  def rootfs = ENV['WARDEN_ROOTFS']
  def pidfile = ENV['WARDEN_PIDFILE']
  def host_address = ENV['WARDEN_HOST_ADDRESS']
  def syslog_socket = ENV['WARDEN_SYSLOG_SOCKET']
end

class Skip < StandardError; end

module Scenarios
  LIMIT = 110
  # one process runs one scenario, so this is all there is to remember
  STATE = { all: {}, checks: 0, cleanups: [] }

  module_function

  def scenario(name, &block)
    STATE[:all][name] = block
  end

  def emit(line)
    $stdout.puts(JSON.generate(line))
    $stdout.flush
  end

  def check(text, expected, got)
    STATE[:checks] += 1
    ok = expected === got || expected == got
    line = { check: text, ok: ok }
    line.update(expected: expected.inspect[0, 400], got: got.inspect[0, 400]) unless ok
    emit(line)
    ok
  end

  # The block must raise `kind` with a message that is or matches `text`.
  def raises(text, kind, message)
    yield
    check(text, "#{kind}: #{message.inspect}", 'nothing was raised')
  rescue StandardError => e
    raise if e.is_a?(Skip)

    # messages may hold any bytes
    check(text, true, e.is_a?(kind) && (message === e.message.b || message == e.message)) ||
      emit(note: "raised #{e.class}: #{e.message.inspect}", at: e.backtrace.first(4))
  end

  # Polls until the block answers something true; answers it, or nil after the deadline.
  def eventually(seconds = 20)
    deadline = now + seconds
    loop do
      value = yield
      return value if value
      return nil if now > deadline

      sleep 0.05
    end
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  # Asks whoever runs the suite to do something to the daemon (`drain`, `kill`, `start`, …) and waits until it is done.
  def control(word)
    program = ENV['WARDEN_CONTROL']
    if program
      system(program, word) or raise "#{program} #{word} failed"
      return
    end
    emit(control: word)
    answer = $stdin.gets&.chomp
    raise "#{word}: #{answer || 'nobody answered'}" unless answer == 'ok'
  end

  def later(&block)
    STATE[:cleanups] << block
  end

  # A connected synchronous client.
  def client
    one = OldWarden::SyncClient.new(Facts.socket).connect
    later { one.disconnect if one.connected? }
    one
  end

  # A connection that sends and receives bytes.
  def raw
    socket = UNIXSocket.new(Facts.socket)
    later { socket.close unless socket.closed? }
    socket
  end

  # A container that is destroyed after the scenario, whatever happens.
  def create(client, fields = {})
    handle = client.create(fields).handle
    later { destroy(handle) }
    handle
  end

  def destroy(handle)
    one = OldWarden::SyncClient.new(Facts.socket).connect
    begin
      one.stop(handle: handle, kill: true)
      one.destroy(handle: handle)
    rescue OldWarden::ServerError
      # gone already
    ensure
      one.disconnect
    end
  end

  def scratch
    directory = Dir.mktmpdir('warden-scenario-', ENV['WARDEN_SCRATCH'])
    File.chmod(0o755, directory)
    later { FileUtils.rm_rf(directory) }
    directory
  end

  def linux_only(what)
    raise Skip, "the insecure backend has no #{what}" unless Facts.linux?
  end

  def run_one(name)
    Timeout.timeout(LIMIT) { STATE[:all].fetch(name).call }
  rescue Skip => e
    # what was checked before the point that a backend lacks counts
    emit(STATE[:checks].positive? ? { note: e.message } : { skip: e.message })
  rescue StandardError, Timeout::Error, NoMethodError => e
    emit(error: "#{e.class}: #{e.message}"[0, 500], at: e.backtrace.first(8))
  ensure
    STATE[:cleanups].reverse_each do |block|
      Timeout.timeout(30) { block.call }
    rescue StandardError, Timeout::Error => e
      emit(note: "clean-up: #{e.class}: #{e.message}")
    end
    emit(done: name, checks: STATE[:checks])
  end

  # One process, one scenario: its name is the argument. `--list` prints the names.
  def main(words = ARGV)
    return puts(STATE[:all].keys) if words == ['--list']

    run_one(words.fetch(0))
  end
end

include Scenarios
include OldWarden

# A frame's answer read by hand: type and payload bytes.
def answer(socket)
  line = socket.gets("\r\n") or raise EOFError, 'end of file instead of an answer'
  body = socket.read(line.to_i)
  trailer = socket.read(2)
  raise "trailer #{trailer.inspect}" unless trailer == "\r\n"

  envelope = Envelope.decode(body)
  [TYPES.fetch(envelope.type), envelope.payload]
end

def error_text(payload)
  ErrorResponse.decode(payload).message
end

# An envelope by hand: any type number and any payload bytes.
def envelope(type, payload = '')
  Envelope.new(type: type, payload: payload.b).encode.to_s
end

def hex(text)
  [text.delete(" \n")].pack('H*')
end

PING = OldWarden.frame(PingRequest.new)
PONG = hex('340d0a085b12000d0a')
