// MessagePack: whatever comes in, our decoder agrees with another one or refuses for a reason of
// its own, and what it accepts survives its own encoder. The typed readers see the same bytes.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/codec/payload.hpp"

namespace {

using stator::Document;

void require(bool holds) {
    if (!holds) std::abort();
}

/// NaN differs from itself, and is the one accepted value that is not encoded again.
bool has_nan(const Document& document) {
    if (document.is_number_float()) return std::isnan(document.get<double>());
    if (!document.is_structured()) return false;
    for (const auto& item : document) {
        if (has_nan(item)) return true;
    }
    return false;
}

void check_accepted(const Document& document) {
    if (has_nan(document)) return;
    const auto packed = stator::encode_msgpack(document);
    require(packed.has_value());
    const auto again = stator::decode_msgpack(packed->span());
    require(again.has_value() && *again == document);
    require(stator::encode_msgpack(*again) == *packed);
}

void check_typed(const stator::Bytes& bytes) {
    constexpr auto msgpack = stator::PayloadCodec::msgpack;
    using Table = std::map<std::string, std::vector<std::optional<std::int32_t>>>;
    if (const auto text = stator::Payload<std::string>::decode(bytes, msgpack)) {
        require(
            stator::Payload<std::string>::decode(
                *stator::Payload<std::string>::encode(*text, msgpack), msgpack
            ) == *text
        );
    }
    if (const auto table = stator::Payload<Table>::decode(bytes, msgpack)) {
        require(
            stator::Payload<Table>::decode(
                *stator::Payload<Table>::encode(*table, msgpack), msgpack
            ) == *table
        );
    }
    if (const auto part = stator::Payload<stator::Bytes>::decode(bytes, msgpack))
        require(part->size() < bytes.size());
}

/// What is decoded can be skipped, and is all of the input.
void check_skip(const stator::Bytes& bytes, bool decoded) {
    stator::ValueReader in{bytes, stator::PayloadCodec::msgpack};
    const auto raw = in.raw();
    require(!raw || raw->size() <= bytes.size());
    if (decoded) require(raw && *raw == bytes && in.finish());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = stator::Bytes::copy_of(std::as_bytes(std::span{data, size}));
    const auto ours = stator::decode_msgpack(bytes.span());
    // The other decoder recurses without a bound, so it is asked only about what ours found to be
    // bounded.
    if (ours) {
        const auto theirs = Document::from_msgpack(bytes.view(), true, false);
        require(!theirs.is_discarded() && (has_nan(*ours) || *ours == theirs));
        check_accepted(*ours);
    }
    check_typed(bytes);
    check_skip(bytes, ours.has_value());
    return 0;
}
