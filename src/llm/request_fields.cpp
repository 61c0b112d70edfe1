#include "llm/request_fields.hpp"

#include <limits>
#include <utility>

#include <fmt/format.h>

namespace stator::llm {

std::unexpected<Error> refuse_field(std::string_view field, std::string_view what) {
    return stator::fail(
        ErrorCode::invalid_request,
        fmt::format("openai.{}", field),
        fmt::format("{} {}", field, what)
    );
}

Result<Document> read_request(ValueReader& reader) {
    auto document = read_document(reader);
    if (document && !document->is_object())
        return stator::fail(
            ErrorCode::invalid_request, "openai.request", "the request is no object"
        );
    return document;
}

Document RequestFields::take(std::string_view field) {
    const auto found = object_.find(field);
    if (found == object_.end()) return nullptr;
    auto value = std::move(*found);
    object_.erase(found);
    return value;
}

void RequestFields::refuse(std::string_view field, std::string_view what) {
    fail(refuse_field(field, what).error());
}

JsonText RequestFields::json(std::string_view field) {
    const auto value = take(field);
    if (value.is_null()) return {};
    auto text = encode_json(value);
    if (text) return JsonText{std::move(*text)};
    fail(text.error());
    return {};
}

std::string RequestFields::text(std::string_view field) {
    const auto value = take(field);
    if (value.is_string()) return value.get<std::string>();
    if (!value.is_null()) refuse(field, "is no string");
    return {};
}

std::optional<bool> RequestFields::boolean(std::string_view field) {
    const auto value = take(field);
    if (value.is_boolean()) return value.get<bool>();
    if (!value.is_null()) refuse(field, "is neither true nor false");
    return std::nullopt;
}

std::optional<double> RequestFields::number(std::string_view field) {
    const auto value = take(field);
    if (value.is_number()) return value.get<double>();
    if (!value.is_null()) refuse(field, "is no number");
    return std::nullopt;
}

std::optional<std::int64_t> RequestFields::integer(std::string_view field) {
    const auto value = take(field);
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (value.is_number_unsigned() && value.get<std::uint64_t>() <= most)
        return value.get<std::int64_t>();
    if (value.is_number_integer() && !value.is_number_unsigned()) return value.get<std::int64_t>();
    if (!value.is_null()) refuse(field, "is no integer");
    return std::nullopt;
}

std::optional<std::uint32_t> RequestFields::count(std::string_view field) {
    const auto value = take(field);
    if (value.is_number_unsigned() && std::in_range<std::uint32_t>(value.get<std::uint64_t>()))
        return value.get<std::uint32_t>();
    if (!value.is_null()) refuse(field, "is no number of things");
    return std::nullopt;
}

std::vector<std::string> RequestFields::texts(std::string_view field) {
    const auto value = take(field);
    if (value.is_null()) return {};
    if (value.is_string()) return {value.get<std::string>()};
    std::vector<std::string> all;
    for (const auto& one : value) {
        if (value.is_array() && one.is_string()) all.push_back(one.get<std::string>());
    }
    if (!value.is_array() || all.size() != value.size())
        refuse(field, "is neither a string nor a list of strings");
    return all;
}

Sampling RequestFields::sampling() {
    Sampling read;
    read.max_tokens = count("max_tokens");
    if (const auto most = count("max_completion_tokens")) read.max_tokens = most;
    read.min_tokens = count("min_tokens");
    read.temperature = number("temperature");
    read.top_p = number("top_p");
    read.top_k = integer("top_k");
    read.min_p = number("min_p");
    read.frequency_penalty = number("frequency_penalty");
    read.presence_penalty = number("presence_penalty");
    read.repetition_penalty = number("repetition_penalty");
    read.seed = integer("seed");
    read.n = count("n");
    read.stop = texts("stop");
    read.ignore_eos = boolean("ignore_eos").value_or(false);
    return read;
}

Streaming RequestFields::streaming() {
    Streaming read;
    read.stream = boolean("stream");
    auto options = take("stream_options");
    if (options.is_null()) return read;
    if (!options.is_object()) {
        refuse("stream_options", "is no object");
        return read;
    }
    RequestFields fields{std::move(options)};
    read.include_usage = fields.boolean("include_usage").value_or(false);
    read.continuous_usage_stats = fields.boolean("continuous_usage_stats").value_or(false);
    if (auto good = fields.good(); !good) fail(good.error());
    return read;
}

OtherFields RequestFields::others() {
    OtherFields left;
    while (!object_.empty()) {
        const auto name = object_.begin().key();
        left.emplace(name, json(name));
    }
    std::erase_if(left, [](const auto& field) { return field.second.empty(); });
    return left;
}

std::optional<std::vector<std::uint32_t>> tokens_of(const Document& value) {
    if (!value.is_array() || value.empty()) return std::nullopt;
    std::vector<std::uint32_t> tokens;
    tokens.reserve(value.size());
    for (const auto& one : value) {
        if (!one.is_number_unsigned() || !std::in_range<std::uint32_t>(one.get<std::uint64_t>()))
            return std::nullopt;
        tokens.push_back(one.get<std::uint32_t>());
    }
    return tokens;
}

}  // namespace stator::llm
