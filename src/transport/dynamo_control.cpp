#include "transport/dynamo_control.hpp"

#include <array>
#include <charconv>
#include <system_error>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/codec/value_writer.hpp"
#include "transport/dynamo_fields.hpp"
#include "transport/dynamo_wire.hpp"

namespace stator::transport::dynamo {
namespace {

constexpr std::string_view bad_control = "dynamo.bad_control";

std::unexpected<Error> refuse(std::string message) {
    return fail(ErrorCode::protocol, std::string{bad_control}, std::move(message));
}

/// A number that travels as text; nothing if it is none, for it serves measuring only.
std::optional<std::uint64_t> number_of(std::string_view text) noexcept {
    std::uint64_t number = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

Result<void> read_tcp_info(const std::string& text, ConnectionInfo& info) {
    constexpr std::array<std::string_view, 4> names{"address", "subject", "context", "stream_type"};
    ValueReader in{Bytes::of_static(text), PayloadCodec::json};
    std::string type;
    const std::array<std::string*, 4> to{&info.address, &info.subject, &info.context, &type};
    auto good =
        read_fields(in, names, [&](std::size_t i) { return put_into(*to[i], in.string()); });
    if (good) good = in.finish();
    if (!good) return refuse(fmt::format("in the connection info: {}", good.error().message()));
    const auto known = stream_type_from_name(type);
    if (!known) return refuse(fmt::format("a stream of the type {}", quoted_text(type)));
    if (info.address.empty() || info.subject.empty())
        return refuse("a connection info without an address or a subject");
    info.stream_type = *known;
    return {};
}

Result<ConnectionInfo> read_connection(ValueReader& in) {
    constexpr std::array<std::string_view, 2> names{"transport", "info"};
    std::array<std::string, 2> texts;
    auto good =
        read_fields(in, names, [&](std::size_t i) { return put_into(texts[i], in.string()); });
    if (!good) return std::unexpected{std::move(good).error()};
    ConnectionInfo info;
    info.transport = std::move(texts[0]);
    if (info.is_tcp()) {
        if (good = read_tcp_info(texts[1], info); !good)
            return std::unexpected{std::move(good).error()};
    }
    return info;
}

Result<void> read_metadata(ValueReader& in, ControlHeader& control) {
    if (auto null = take_null(in); !null || *null) {
        if (!null) return std::unexpected{std::move(null).error()};
        return {};
    }
    if (auto good = in.begin_map(); !good) return good;
    for (;;) {
        auto key = in.next_key();
        if (!key) return std::unexpected{std::move(key).error()};
        auto& name = *key;
        if (!name) return {};
        auto value = in.string();
        if (!value) return std::unexpected{std::move(value).error()};
        control.metadata.emplace_back(std::move(*name), std::move(*value));
    }
}

enum Field : std::uint8_t {
    id,
    request_type,
    response_type,
    payload_codec,
    connection_info,
    metadata,
    request_stream_connection_info,
    frontend_send_ts_ns,
};
constexpr std::array<std::string_view, 8> fields{
    "id",
    "request_type",
    "response_type",
    "payload_codec",
    "connection_info",
    "metadata",
    "request_stream_connection_info",
    "frontend_send_ts_ns",
};

/// One of two words: whether it was the second.
Result<bool> read_choice(ValueReader& in, std::string_view no, std::string_view yes) {
    const auto word = in.string();
    if (!word) return std::unexpected{word.error()};
    if (*word != no && *word != yes) {
        return refuse(fmt::format("{} where {} or {} is expected", quoted_text(*word), no, yes));
    }
    return *word == yes;
}

Result<void> read_field(ValueReader& in, std::size_t field, ControlHeader& control) {
    switch (field) {
        case id:
            return put_into(control.id, in.string());
        case request_type:
            return put_into(control.many_in, read_choice(in, "single_in", "many_in"));
        case response_type:
            return put_into(control.many_out, read_choice(in, "single_out", "many_out"));
        case connection_info:
            return put_into(control.connection, read_connection(in));
        case metadata:
            return read_metadata(in, control);
        default:
            break;
    }
    // The others may be null, which says as much as leaving them out.
    const auto null = take_null(in);
    if (!null) return std::unexpected{null.error()};
    if (*null) return {};
    if (field == request_stream_connection_info)
        return put_into(control.request_stream, read_connection(in));
    if (field == frontend_send_ts_ns) return put_into(control.sent_at_ns, in.unsigned_integer());
    const auto msgpack = read_choice(in, "json", "msgpack");
    if (!msgpack) return std::unexpected{msgpack.error()};
    control.codec = *msgpack ? PayloadCodec::msgpack : PayloadCodec::json;
    return {};
}

Result<void> check_connection(
    const ConnectionInfo& info, StreamType type, const ControlHeader& control
) {
    if (info.transport.empty()) return refuse("no connection to answer on");
    if (!info.is_tcp()) return {};
    if (info.stream_type != type) {
        return refuse(fmt::format(
            "a connection of the type {} for the {} stream",
            to_string(info.stream_type),
            to_string(type)
        ));
    }
    if (info.context != control.id) {
        return refuse(fmt::format(
            "the id {} does not belong to the context {}",
            quoted_text(control.id),
            quoted_text(info.context)
        ));
    }
    return {};
}

Result<void> check(const ControlHeader& control) {
    if (control.id.empty()) return refuse("a request without an id");
    if (auto good = check_connection(control.connection, StreamType::response, control); !good)
        return good;
    if (!control.many_in) return {};
    if (!control.request_stream) return refuse("a request stream without a connection for it");
    return check_connection(*control.request_stream, StreamType::request, control);
}

void write_connection(ValueWriter& out, const ConnectionInfo& info) {
    ValueWriter inner{PayloadCodec::json, 256};
    inner.begin_map(4);
    inner.key("address");
    inner.string(info.address);
    inner.key("subject");
    inner.string(info.subject);
    inner.key("context");
    inner.string(info.context);
    inner.key("stream_type");
    inner.string(to_string(info.stream_type));
    inner.end_map();
    const auto text = inner.finish();
    if (!text) return out.fail_with(text.error());
    out.begin_map(2);
    out.key("transport");
    out.string(info.transport);
    out.key("info");
    out.string(text->view());
    out.end_map();
}

}  // namespace

std::string_view to_string(StreamType type) noexcept {
    return type == StreamType::response ? "response" : "request";
}

std::optional<StreamType> stream_type_from_name(std::string_view name) noexcept {
    if (name == "response") return StreamType::response;
    if (name == "request") return StreamType::request;
    return std::nullopt;
}

Result<TransportHeaders> read_headers(std::string_view json) {
    constexpr std::array<std::string_view, 5> names{
        "request-id", "x-frontend-send-ts-ns", "x-endpoint-path", "traceparent", "tracestate"
    };
    TransportHeaders headers;
    if (json.empty()) return headers;
    std::optional<std::string> sent_at;
    const std::array<std::optional<std::string>*, 5> to{
        &headers.request_id,
        &sent_at,
        &headers.endpoint_path,
        &headers.traceparent,
        &headers.tracestate,
    };
    ValueReader in{Bytes::of_static(json), PayloadCodec::json};
    auto good =
        read_fields(in, names, [&](std::size_t i) { return put_into(*to[i], in.string()); });
    if (good) good = in.finish();
    if (!good) return bad("dynamo.bad_header", good.error());
    if (sent_at) headers.sent_at_ns = number_of(*sent_at);
    return headers;
}

Result<Bytes> write_headers(const TransportHeaders& headers) {
    ValueWriter out{PayloadCodec::json, 320};
    const auto& [request_id, sent_at_ns, endpoint_path, traceparent, tracestate] = headers;
    const auto entries = std::size_t{request_id.has_value()} + std::size_t{sent_at_ns.has_value()} +
                         std::size_t{endpoint_path.has_value()} +
                         std::size_t{traceparent.has_value()} + std::size_t{tracestate.has_value()};
    const auto entry = [&out](std::string_view key, const std::optional<std::string>& value) {
        if (!value) return;
        out.key(key);
        out.string(*value);
    };
    out.begin_map(entries);
    entry("request-id", request_id);
    if (sent_at_ns) {
        const fmt::format_int digits{*sent_at_ns};
        out.key("x-frontend-send-ts-ns");
        out.string({digits.data(), digits.size()});
    }
    entry("x-endpoint-path", endpoint_path);
    entry("traceparent", traceparent);
    entry("tracestate", tracestate);
    out.end_map();
    return out.finish();
}

Result<ControlHeader> read_control(const Bytes& header) {
    ValueReader in{header, PayloadCodec::json, {.max_size = max_control_size}};
    ControlHeader control;
    control.connection.transport.clear();
    auto good =
        read_fields(in, fields, [&](std::size_t field) { return read_field(in, field, control); });
    if (good) good = in.finish();
    if (!good) return bad(bad_control, good.error());
    if (good = check(control); !good) return std::unexpected{std::move(good).error()};
    return control;
}

Result<Bytes> write_control(const ControlHeader& control) {
    ValueWriter out{PayloadCodec::json, 768};
    out.begin_map(
        std::size_t{5} + std::size_t{!control.metadata.empty()} +
        std::size_t{control.sent_at_ns.has_value()} +
        std::size_t{control.request_stream.has_value()}
    );
    out.key("id");
    out.string(control.id);
    out.key("request_type");
    out.string(control.many_in ? "many_in" : "single_in");
    out.key("response_type");
    out.string(control.many_out ? "many_out" : "single_out");
    out.key("payload_codec");
    out.string(to_string(control.codec));
    out.key("connection_info");
    write_connection(out, control.connection);
    if (!control.metadata.empty()) {
        out.key("metadata");
        out.begin_map(control.metadata.size());
        for (const auto& [key, value] : control.metadata) {
            out.key(key);
            out.string(value);
        }
        out.end_map();
    }
    if (control.sent_at_ns) {
        out.key("frontend_send_ts_ns");
        out.unsigned_integer(*control.sent_at_ns);
    }
    if (control.request_stream) {
        out.key("request_stream_connection_info");
        write_connection(out, *control.request_stream);
    }
    out.end_map();
    return out.finish();
}

}  // namespace stator::transport::dynamo
