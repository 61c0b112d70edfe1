// Documents: JSON and MessagePack of unknown shape, within bounds.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/limits.hpp"

namespace stator::inline codec {

class ValueReader;
class ValueWriter;

/// The document type: keys stay in the order they came in. Include <nlohmann/json.hpp> to look
/// inside.
using Document = nlohmann::ordered_json;

/// Reads foreign JSON text. Errors are those of ValueReader, and invalid_request
/// "json.duplicate_key" for an object with the same key twice: two readers of one document must not
/// see different values. Integers keep all 64 bits.
Result<Document> decode_json(std::string_view text, DecodeLimits limits = {});

/// The same for MessagePack. A bin value becomes a binary value of the document; extension types
/// are refused.
Result<Document> decode_msgpack(std::span<const std::byte> bytes, DecodeLimits limits = {});

/// Compact text, keys in their order. Errors are those of ValueWriter: strings that are not UTF-8,
/// NaN, infinity, binary values, nesting beyond 128 and discarded values are refused, never
/// changed.
Result<std::string> encode_json(const Document& document);

/// Integers in their shortest form, numbers as float64. Errors as above, but binary values and
/// infinity are fine.
Result<Bytes> encode_msgpack(const Document& document);

/// One document in the middle of a larger value; same errors.
void write_document(ValueWriter& writer, const Document& document);
Result<Document> read_document(ValueReader& reader);

/// The same for nlohmann's other document type, whose keys are in alphabetical order.
void write_document(ValueWriter& writer, const nlohmann::json& document);
Result<nlohmann::json> read_sorted_document(ValueReader& reader);

}  // namespace stator::inline codec
