#include "transport/dynamo_writer.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include "transport/dynamo_item.hpp"

namespace stator::transport::dynamo {
namespace {

std::byte* put(std::byte* to, std::string_view text) noexcept {
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    return to + text.size();
}

std::byte* put_prelude(std::byte* to, std::size_t header, std::size_t body) noexcept {
    store(to, static_cast<std::uint64_t>(header));
    store(to + 8, static_cast<std::uint64_t>(body));
    store(to + 16, std::uint64_t{0});  // release builds of the original neither fill nor check it
    return to + message_prelude;
}

/// `body` at the end of what is `at`, where there is room for a small one.
void put_body(Output& out, std::byte* at, Bytes body) {
    if (body.size() < mux::reference_from) {
        put(at, body.view());
    } else {
        out.refer(std::move(body));
    }
}

std::size_t copied(const Bytes& body) noexcept {
    return body.size() < mux::reference_from ? body.size() : 0;
}

Result<void> check(std::string_view what, std::size_t size, std::size_t limit) {
    if (size <= limit) return {};
    return fail(
        ErrorCode::payload_too_large,
        "dynamo.frame_too_large",
        fmt::format("{} of {} bytes, at most {} can be sent", what, size, limit)
    );
}

}  // namespace

Result<void> put_request(
    Output& out,
    std::string_view path,
    std::string_view headers,
    std::string_view control,
    Bytes body,
    std::size_t max_frame
) {
    if (path.empty() || path.size() > max_path_size) {
        return fail(
            ErrorCode::invalid_request,
            "dynamo.bad_path",
            fmt::format("a path of {} bytes, 1 to {} can be sent", path.size(), max_path_size)
        );
    }
    const auto payload = message_prelude + control.size() + body.size();
    const auto head = 2 + path.size() + 2 + headers.size() + 4;
    // The length of the payload is 32 bits wide, whatever the limit says.
    const auto most = std::min<std::size_t>(max_frame, 0xffffffffU);
    for (const auto& good : {
             check("transport headers", headers.size(), max_headers_size),
             check("a control header", control.size(), max_control_size),
             check("a request", head + payload, most),
         }) {
        if (!good) return good;
    }
    auto* at = out.extend(head + message_prelude + control.size() + copied(body));
    store(at, static_cast<std::uint16_t>(path.size()));
    at = put(at + 2, path);
    store(at, static_cast<std::uint16_t>(headers.size()));
    at = put(at + 2, headers);
    store(at, static_cast<std::uint32_t>(payload));
    at = put(put_prelude(at + 4, control.size(), body.size()), control);
    put_body(out, at, std::move(body));
    return {};
}

void put_ack(Output& out, std::string_view text) {
    text = text.substr(0, max_ack_size);
    auto* at = out.extend(4 + text.size());
    store(at, static_cast<std::uint32_t>(text.size()));
    put(at + 4, text);
}

void put_message(Output& out, std::string_view header, Bytes body) {
    auto* at = out.extend(message_prelude + header.size() + copied(body));
    at = put(put_prelude(at, header.size(), body.size()), header);
    put_body(out, at, std::move(body));
}

void put_item(Output& out, PayloadCodec codec, Bytes item, bool last, ItemForm form) {
    const auto head = item_head(codec, form);
    const auto tail = item_tail(codec, last, form);
    const auto body = head.size() + item.size() + tail.size();
    if (item.size() >= mux::reference_from) {
        put(put_prelude(out.extend(message_prelude + head.size()), 0, body), head);
        out.refer(std::move(item));
        put(out.extend(tail.size()), tail);
        return;
    }
    auto* at = put_prelude(out.extend(message_prelude + body), 0, body);
    put(put(put(at, head), item.view()), tail);
}

void put_final(Output& out, PayloadCodec codec) {
    put_message(out, {}, Bytes::of_static(final_item(codec)));
}

}  // namespace stator::transport::dynamo
