# frozen_string_literal: true

# The messages of warden's wire protocol as a Ruby program of 2013 declares them: with the beefcake library, whose decoder
# refuses packed lists, missing required fields and wrong wire types.
require 'beefcake'

module OldWarden
  TYPES = {
    1 => :Error, 11 => :Create, 12 => :Stop, 13 => :Destroy, 14 => :Info,
    21 => :Spawn, 22 => :Link, 23 => :Run, 24 => :Stream,
    31 => :NetIn, 32 => :NetOut, 41 => :CopyIn, 42 => :CopyOut,
    51 => :LimitMemory, 52 => :LimitDisk, 53 => :LimitBandwidth, 54 => :LimitCpu,
    91 => :Ping, 92 => :List, 93 => :Echo
  }.freeze

  class Envelope
    include Beefcake::Message
    required :type, :uint32, 1
    required :payload, :bytes, 2
  end

  class ResourceLimits
    include Beefcake::Message
    %i[as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio sigpending stack]
      .each_with_index { |name, at| optional name, :uint64, at + 1 }
  end

  class BindMount
    include Beefcake::Message
    module Mode
      RO = 0
      RW = 1
    end
    required :src_path, :string, 1
    required :dst_path, :string, 2
    required :mode, Mode, 3
  end

  class CreateRequest
    include Beefcake::Message
    repeated :bind_mounts, BindMount, 1
    optional :grace_time, :uint32, 2
    optional :handle, :string, 3
    optional :network, :string, 4
    optional :rootfs, :string, 5
  end

  class CreateResponse
    include Beefcake::Message
    required :handle, :string, 1
  end

  class StopRequest
    include Beefcake::Message
    required :handle, :string, 1
    optional :background, :bool, 10, default: false
    optional :kill, :bool, 20, default: false
  end

  class MemoryStat
    include Beefcake::Message
    %i[cache rss mapped_file pgpgin pgpgout swap pgfault pgmajfault inactive_anon active_anon inactive_file active_file
       unevictable hierarchical_memory_limit hierarchical_memsw_limit total_cache total_rss total_mapped_file total_pgpgin
       total_pgpgout total_swap total_pgfault total_pgmajfault total_inactive_anon total_active_anon total_inactive_file
       total_active_file total_unevictable].each_with_index { |name, at| optional name, :uint64, at + 1 }
  end

  class CpuStat
    include Beefcake::Message
    optional :usage, :uint64, 1
    optional :user, :uint64, 2
    optional :system, :uint64, 3
  end

  class DiskStat
    include Beefcake::Message
    optional :bytes_used, :uint64, 1
    optional :inodes_used, :uint64, 2
  end

  class BandwidthStat
    include Beefcake::Message
    optional :in_rate, :uint64, 1
    optional :in_burst, :uint64, 2
    optional :out_rate, :uint64, 3
    optional :out_burst, :uint64, 4
  end

  class InfoResponse
    include Beefcake::Message
    optional :state, :string, 10
    repeated :events, :string, 20
    optional :host_ip, :string, 30
    optional :container_ip, :string, 31
    optional :container_path, :string, 32
    optional :memory_stat, MemoryStat, 40
    optional :cpu_stat, CpuStat, 41
    optional :disk_stat, DiskStat, 42
    optional :bandwidth_stat, BandwidthStat, 43
    repeated :job_ids, :uint64, 44
  end

  class SpawnRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :script, :string, 2
    optional :privileged, :bool, 3, default: false
    optional :rlimits, ResourceLimits, 4
    optional :discard_output, :bool, 5, default: false
    optional :log_tag, :string, 6
  end

  class SpawnResponse
    include Beefcake::Message
    required :job_id, :uint32, 1
  end

  class RunRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :script, :string, 2
    optional :privileged, :bool, 3, default: false
    optional :rlimits, ResourceLimits, 4
    optional :discard_output, :bool, 5, default: false
    optional :log_tag, :string, 6
  end

  class LinkRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :job_id, :uint32, 2
  end

  class StreamRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :job_id, :uint32, 2
  end

  class LinkResponse
    include Beefcake::Message
    optional :exit_status, :uint32, 1
    optional :stdout, :string, 2
    optional :stderr, :string, 3
    optional :info, InfoResponse, 4
  end

  class RunResponse
    include Beefcake::Message
    optional :exit_status, :uint32, 1
    optional :stdout, :string, 2
    optional :stderr, :string, 3
    optional :info, InfoResponse, 4
  end

  class StreamResponse
    include Beefcake::Message
    optional :name, :string, 1
    optional :data, :string, 2
    optional :exit_status, :uint32, 3
    optional :info, InfoResponse, 4
  end

  class NetInRequest
    include Beefcake::Message
    required :handle, :string, 1
    optional :container_port, :uint32, 2
    optional :host_port, :uint32, 3
  end

  class NetInResponse
    include Beefcake::Message
    required :host_port, :uint32, 1
    required :container_port, :uint32, 2
  end

  class NetOutRequest
    include Beefcake::Message
    module Protocol
      TCP = 0
      UDP = 1
      ICMP = 2
      ALL = 3
    end
    required :handle, :string, 1
    optional :network, :string, 2
    optional :port, :uint32, 3
    optional :port_range, :string, 4
    optional :protocol, Protocol, 5
    optional :icmp_type, :int32, 6
    optional :icmp_code, :int32, 7
    optional :log, :bool, 8
  end

  class CopyInRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :src_path, :string, 2
    required :dst_path, :string, 3
  end

  class CopyOutRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :src_path, :string, 2
    required :dst_path, :string, 3
    optional :owner, :string, 4
  end

  class LimitMemoryRequest
    include Beefcake::Message
    required :handle, :string, 1
    optional :limit_in_bytes, :uint64, 2
  end

  class LimitMemoryResponse
    include Beefcake::Message
    optional :limit_in_bytes, :uint64, 1
  end

  DISK_FIELDS = {
    block_limit: 10, block: 11, block_soft: 12, block_hard: 13,
    inode_limit: 20, inode: 21, inode_soft: 22, inode_hard: 23,
    byte_limit: 30, byte: 31, byte_soft: 32, byte_hard: 33
  }.freeze

  class LimitDiskRequest
    include Beefcake::Message
    required :handle, :string, 1
    DISK_FIELDS.each { |name, number| optional name, :uint64, number }
  end

  class LimitDiskResponse
    include Beefcake::Message
    DISK_FIELDS.each { |name, number| optional name, :uint64, number }
  end

  class LimitBandwidthRequest
    include Beefcake::Message
    required :handle, :string, 1
    required :rate, :uint64, 2
    required :burst, :uint64, 3
  end

  class LimitBandwidthResponse
    include Beefcake::Message
    required :rate, :uint64, 1
    required :burst, :uint64, 2
  end

  class LimitCpuRequest
    include Beefcake::Message
    required :handle, :string, 1
    optional :limit_in_shares, :uint64, 2
  end

  class LimitCpuResponse
    include Beefcake::Message
    optional :limit_in_shares, :uint64, 1
  end

  class ListResponse
    include Beefcake::Message
    repeated :handles, :string, 1
  end

  class EchoRequest
    include Beefcake::Message
    required :message, :string, 1
  end

  class EchoResponse
    include Beefcake::Message
    required :message, :string, 1
  end

  class ErrorResponse
    include Beefcake::Message
    optional :message, :string, 2
    repeated :backtrace, :string, 3
    optional :data, :string, 4
  end

  %w[DestroyRequest InfoRequest].each do |name|
    const_set(name, Class.new do
      include Beefcake::Message
      required :handle, :string, 1
    end)
  end
  %w[StopResponse DestroyResponse NetOutResponse CopyInResponse CopyOutResponse PingRequest PingResponse ListRequest]
    .each { |name| const_set(name, Class.new { include Beefcake::Message }) }

  NUMBERS = TYPES.to_h { |number, name| [name, number] }.freeze

  # The request a snake_case name stands for: `copy_in` builds a CopyInRequest from a map of fields.
  def self.request(name, fields = {})
    camel = name.to_s.split('_').map(&:capitalize).join
    const_get("#{camel}Request").new(fields)
  end

  # `Ping` for a PingRequest or PingResponse.
  def self.kind(message)
    message.class.name.split('::').last.sub(/(Request|Response)\z/, '').to_sym
  end

  # The bytes of one frame.
  def self.frame(message)
    envelope = Envelope.new(type: NUMBERS.fetch(kind(message)), payload: message.encode.to_s)
    wrap(envelope.encode.to_s)
  end

  # A frame around any bytes.
  def self.wrap(bytes)
    "#{bytes.bytesize}\r\n".b + bytes.b + "\r\n".b
  end

  # The response inside the bytes of an envelope.
  def self.response(bytes)
    envelope = Envelope.decode(bytes)
    const_get("#{TYPES.fetch(envelope.type)}Response").decode(envelope.payload)
  end
end
