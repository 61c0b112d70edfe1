// What each of our error classes is called in the error objects of Dynamo.
#pragma once

#include <string_view>

#include "stator/base/error.hpp"

namespace stator::inline codec {

/// The names in an error object, docs/protocol/dynamo-tcp.md section 5: `error_type` is "type", or
/// {"Backend": "type"}.
struct DynamoErrorNames {
    ErrorCode code;
    std::string_view type;
    bool backend;
    std::string_view error_class;
    std::string_view reason;
};

/// What we write for `code`.
const DynamoErrorNames& dynamo_error_names(ErrorCode code) noexcept;
/// The row with that reason; null: it is none that we write.
const DynamoErrorNames* dynamo_error_names_of_reason(std::string_view reason) noexcept;

}  // namespace stator::inline codec
