// JSON text: whatever comes in, our decoder agrees with another one or refuses for a reason of its
// own, and what it accepts survives both encoders.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/codec/value_reader.hpp"

namespace {

using stator::Document;

void require(bool holds) {
    if (!holds) std::abort();
}

/// What we refuse and the other decoder accepts.
bool is_our_own_reason(std::string_view detail, std::string_view text) {
    if (detail == "json.depth" || detail == "json.duplicate_key" || detail == "json.number" ||
        detail == "json.values") {
        return true;
    }
    const bool byte_order_mark = text.starts_with("\xef\xbb\xbf");
    const bool ends_at_nul = text.find('\0') != std::string_view::npos;
    return detail == "json.syntax" && (byte_order_mark || ends_at_nul);
}

void check_accepted(const Document& document) {
    const auto text = stator::encode_json(document);
    require(text.has_value());
    const auto again = stator::decode_json(*text);
    require(again.has_value() && *again == document);
    require(stator::encode_json(*again) == *text);

    const auto packed = stator::encode_msgpack(document);
    require(packed.has_value());
    const auto unpacked = stator::decode_msgpack(packed->span());
    require(unpacked.has_value() && *unpacked == document);
}

/// What is decoded can be skipped, and what is skipped is decoded to the same.
void check_skip(std::string_view text, const Document* decoded) {
    stator::ValueReader in{stator::Bytes::of_static(text), stator::PayloadCodec::json};
    const auto raw = in.raw();
    require(!raw || raw->size() <= text.size());
    if (decoded != nullptr)
        require(raw && in.finish() && stator::decode_json(raw->view()) == *decoded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto ours = stator::decode_json(text);
    const auto theirs = Document::parse(text, nullptr, false);
    check_skip(text, ours ? &*ours : nullptr);
    if (ours) {
        require(!theirs.is_discarded() && *ours == theirs);
        check_accepted(*ours);
    } else if (!theirs.is_discarded()) {
        require(is_our_own_reason(ours.error().detail(), text));
    }
    return 0;
}
