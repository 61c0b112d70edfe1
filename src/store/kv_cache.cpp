#include "stator/store/kv_cache.hpp"

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::store::detail {

void check_cache_prefix(std::string_view prefix) {
    if (prefix.ends_with('/')) return;
    throw Error{
        ErrorCode::invalid_request,
        "store.key",
        fmt::format("the prefix {} of a cache does not end with /", quoted_text(prefix))
    };
}

}  // namespace stator::store::detail
