# frozen_string_literal: true

# Runs scenarios against the daemon at WARDEN_SOCKET, each in a process of its own. Arguments are names of files. Status 1 if any failed.
require 'json'
require 'open3'
require 'rbconfig'

DIRECTORY = File.join(__dir__, 'scenarios')
wanted = ARGV.map { |word| File.basename(word, '.*') }
files = Dir.glob(File.join(DIRECTORY, '*.{rb,py}')).sort.reject { |file| File.basename(file) == 'support.rb' }
files.select! { |file| wanted.include?(File.basename(file, '.*')) } unless wanted.empty?
abort "no such scenarios: #{ARGV.join(' ')}" if files.empty?

# Runs one scenario; answers its lines. Whoever asks for a control gets none: WARDEN_CONTROL is asked by the scenario itself.
def lines_of(interpreter, file, name)
  lines = []
  Open3.popen2(*interpreter, file, name) do |input, output|
    output.each_line do |text|
      lines << JSON.parse(text)
      next unless lines.last['control']

      input.puts('set WARDEN_CONTROL to a program that can do that')
      input.flush
      lines << { 'skip' => "needs WARDEN_CONTROL to #{lines.last['control']}" }
    end
  end
  lines
end

failed = passed = skipped = 0
files.each do |file|
  interpreter = file.end_with?('.py') ? ['python3'] : [RbConfig.ruby]
  Open3.capture2(*interpreter, file, '--list')[0].split("\n").each do |name|
    lines = lines_of(interpreter, file, name)
    skip = lines.find { |line| line['skip'] }
    bad = lines.select { |line| line['ok'] == false || line['error'] }
    whole = lines.any? { |line| line['done'] && line['checks'].positive? }
    title = "#{File.basename(file)} #{name}"
    if skip
      skipped += 1
      puts "skip #{title}: #{skip['skip']}"
    elsif bad.empty? && whole
      passed += 1
      puts "ok   #{title}"
    else
      failed += 1
      puts "FAIL #{title}"
      bad.each { |line| puts "     #{JSON.generate(line)}" }
    end
  end
end
puts "#{passed} passed, #{failed} failed, #{skipped} skipped"
exit 1 unless failed.zero?
