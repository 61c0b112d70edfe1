// What a request of Dynamo's planes says besides its value: transport headers and control header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/payload_codec.hpp"

namespace stator::transport::dynamo {

/// The JSON map of a request frame. All of it is optional.
struct TransportHeaders {
    std::optional<std::string> request_id;
    std::optional<std::uint64_t> sent_at_ns;  ///< Unix time at the client
    std::optional<std::string> endpoint_path;
    std::optional<std::string> traceparent;
    std::optional<std::string> tracestate;
    friend bool operator==(const TransportHeaders&, const TransportHeaders&) = default;
};

/// Errors: protocol "dynamo.bad_header". The original goes on without headers then, and so should
/// a worker here.
Result<TransportHeaders> read_headers(std::string_view json);
/// Errors: those of ValueWriter.
Result<Bytes> write_headers(const TransportHeaders& headers);

enum class StreamType : std::uint8_t { response, request };
std::string_view to_string(StreamType type) noexcept;
std::optional<StreamType> stream_type_from_name(std::string_view name) noexcept;

/// Where a worker calls home.
struct ConnectionInfo {
    /// "tcp_server"; of any other one only the name is known and the other fields are empty.
    std::string transport = std::string{tcp_server};
    std::string address;  ///< host:port; see net::Address::parse, which reads IPv6 both ways
    std::string subject;  ///< names the stream; goes into the handshake
    std::string context;  ///< the id of the request
    StreamType stream_type = StreamType::response;

    static constexpr std::string_view tcp_server = "tcp_server";
    bool is_tcp() const noexcept { return transport == tcp_server; }
    friend bool operator==(const ConnectionInfo&, const ConnectionInfo&) = default;
};

/// The header part of a request.
struct ControlHeader {
    std::string id;
    bool many_in = false;  ///< the request is a stream, with a connection of its own
    bool many_out = true;
    PayloadCodec codec = PayloadCodec::json;  ///< of the request and of its answer
    ConnectionInfo connection;
    std::optional<ConnectionInfo> request_stream;
    std::vector<std::pair<std::string, std::string>> metadata;
    std::optional<std::uint64_t> sent_at_ns;
    friend bool operator==(const ControlHeader&, const ControlHeader&) = default;
};

/// Errors: protocol "dynamo.bad_control", which also tells of a `context` that is not the id, of a
/// connection of the wrong stream type, and of many_in without a connection for the request.
/// A connection by another transport is no error: check is_tcp.
Result<ControlHeader> read_control(const Bytes& header);
/// The keys in the original's order. Errors: those of ValueWriter.
Result<Bytes> write_control(const ControlHeader& control);

}  // namespace stator::transport::dynamo
