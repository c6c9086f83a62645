# frozen_string_literal: true

# A client of an EventMachine program: it sends without waiting and pairs answers with requests by their order.
require 'eventmachine'
require_relative 'messages'
require_relative 'v1'

module OldWarden
  class Disconnected < StandardError; end
  class RemoteError < StandardError; end

  # What a callback gets: `get` answers the response or raises.
  class Result
    def initialize(value)
      @value = value
    end

    def get
      raise @value if @value.is_a?(StandardError)

      @value
    end
  end

  module EventedClient
    attr_accessor :on_disconnect

    # The daemon is at `place`: a socket's path or `tcp://host:port`.
    def self.connect(place)
      if (match = %r{\Atcp://([^:]+):(\d+)\z}.match(place))
        EM.connect(match[1], match[2].to_i, self)
      else
        EM.connect_unix_domain(place, self)
      end
    end

    def post_init
      @buffer = +''.b
      @waiting = []
      @connected = true
    end

    # Sends a message or a v1 command; the block gets a Result.
    def call(request, &block)
      is_v1 = request.is_a?(Array)
      request = V1.request(request) if is_v1
      return block.call(Result.new(Disconnected.new('Disconnected'))) unless @connected

      @waiting << [is_v1, block]
      send_data(OldWarden.frame(request))
    end

    # A known request by name with its fields; any other name is a v1 command with its words.
    def method_missing(name, *args, &block)
      request = begin
        OldWarden.request(name, args[0].is_a?(Hash) ? args[0] : {})
      rescue NameError
        [name.to_s, *args]
      end
      call(request, &block)
    end

    def respond_to_missing?(_name, _all = false)
      true
    end

    def receive_data(data)
      @buffer << data
      while (match = /\A(\d+)\r\n/n.match(@buffer))
        length = match[1].to_i
        start = match[0].bytesize
        break if @buffer.bytesize < start + length + 2

        body = @buffer.byteslice(start, length)
        @buffer = @buffer.byteslice(start + length + 2, @buffer.bytesize)
        is_v1, block = @waiting.shift
        block&.call(Result.new(value_of(body, is_v1)))
      end
    end

    def unbind
      @connected = false
      waiting = @waiting
      @waiting = []
      waiting.each { |_v1, block| block&.call(Result.new(Disconnected.new('Disconnected'))) }
      @on_disconnect&.call
    end

    private

    def value_of(body, is_v1)
      response = OldWarden.response(body)
      return RemoteError.new(response.message) if response.is_a?(ErrorResponse)

      is_v1 ? V1.response(response) : response
    end
  end
end
