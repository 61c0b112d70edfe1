#include "stator/llm/embedding.hpp"

#include <bit>
#include <cstddef>
#include <utility>

#include "llm/request_fields.hpp"

namespace stator::llm {

namespace {

/// A string, a list of strings, a list of tokens or a list of those.
std::optional<std::vector<EmbeddingInput>> inputs_of(const Document& input) {
    if (input.is_string()) return {{input.get<std::string>()}};
    if (auto tokens = tokens_of(input)) return {{std::move(*tokens)}};
    if (!input.is_array()) return std::nullopt;
    std::vector<EmbeddingInput> inputs;
    for (const auto& one : input) {
        if (one.is_string()) {
            inputs.emplace_back(one.get<std::string>());
        } else if (auto tokens = tokens_of(one)) {
            inputs.emplace_back(std::move(*tokens));
        } else {
            return std::nullopt;
        }
    }
    return inputs;
}

Result<EmbeddingRequest> embedding_request_of(Document object) {
    RequestFields fields{std::move(object)};
    EmbeddingRequest request;
    auto inputs = inputs_of(fields.take("input"));
    if (!inputs) return refuse_field("input", "is missing, or neither texts nor tokens");
    request.inputs = std::move(*inputs);
    request.model = fields.text("model");
    const auto encoding = fields.text("encoding_format");
    if (encoding == "base64") {
        request.encoding = EmbeddingEncoding::base64;
    } else if (!encoding.empty() && encoding != "float") {
        return refuse_field("encoding_format", "is neither float nor base64");
    }
    request.dimensions = fields.count("dimensions");
    request.others = fields.others();
    if (auto good = fields.good(); !good) return std::unexpected<Error>{good.error()};
    return request;
}

std::string little_endian(const std::vector<float>& numbers) {
    std::string bytes;
    bytes.reserve(numbers.size() * sizeof(float));
    for (const float number : numbers) {
        const auto bits = std::bit_cast<std::uint32_t>(number);
        for (unsigned shift = 0; shift < 32; shift += 8)
            bytes.push_back(static_cast<char>((bits >> shift) & 0xFFU));
    }
    return bytes;
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const auto byte = [&](std::size_t i) -> std::uint32_t {
            return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U;
        };
        const std::uint32_t group = (byte(0) << 16U) | (byte(1) << 8U) | byte(2);
        for (std::size_t i = 0; i < 4; ++i) {
            const bool padding = at + i > bytes.size();
            text.push_back(padding ? '=' : letters[(group >> (18U - 6U * i)) & 0x3FU]);
        }
    }
    return text;
}

void write_embedding(
    ValueWriter& out, const std::vector<float>& numbers, EmbeddingEncoding encoding
) {
    if (encoding == EmbeddingEncoding::base64) return out.string(base64(little_endian(numbers)));
    out.begin_array(numbers.size());
    for (const float number : numbers) out.number(double{number});
    out.end_array();
}

}  // namespace

}  // namespace stator::llm

stator::Result<stator::llm::EmbeddingRequest>
stator::PayloadValue<stator::llm::EmbeddingRequest>::read(ValueReader& reader) {
    auto document = llm::read_request(reader);
    if (!document) return std::unexpected<Error>{document.error()};
    return llm::embedding_request_of(std::move(*document));
}

void stator::PayloadValue<stator::llm::EmbeddingResponse>::write(
    ValueWriter& writer, const llm::EmbeddingResponse& response
) {
    writer.begin_map(4);
    writer.key("object");
    writer.string("list");
    writer.key("model");
    writer.string(response.model);
    writer.key("data");
    writer.begin_array(response.embeddings.size());
    for (std::size_t i = 0; i < response.embeddings.size(); ++i) {
        writer.begin_map(3);
        writer.key("object");
        writer.string("embedding");
        writer.key("index");
        writer.unsigned_integer(i);
        writer.key("embedding");
        llm::write_embedding(writer, response.embeddings[i], response.encoding);
        writer.end_map();
    }
    writer.end_array();
    writer.key("usage");
    writer.begin_map(2);
    writer.key("prompt_tokens");
    writer.unsigned_integer(response.prompt_tokens);
    writer.key("total_tokens");
    writer.unsigned_integer(response.prompt_tokens);
    writer.end_map();
    writer.end_map();
}
