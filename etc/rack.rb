# Serves a Rack application to "handler process": ruby rack.rb [config.ru]
#
# Requests come in FastCGI's records on descriptor 0, one at a time, until that ends. What the application prints goes to the error log.

require "rack"
require "socket"
require "stringio"

# A request's records in, a response's out.
class Connection
  BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN_STREAM, STDOUT_STREAM = 1, 3, 4, 5, 6
  MOST = 65_528 # bytes of a record
  ENDS = [1, STDOUT_STREAM, 1, 0, 0].pack("CCnnn") + [1, END_REQUEST, 1, 8, 0].pack("CCnnn") + "\0" * 8

  def initialize
    copy = $stdin.dup
    copy.autoclose = false
    @socket = UNIXSocket.for_fd(copy.fileno)
    $stdin.reopen(File::NULL) # what the application starts must not read from it
  end

  # The parameters and the body of the next request; nil: there are no more.
  def request
    kind, = record
    return unless kind == BEGIN_REQUEST
    params = stream(PARAMS)
    [pairs(params), stream(STDIN_STREAM)] if params
  end

  def write(data, ends: false)
    records = (0...data.bytesize).step(MOST).map do |at|
      piece = data.byteslice(at, MOST)
      [1, STDOUT_STREAM, 1, piece.bytesize, 0].pack("CCnnn") + piece
    end
    records << ENDS if ends
    @socket.write(records.join)
  end

  private

  def record
    _, kind, _, length, padding = @socket.read(8)&.unpack("CCnnC")
    return unless kind
    content = @socket.read(length + padding)
    exit!(1) unless content && content.bytesize == length + padding # it ends within a record
    [kind, content.byteslice(0, length)]
  end

  def stream(wanted)
    whole = +"".b
    loop do
      kind, content = record
      exit!(1) unless kind == wanted # a request that is not whole is none
      return whole if content.empty?
      whole << content
    end
  end

  # Names and values, each with a length of one byte or of four.
  def pairs(data)
    at, found = 0, {}
    length = lambda do
      first = data.getbyte(at)
      at += first < 128 ? 1 : 4
      first < 128 ? first : data.byteslice(at - 4, 4).unpack1("N") & 0x7fffffff
    end
    while at < data.bytesize
      name, value = length.call, length.call
      found[data.byteslice(at, name)] = data.byteslice(at + name, value)
      at += name + value
    end
    found
  end
end

def environment(params, body)
  host = params["HTTP_HOST"].to_s[/\A(\[.*\]|[^:]*)/]
  params["SERVER_NAME"] = [params["SERVER_NAME"], host, params["SERVER_ADDR"], "localhost"].find { |name| !name.to_s.empty? }
  params["SCRIPT_NAME"] ||= ""
  params["QUERY_STRING"] ||= ""
  params.delete("CONTENT_LENGTH") if params["CONTENT_LENGTH"].to_s.empty?
  params.delete("CONTENT_TYPE") if params["CONTENT_TYPE"].to_s.empty?
  params.merge("rack.version" => [1, 3], "rack.url_scheme" => params["REQUEST_SCHEME"] || "http", "rack.input" => StringIO.new(body),
               "rack.errors" => $stderr, "rack.multithread" => false, "rack.multiprocess" => true, "rack.run_once" => false, "rack.hijack?" => false)
end

# A line each: several values are an array (Rack 3), or lines of one text (Rack 2). Nobody puts another field into one.
def head_of(status, headers)
  lines = headers.reject { |name, _| name.start_with?("rack.") }.flat_map do |name, value|
    (value.is_a?(Array) ? value : value.to_s.split("\n")).map { |one| [name, one] }
  end
  lines.each { |name, value| raise ArgumentError, "a control character in #{name}" if "#{name}#{value}".match?(/[\x00-\x08\x0a-\x1f\x7f]/n) }
  "Status: #{status.to_i}\r\n#{lines.map { |name, value| "#{name}: #{value}\r\n" }.join}\r\n".b
end

# What is there as a whole is one write; else each piece goes when it comes.
def answer(connection, head, body)
  if body.respond_to?(:to_ary)
    head << body.to_ary.join.b
  else
    body.each do |piece|
      connection.write(head + piece.b)
      head = "".b
    end
  end
  connection.write(head, ends: true)
ensure
  body.close if body.respond_to?(:close)
end

# Not at the top, whose variables config.ru sees.
def serve(application, connection)
  while (params, body = connection.request)
    begin
      status, headers, content = application.call(environment(params, body))
      head = head_of(status, headers)
    rescue StandardError, ScriptError => e
      warn(e.full_message(highlight: false))
      content.close if content.respond_to?(:close)
      head, content = head_of(500, "Content-Type" => "text/plain"), ["Internal Server Error\n"]
    end
    answer(connection, head, content)
  end
end

$stdout.sync = true
serve(Array(Rack::Builder.parse_file(ARGV.fetch(0, "config.ru"))).first, Connection.new)
