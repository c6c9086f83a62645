# frozen_string_literal: true

# A synchronous client as programs had one: one request, one answer. It reads a line, believes its number, reads that many bytes
# and then two more that it does not look at.
require 'socket'
require_relative 'messages'
require_relative 'v1'

module OldWarden
  class ServerError < StandardError; end

  class SyncClient
    # `place` is the path of a unix socket or `tcp://host:port`.
    def initialize(place)
      @place = place
      @v1 = false
    end

    attr_reader :socket

    def connected?
      !@socket.nil?
    end

    def connect
      raise 'already connected' if connected?

      @socket =
        if (match = %r{\Atcp://([^:]+):(\d+)\z}.match(@place))
          TCPSocket.new(match[1], match[2].to_i)
        else
          UNIXSocket.new(@place)
        end
      self
    end

    def disconnect
      raise 'not connected' unless connected?

      @socket.close unless @socket.closed?
      @socket = nil
    end

    def reconnect
      disconnect if connected?
      connect
    end

    # Sends a message and answers its response; an array is a v1 command and switches the connection to v1 values.
    def call(request)
      if request.is_a?(Array)
        @v1 = true
        request = V1.request(request)
      end
      write(request)
      answer = read
      @v1 ? V1.response(answer) : answer
    end

    # Yields each response while the exit status is absent and answers the final one.
    def stream(request)
      unless request.is_a?(StreamRequest)
        raise ArgumentError, "Expected argument to be of type:'#{StreamRequest}', but received: '#{request.class}'."
      end

      write(request)
      answer = read
      while answer.exit_status.nil?
        yield answer
        answer = read
      end
      answer
    end

    # Any request by its name: `client.copy_in(handle: …, src_path: …)`.
    def method_missing(name, fields = {})
      call(OldWarden.request(name, fields))
    rescue NameError => e
      raise e if e.name.nil? || !e.name.to_s.end_with?('Request')

      super
    end

    def respond_to_missing?(name, _all = false)
      NUMBERS.key?(name.to_s.split('_').map(&:capitalize).join.to_sym)
    end

    def write(request)
      raise 'not connected' unless connected?

      @socket.write(OldWarden.frame(request))
    end

    # The next response; an Error raises a ServerError and leaves the connection as it is.
    def read
      response = OldWarden.response(read_frame)
      raise ServerError, response.message if response.is_a?(ErrorResponse)

      response
    end

    def read_frame
      line = @socket.gets("\n") or ended
      length = line.to_i
      body = @socket.read(length)
      ended if body.nil? || body.bytesize < length
      ended if (@socket.read(2) || '').bytesize < 2
      body
    rescue Errno::ECONNRESET, Errno::EPIPE
      ended
    end

    private

    def ended
      disconnect
      raise EOFError, 'end of file reached'
    end
  end
end
