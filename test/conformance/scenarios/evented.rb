# frozen_string_literal: true

# What programs with the evented client rely on: many requests out, answers paired by their order.
require_relative 'support'
require_relative '../clients/evented_client'

def loop_with(place = Facts.socket)
  EM.run do
    EM.add_timer(60) { raise 'the loop did not end' }
    yield EventedClient.connect(place)
  end
end

scenario 'pairs_by_order' do
  got = []
  handle = nil
  loop_with do |connection|
    connection.call(CreateRequest.new(handle: 'evented')) { |result| got << [:create, (handle = result.get.handle)] }
    200.times { |at| connection.echo(message: "m#{at}") { |result| got << [:echo, result.get.message] } }
    connection.call(RunRequest.new(handle: 'evented', script: 'sleep 0.5; echo ran')) { |result| got << [:run, result.get.stdout] }
    connection.info(handle: 'nobody') do |result|
      got << [:info, begin
        result.get
      rescue RemoteError => e
        e.message
      end]
    end
    connection.call(PingRequest.new) do |result|
      got << [:ping, result.get.class]
      EM.stop
    end
  end
  later { destroy(handle) }
  expected = [[:create, 'evented'], *(0...200).map { |at| [:echo, "m#{at}"] }, [:run, "ran\n"], [:info, 'unknown handle'], [:ping, PingResponse]]
  check('every answer reached its own request', expected, got)
end

scenario 'v1_commands' do
  got = []
  loop_with do |connection|
    connection.call(['ping']) { |result| got << result.get }
    connection.call(%w[echo hello]) { |result| got << result.get }
    connection.call(['create', { 'grace_time' => 60 }]) do |result|
      handle = result.get
      connection.call(['run', handle, 'echo v1; exit 2']) { |one| got << one.get }
      connection.call(['destroy', handle]) do |one|
        got << one.get
        EM.stop
      end
    end
  end
  check('plain values', ['pong', 'hello', [2, "v1\n", ''], 'ok'], got)
end

scenario 'disconnected' do
  one = client
  handle = create(one)
  got = []
  loop_with do |connection|
    3.times do
      connection.call(RunRequest.new(handle: handle, script: 'sleep 30')) do |result|
        got << begin
          result.get.exit_status
        rescue Disconnected => e
          e.message
        end
      end
    end
    connection.on_disconnect = proc do
      connection.call(PingRequest.new) do |result|
        got << begin
          result.get
        rescue Disconnected => e
          "later: #{e.message}"
        end
        EM.stop
      end
    end
    EM.add_timer(0.5) { connection.send_data("not a frame\r\n") }
    # the broken frame is answered behind what runs; the daemon's own end is asked for here
    EM.add_timer(1.5) { connection.close_connection }
  end
  check('all that wait fail, then also what comes later', ['Disconnected'] * 3 + ['later: Disconnected'], got)
end

main
