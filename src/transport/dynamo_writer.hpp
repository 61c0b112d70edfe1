// What goes out on Dynamo's TCP planes, put into a queue of bytes: large bodies by reference.
#pragma once

#include <cstddef>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/payload_codec.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_wire.hpp"
#include "transport/mux_output.hpp"

namespace stator::transport::dynamo {

using mux::Output;

/// A request frame. `headers` and `control` are JSON (write_headers, write_control); no `body`: the
/// request is a stream. Nothing is put on failure: invalid_request "dynamo.bad_path" (empty or
/// beyond max_path_size), payload_too_large "dynamo.frame_too_large" (headers beyond
/// max_headers_size, control beyond max_control_size, or the whole beyond `max_frame`).
Result<void> put_request(
    Output& out,
    std::string_view path,
    std::string_view headers,
    std::string_view control,
    Bytes body,
    std::size_t max_frame = default_max_request
);

/// Bytes of a request frame whose parts have these sizes; `payload` is the control header and the
/// body.
constexpr std::size_t request_size(
    std::size_t path, std::size_t headers, std::size_t payload
) noexcept {
    return 2 + path + 2 + headers + 4 + message_prelude + payload;
}

/// An acknowledgement: an empty text accepts, refusal_text makes the others. Cut to max_ack_size.
void put_ack(Output& out, std::string_view text = {});

/// A two-part message: a header alone, a body alone (an item of a request stream), or both.
void put_message(Output& out, std::string_view header, Bytes body);

/// One item of a response stream: `item` is a value in `codec` already (msgpack or json) and goes
/// into its envelope as it is. `last` makes it the final frame, too; callers of the original take
/// it, and need put_final otherwise.
void put_item(
    Output& out, PayloadCodec codec, Bytes item, bool last = false, ItemForm form = ItemForm::value
);
/// Nothing follows but the sentinel; without it the stream counts as lost.
void put_final(Output& out, PayloadCodec codec);

}  // namespace stator::transport::dynamo
