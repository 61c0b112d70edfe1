#include "transport/dynamo_request.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "stator/codec/value_reader.hpp"

namespace stator::transport::dynamo {
namespace {

/// FNV-1a.
std::uint64_t hash(std::string_view text, std::uint64_t seed) noexcept {
    for (const char letter : text) {
        seed ^= static_cast<unsigned char>(letter);
        seed *= 0x00000100000001b3U;
    }
    return seed;
}

bool is_header_key(std::string_view key) noexcept {
    constexpr std::size_t longest = 256;
    return !key.empty() && key.size() <= longest && std::ranges::all_of(key, [](char letter) {
        const auto byte = static_cast<unsigned char>(letter);
        return byte > 0x20 && byte < 0x7f;
    });
}

std::optional<std::chrono::microseconds> read_duration(std::string_view text) noexcept {
    std::int64_t number = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (code != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
    // Zero would say that there is no deadline.
    return std::chrono::microseconds{std::max<std::int64_t>(number, 1)};
}

/// Takes the texts under `names` out of a map of JSON; false if it cannot be read.
bool find_texts(
    ValueReader& in,
    std::span<const std::string_view> names,
    std::span<std::optional<std::string>> to
) {
    if (!in.begin_map()) return false;
    for (;;) {
        const auto next = in.next_key();
        if (!next) return false;
        const auto& key = *next;
        if (!key) return true;
        const auto found = std::ranges::find(names, *key);
        const auto kind = in.peek();
        if (found != names.end() && kind && *kind == ValueKind::string) {
            auto text = in.string();
            if (!text) return false;
            to[static_cast<std::size_t>(found - names.begin())] = std::move(*text);
        } else if (!in.skip()) {
            return false;
        }
    }
}

/// The parts of a control header that say where an answer is waited for; as many as can be read.
struct HomeTexts {
    std::optional<std::string> codec;
    std::optional<std::string> transport;
    std::optional<std::string> info;
};

/// False where nothing more can be read.
bool take_home_text(ValueReader& in, HomeTexts& texts) {
    using namespace std::string_view_literals;
    const auto next = in.next_key();
    if (!next) return false;
    const auto& key = *next;
    const auto kind = key ? in.peek() : Result<ValueKind>{ValueKind::null};
    if (!key || !kind) return false;
    if (*key == "connection_info" && *kind == ValueKind::map) {
        std::array<std::optional<std::string>, 2> to;
        if (!find_texts(in, std::array{"transport"sv, "info"sv}, to)) return false;
        texts.transport = std::move(to[0]);
        texts.info = std::move(to[1]);
        return true;
    }
    if (*key != "payload_codec" || *kind != ValueKind::string) return in.skip().has_value();
    auto name = in.string();
    if (!name) return false;
    texts.codec = std::move(*name);
    return true;
}

}  // namespace

RequestId request_id_of(std::string_view text) noexcept {
    if (const auto uuid = RequestId::parse(text); uuid && *uuid) return *uuid;
    const auto high = hash(text, 0xcbf29ce484222325U);
    return {high, hash(text, high) | 1U};
}

Request::Request(const RequestFrame& frame, ControlHeader control) : control_{std::move(control)} {
    take_path(frame.path);
    take_trace(frame.headers);
    take_metadata();
}

/// "{instance in hex}/{namespace}/{component}/{endpoint}", as our records say.
void Request::take_path(std::string_view path) {
    const auto slash = path.find('/');
    if (slash == std::string_view::npos) return;
    const auto instance = InstanceId::parse(path.substr(0, slash));
    if (!instance) return;
    instance_ = *instance;
    path_ = path.substr(slash + 1);
}

/// Headers that cannot be read are as good as none.
void Request::take_trace(std::string_view headers) {
    const auto read = read_headers(headers);
    if (!read) return;
    auto trace =
        observe::TraceContext::parse(read->traceparent.value_or(""), read->tracestate.value_or(""));
    if (trace) trace_ = std::move(*trace);
}

void Request::take_metadata() {
    fields_.reserve(control_.metadata.size() + 1);
    if (!RequestId::parse(control_.id)) fields_.emplace_back(request_id_key, control_.id);
    for (const auto& [key, value] : control_.metadata) {
        if (key == remaining_key) {
            remaining_ = read_duration(value).value_or(std::chrono::microseconds{0});
        } else if (is_header_key(key)) {
            fields_.emplace_back(key, value);
        }
    }
}

CallHead Request::head() const noexcept {
    CallHead head;
    head.path = path_;
    head.instance = instance_;
    head.request = request_id_of(control_.id);
    head.remaining = remaining_;
    const auto one_in = control_.many_out ? CallShape::server_streaming : CallShape::unary;
    const auto many_in = control_.many_out ? CallShape::bidirectional : CallShape::client_streaming;
    head.shape = control_.many_in ? many_in : one_in;
    head.codec = static_cast<std::uint8_t>(control_.codec);
    if (trace_) head.trace = {trace_->trace_id, trace_->span_id, trace_->flags, trace_->state};
    head.headers = fields_;
    return head;
}

std::optional<CallHome> find_call_home(const Bytes& header) {
    using namespace std::string_view_literals;
    ValueReader in{header, PayloadCodec::json, {.max_size = max_control_size}};
    HomeTexts texts;
    if (!in.begin_map()) return std::nullopt;
    while (take_home_text(in, texts)) {
    }
    if (texts.transport != ConnectionInfo::tcp_server || !texts.info) return std::nullopt;
    std::array<std::optional<std::string>, 2> inner;
    ValueReader info{Bytes::of_static(*texts.info), PayloadCodec::json};
    if (!find_texts(info, std::array{"address"sv, "subject"sv}, inner)) return std::nullopt;
    auto& [address, subject] = inner;
    if (!address || !subject) return std::nullopt;
    CallHome found;
    found.info.address = std::move(*address);
    found.info.subject = std::move(*subject);
    if (texts.codec == "msgpack") found.codec = PayloadCodec::msgpack;
    return found;
}

}  // namespace stator::transport::dynamo
