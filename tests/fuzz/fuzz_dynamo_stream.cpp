// The response side of Dynamo's TCP plane on any bytes: messages, envelopes, error objects and
// everything that is a header alone. No crash, named errors, the same messages however the bytes
// are cut, and what is read is written again.
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "fuzz_support.hpp"
#include "stator/base/bytes.hpp"
#include "stator/codec/json.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"
#include "transport/dynamo_error.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_stream.hpp"
#include "transport/dynamo_writer.hpp"

namespace {

using namespace stator;
using namespace stator::transport;
using fuzz::got;
using fuzz::require;
using fuzz::require_named;

/// The body of the one message that is queued.
Bytes body_of(dynamo::Output& out) {
    dynamo::MessageReader reader;
    while (!out.empty()) {
        std::array<iovec, 1> vector{};
        out.gather(vector);
        reader.feed({static_cast<const std::byte*>(vector[0].iov_base), vector[0].iov_len});
        out.written(vector[0].iov_len);
    }
    const auto message = reader.next();
    require(message && *message && reader.pending() == 0);
    return got(*message).body;
}

void try_error(const dynamo::ErrorObject& object, PayloadCodec codec) {
    const auto error = dynamo::to_error(object);
    require(!error.detail().empty());
    // What we make of it, we understand again.
    const auto again = dynamo::to_error(dynamo::to_object(error));
    require(again.code() == error.code() && again.detail() == error.detail());
    require(again.message() == error.message() && again.context() == error.context());
    ValueWriter out{codec};
    dynamo::write_error(out, object);
    const auto bytes = out.finish();
    require(bytes.has_value());
    ValueReader in{*bytes, codec};
    const auto read = dynamo::read_error(in);
    require(read && in.finish());
    require(dynamo::to_error(*read).code() == error.code());
}

void try_item(const Bytes& body, PayloadCodec codec) {
    const auto item = dynamo::read_item(body, codec);
    if (!item) return require_named(item.error(), "dynamo.bad_item");
    require(item->data.size() < body.size());
    if (const auto error = item->error()) {
        if (item->notes->error) try_error(got(item->notes->error), codec);
        const auto again = dynamo::read_item(dynamo::write_error_item(codec, *error), codec);
        require(again.has_value());
        const auto read = again->error();
        require(got(read).code() == error->code());
    }
    if (item->data.empty()) return;
    dynamo::Output out;
    dynamo::put_item(out, codec, item->data, item->last);
    const auto again = dynamo::read_item(body_of(out), codec);
    require(again && again->data == item->data && again->last == item->last && !again->notes);
}

/// A whole document is found wherever there is one: the value is the one that another decoder sees.
void compare(const Bytes& body, PayloadCodec codec) {
    const auto item = dynamo::read_item(body, codec);
    const auto json = codec == PayloadCodec::json;
    const auto document = json ? decode_json(body.view()) : decode_msgpack(body.span());
    if (!document || !item || item->data.empty()) return;
    const auto value = json ? decode_json(item->data.view()) : decode_msgpack(item->data.span());
    require(value.has_value());
    dynamo::Output out;
    dynamo::put_item(out, codec, item->data);
    const auto again = body_of(out);
    require((json ? decode_json(again.view()) : decode_msgpack(again.span())).has_value());
}

void try_header(const Bytes& header) {
    dynamo::Output out;
    if (const auto handshake = dynamo::read_handshake(header)) {
        dynamo::put_handshake(out, handshake->subject, handshake->stream_type);
        const auto size = out.size() - dynamo::message_prelude;
        require(size > 0);
        out.clear();
    } else {
        require_named(handshake.error(), "dynamo.bad_handshake");
    }
    if (const auto prologue = dynamo::read_prologue(header)) {
        if (const auto error = prologue->error()) dynamo::put_failed_prologue(out, *error);
        if (prologue->typed) try_error(got(prologue->typed), PayloadCodec::json);
    } else {
        require_named(prologue.error(), "dynamo.bad_prologue");
    }
    if (const auto word = dynamo::read_word(header); !word)
        require_named(word.error(), "dynamo.bad_word");
}

std::vector<dynamo::Message> read_all(std::span<const std::byte> bytes, std::size_t step) {
    std::vector<dynamo::Message> messages;
    dynamo::MessageReader reader{{.header = 4096, .body = 1U << 20U}};
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(step, bytes.size()));
        bytes = bytes.subspan(part.size());
        reader.feed(part);
        for (;;) {
            auto message = reader.next();
            if (!message) {
                require_named(message.error(), "dynamo.frame_too_large");
                return messages;
            }
            if (!*message) break;
            messages.push_back(std::move(got(*message)));
        }
    }
    return messages;
}

void try_body(const Bytes& body) {
    for (const auto codec : {PayloadCodec::msgpack, PayloadCodec::json}) {
        try_item(body, codec);
        compare(body, codec);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span{data, size});
    const auto whole = read_all(bytes, size);
    const auto pieces = read_all(bytes, 1 + size % 13);
    require(whole.size() == pieces.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        require(whole[i].header == pieces[i].header && whole[i].body == pieces[i].body);
        if (!whole[i].header.empty()) try_header(whole[i].header);
        if (!whole[i].body.empty()) try_body(whole[i].body);
    }
    // The parts get the whole input, too: a fuzzer finds its way into them much sooner.
    const auto copy = Bytes::copy_of(bytes);
    try_header(copy);
    try_body(copy);
    return 0;
}
