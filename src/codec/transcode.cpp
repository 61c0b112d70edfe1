#include "stator/codec/transcode.hpp"

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::inline codec {

Result<Bytes> transcode(
    const Bytes& bytes, PayloadCodec from, PayloadCodec to, DecodeLimits limits
) {
    if (from == to) return bytes;
    ValueReader reader{bytes, from, limits};
    const auto document = read_document(reader);
    if (!document) return std::unexpected{document.error()};
    if (auto whole = reader.finish(); !whole) return std::unexpected{std::move(whole).error()};
    ValueWriter writer{to, bytes.size() + bytes.size() / 2};
    write_document(writer, *document);
    return writer.finish();
}

}  // namespace stator::inline codec
