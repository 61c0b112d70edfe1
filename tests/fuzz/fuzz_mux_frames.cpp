// The codecs of the multiplexed plane on any bytes: no crash, and what is read is written again.
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "stator/transport/mux_error.hpp"
#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_head.hpp"
#include "stator/transport/mux_hello.hpp"

namespace {

using namespace stator;
using namespace stator::transport;

void require(bool holds) {
    if (!holds) std::abort();
}

void try_frames(std::span<const std::byte> bytes) {
    sniff(bytes);
    if (bytes.size() >= mux::preface_size) {
        const auto preface = mux::Preface::decode(bytes.first<mux::preface_size>());
        if (preface) {
            const auto again = preface->encode();
            require(std::memcmp(again.data(), bytes.data(), again.size()) == 0);
            const auto version = mux::choose_version(*preface, mux::Preface{});
            require(!version || *version == 1);
        } else {
            require(preface.error().detail() == "mux.bad_preface");
        }
    }
    for (; bytes.size() >= mux::frame_header_size; bytes = bytes.subspan(1)) {
        const auto header = mux::FrameHeader::decode(bytes.data());
        std::array<std::byte, mux::frame_header_size> again{};
        header.encode(again.data());
        require(std::memcmp(again.data(), bytes.data(), again.size()) == 0);
        const auto detail = mux::check_frame_header(header);
        require(detail.empty() || detail.starts_with("mux."));
    }
}

void try_hello(std::span<const std::byte> bytes) {
    const auto hello = mux::Hello::decode(bytes);
    if (!hello) return require(hello.error().detail() == "mux.bad_hello");
    const auto again = mux::Hello::decode(hello->encode(false));
    require(again && *again == *hello);
}

void try_head(std::span<const std::byte> bytes) {
    CallHead head;
    mux::HeaderScratch scratch;
    if (!mux::decode_head(bytes, head, scratch).empty()) return;
    const auto size = mux::head_size(head, mux::max_head_size);
    if (!size) return require(bytes.size() > mux::max_head_size);
    require(*size == bytes.size());
    std::vector<std::byte> again(*size);
    mux::encode_head(head, *size, again.data());
    // The size field is the caller's, and a deadline beyond 2^63 is cut.
    require(std::memcmp(again.data() + 2, bytes.data() + 2, 14) == 0);
    require(std::memcmp(again.data() + 24, bytes.data() + 24, again.size() - 24) == 0);
}

void try_error(std::span<const std::byte> bytes) {
    const auto error = mux::decode_error(bytes);
    if (!error) return require(error.error().detail() == "mux.bad_error");
    if (!*error) return;
    const auto again = mux::decode_error(mux::encode_error(&**error));
    require(again && *again);
    require((*again)->code() == (*error)->code());
    require((*again)->detail() == (*error)->detail());
    require((*again)->message() == (*error)->message());
    require((*again)->context() == (*error)->context());
    require((*again)->retryable() == (*error)->retryable());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span{data, size});
    // Each reader gets the whole input and, for frames of the corpus, what follows a header.
    for (const std::size_t skip : {std::size_t{0}, mux::frame_header_size}) {
        if (bytes.size() < skip) break;
        const auto part = bytes.subspan(skip);
        try_frames(part);
        try_hello(part);
        try_head(part);
        try_error(part);
    }
    return 0;
}
