#include "stator/base/instance_id.hpp"

#include <charconv>

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/base/text.hpp"

namespace stator::inline base {

InstanceId InstanceId::random() {
    while (true) {
        if (const auto value = os_random(); value != 0) return InstanceId{value};
    }
}

Result<InstanceId> InstanceId::parse(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    const bool padded = text.size() > 1 && text.front() == '0';
    const bool only_digits = text.find_first_not_of(digits) == std::string_view::npos;
    if (text.empty() || text.size() > 16 || padded || !only_digits) {
        auto message = fmt::format(
            "the instance id {} is not 1 to 16 lower-case hex digits without leading zeros",
            quoted_text(text)
        );
        return fail(ErrorCode::invalid_request, "instance_id.invalid", std::move(message));
    }
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return InstanceId{value};
}

std::string InstanceId::to_string() const { return fmt::format("{:x}", value_); }

}  // namespace stator::inline base
