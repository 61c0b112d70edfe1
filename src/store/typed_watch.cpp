#include "stator/store/typed_watch.hpp"

#include <fmt/format.h>

#include "stator/base/sink.hpp"

namespace stator::store::detail {

void report_undecodable(std::string_view key, const Error& why) {
    sink().count("store_undecodable_values_total", 1);
    sink().report(
        Severity::warn,
        "stator::store",
        fmt::format("the value of {} is left out: {}", key, why.what())
    );
}

}  // namespace stator::store::detail
