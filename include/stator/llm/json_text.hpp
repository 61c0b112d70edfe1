// JsonText: a JSON value of any shape.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "stator/codec/payload.hpp"

namespace stator::llm {

/// Compact JSON, to be handed on or read with `decode_json`. Empty: there is none.
struct JsonText {
    std::string text;

    bool empty() const noexcept { return text.empty(); }
    friend bool operator==(const JsonText&, const JsonText&) = default;
};

/// Fields by name that the types here have no member for.
using OtherFields = std::map<std::string, JsonText>;

}  // namespace stator::llm

/// Keys stay in their order. Writing fails with the errors of decode_json; an empty one is null.
template <>
struct stator::PayloadValue<stator::llm::JsonText> {
    static void write(ValueWriter& writer, const llm::JsonText& value);
    static Result<llm::JsonText> read(ValueReader& reader);
};
