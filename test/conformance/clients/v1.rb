# frozen_string_literal: true

# The translation of the first daemon generation's commands (arrays of words) into messages, and of the answers into plain
# values. It lived in the clients; the daemon never sees it.
require_relative 'messages'

module OldWarden
  module V1
    module_function

    def request(words)
      name, *rest = words
      case name.to_s.downcase
      when 'create' then create(rest[0] || {})
      when 'stop' then StopRequest.new(handle: rest[0])
      when 'destroy' then DestroyRequest.new(handle: rest[0])
      when 'info' then InfoRequest.new(handle: rest[0])
      when 'spawn' then SpawnRequest.new(handle: rest[0], script: rest[1])
      when 'run' then RunRequest.new(handle: rest[0], script: rest[1])
      when 'link' then LinkRequest.new(handle: rest[0], job_id: Integer(rest[1]))
      when 'stream' then StreamRequest.new(handle: rest[0], job_id: Integer(rest[1]))
      when 'net' then net(*rest)
      when 'copy' then copy(*rest)
      when 'limit' then limit(*rest)
      when 'ping' then PingRequest.new
      when 'list' then ListRequest.new
      when 'echo' then EchoRequest.new(message: rest[0])
      else raise "Unknown command: #{name.to_s.upcase}"
      end
    end

    def create(config)
      request = CreateRequest.new
      mounts = config['bind_mounts']
      if mounts
        request.bind_mounts = mounts.map do |source, target, mode|
          mode = mode['mode'] || mode[:mode] if mode.is_a?(Hash)
          BindMount.new(src_path: source, dst_path: target, mode: BindMount::Mode.const_get(mode.to_s.upcase))
        end
      end
      grace = config['grace_time']
      request.grace_time = Integer(grace.is_a?(String) ? Float(grace) : grace) unless grace.nil?
      request
    end

    def net(handle, direction, target = nil)
      case direction
      when 'in' then NetInRequest.new(handle: handle)
      when 'out'
        network, port = target.split(':', 2)
        NetOutRequest.new(handle: handle, network: network, port: Integer(port))
      else raise "Unknown net direction: #{direction}"
      end
    end

    def copy(handle, direction, source, target, owner = nil)
      case direction
      when 'in' then CopyInRequest.new(handle: handle, src_path: source, dst_path: target)
      when 'out' then CopyOutRequest.new(handle: handle, src_path: source, dst_path: target, owner: owner)
      else raise "Unknown copy direction: #{direction}"
      end
    end

    def limit(handle, what, value = nil, burst = nil)
      number = value.nil? ? nil : Integer(value)
      case what
      when 'mem' then LimitMemoryRequest.new(handle: handle, limit_in_bytes: number)
      when 'disk' then LimitDiskRequest.new(handle: handle, byte: number)
      when 'bandwidth' then LimitBandwidthRequest.new(handle: handle, rate: number, burst: Integer(burst))
      else raise "Unknown limit: #{what}"
      end
    end

    def response(message)
      case message
      when CreateResponse then message.handle
      when StopResponse, DestroyResponse, NetOutResponse, CopyInResponse, CopyOutResponse then 'ok'
      when InfoResponse then strings(message.to_hash)
      when SpawnResponse then message.job_id
      when LinkResponse, RunResponse then [message.exit_status, message.stdout, message.stderr]
      when StreamResponse then [message.name, message.data, message.exit_status]
      when NetInResponse then strings(message.to_hash)
      when LimitMemoryResponse then message.limit_in_bytes
      when LimitDiskResponse then message.byte
      when LimitBandwidthResponse then "rate: #{message.rate} burst: #{message.burst}"
      when PingResponse then 'pong'
      when ListResponse then message.handles
      when EchoResponse then message.message
      else raise "Unknown response: #{message.class}"
      end
    end

    def strings(map)
      map.to_h { |key, value| [key.to_s, value.is_a?(Hash) ? strings(value) : value] }
    end
  end
end
