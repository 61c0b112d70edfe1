#include "stator/llm/json_text.hpp"

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"

namespace stator {

void PayloadValue<llm::JsonText>::write(ValueWriter& writer, const llm::JsonText& value) {
    if (value.empty()) return writer.null();
    const auto document = decode_json(value.text);
    if (!document) return writer.fail_with(document.error());
    write_document(writer, *document);
}

Result<llm::JsonText> PayloadValue<llm::JsonText>::read(ValueReader& reader) {
    const auto document = read_document(reader);
    if (!document) return std::unexpected<Error>{document.error()};
    auto text = encode_json(*document);
    if (!text) return std::unexpected<Error>{text.error()};
    return llm::JsonText{std::move(*text)};
}

}  // namespace stator
