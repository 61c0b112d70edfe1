// Takes the fields of a foreign JSON object apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "stator/base/error.hpp"
#include "stator/codec/json.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/llm/json_text.hpp"
#include "stator/llm/sampling.hpp"

namespace stator::llm {

std::unexpected<Error> refuse_field(std::string_view field, std::string_view what);

/// Reads a document that must be an object.
Result<Document> read_request(ValueReader& reader);

/// Each call takes one field out of the object; what is left at the end are the others. A field
/// that is null counts as absent. The first field of a wrong kind is the failure: invalid_request
/// "openai.<field>"; the calls after it find nothing. One thread, one owner.
class RequestFields {
public:
    explicit RequestFields(Document object) : object_{std::move(object)} {}

    /// The value as it is; null if there is none.
    Document take(std::string_view field);
    JsonText json(std::string_view field);
    std::string text(std::string_view field);
    std::optional<bool> boolean(std::string_view field);
    std::optional<double> number(std::string_view field);
    std::optional<std::int64_t> integer(std::string_view field);
    std::optional<std::uint32_t> count(std::string_view field);
    /// A string, or a list of them.
    std::vector<std::string> texts(std::string_view field);

    Sampling sampling();
    Streaming streaming();
    /// What no call has taken.
    OtherFields others();

    void fail(const Error& error) {
        if (!failure_) failure_ = error;
    }
    /// Fails with the failure, if there was one.
    Result<void> good() const {
        if (failure_) return std::unexpected<Error>{*failure_};
        return {};
    }

private:
    void refuse(std::string_view field, std::string_view what);

    Document object_;
    std::optional<Error> failure_;
};

/// The list of tokens; nothing if it is anything else.
std::optional<std::vector<std::uint32_t>> tokens_of(const Document& value);

}  // namespace stator::llm
