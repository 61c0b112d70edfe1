// The request side of Dynamo's TCP plane on any bytes: no crash, named errors, the same frames
// however the bytes are cut, and what is read is written again.
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "fuzz_support.hpp"
#include "stator/base/bytes.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_error.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_writer.hpp"

namespace {

using namespace stator;
using namespace stator::transport;
using fuzz::got;
using fuzz::require;
using fuzz::require_named;

std::string drain(dynamo::Output& out) {
    std::string text;
    while (!out.empty()) {
        std::array<iovec, 8> vectors{};
        const auto count = out.gather(vectors);
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            text.append(static_cast<const char*>(vectors[i].iov_base), vectors[i].iov_len);
            size += vectors[i].iov_len;
        }
        out.written(size);
    }
    return text;
}

void try_control(const Bytes& header) {
    const auto control = dynamo::read_control(header);
    if (!control) return require_named(control.error(), "dynamo.bad_control");
    if (!control->connection.is_tcp()) return;
    const auto& input = control->request_stream;
    if (input && !input->is_tcp()) return;
    const auto text = dynamo::write_control(*control);
    require(text.has_value());
    // A request stream that goes with no many_in is written all the same, and need not fit.
    const auto again = dynamo::read_control(*text);
    require(text->size() > dynamo::max_control_size || (again && *again == *control));
}

void try_headers(std::string_view json) {
    const auto headers = dynamo::read_headers(json);
    if (!headers) return require_named(headers.error(), "dynamo.bad_header");
    const auto text = dynamo::write_headers(*headers);
    require(text && dynamo::read_headers(text->view()) == *headers);
}

void try_frame(const dynamo::RequestFrame& frame) {
    require(!frame.path.empty() && frame.path.size() <= dynamo::max_path_size);
    try_headers(frame.headers);
    const auto message = dynamo::split_message(frame.payload);
    if (!message) return require_named(message.error(), "dynamo.bad_frame");
    try_control(message->header);
    dynamo::Output out;
    const auto put =
        dynamo::put_request(out, frame.path, frame.headers, message->header.view(), message->body);
    require(put.has_value() || message->header.size() > dynamo::max_control_size);
    if (!put) return;
    auto bytes = drain(out);
    auto same = frame.frame.to_string();
    const auto checksum = same.size() - frame.payload.size() + 16;
    same.replace(checksum, 8, 8, '\0');
    require(bytes == same);
}

/// Reads frames from bytes that arrive `step` at a time.
std::vector<dynamo::RequestFrame> read_all(std::span<const std::byte> bytes, std::size_t step) {
    std::vector<dynamo::RequestFrame> frames;
    dynamo::RequestReader reader{1U << 20U};
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(step, bytes.size()));
        bytes = bytes.subspan(part.size());
        reader.feed(part);
        for (;;) {
            auto frame = reader.next();
            if (!frame) {
                const auto& detail = frame.error().detail();
                require(detail == "dynamo.bad_frame" || detail == "dynamo.frame_too_large");
                require(dynamo::read_error_text(frame.error()).starts_with("Read error: "));
                return frames;
            }
            if (!*frame) break;
            frames.push_back(std::move(got(*frame)));
        }
    }
    return frames;
}

void try_acks(std::span<const std::byte> bytes) {
    dynamo::AckReader reader;
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min<std::size_t>(5, bytes.size()));
        bytes = bytes.subspan(part.size());
        reader.feed(part);
        for (;;) {
            const auto text = reader.next();
            if (!text) return require_named(text.error(), "dynamo.bad_ack");
            if (!*text) break;
            if (!got(*text).empty()) require(!dynamo::refusal_error(got(*text)).detail().empty());
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span{data, size});
    const auto whole = read_all(bytes, size);
    const auto pieces = read_all(bytes, 1 + size % 13);
    require(whole.size() == pieces.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        require(whole[i].frame == pieces[i].frame);
        try_frame(whole[i]);
    }
    // The parts get the whole input, too: a fuzzer finds its way into them much sooner.
    const auto copy = Bytes::copy_of(bytes);
    try_headers(copy.view());
    try_control(copy);
    try_acks(bytes);
    return 0;
}
