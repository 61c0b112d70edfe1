#include "stator/base/descriptor_limit.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

namespace stator::inline base {

namespace {

std::unexpected<Error> failed(ErrorCode code, std::string_view doing, int number) {
    return fail(
        code,
        "base.descriptor_limit",
        fmt::format("cannot {}: {}", doing, std::system_category().message(number))
    );
}

}  // namespace

Result<DescriptorLimit> descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return failed(ErrorCode::internal, "read the limit of descriptors", errno);
    return DescriptorLimit{.soft = limit.rlim_cur, .hard = limit.rlim_max};
}

Result<DescriptorLimit> raise_descriptor_limit(std::uint64_t wanted) {
    auto limit = descriptor_limit();
    if (!limit) return limit;
    const auto soft = std::min(wanted, limit->hard);
    if (soft <= limit->soft) return limit;
    const rlimit raised{.rlim_cur = soft, .rlim_max = limit->hard};
    if (::setrlimit(RLIMIT_NOFILE, &raised) != 0) {
        const int number = errno;
        return failed(
            ErrorCode::permission_denied,
            fmt::format("raise the limit of descriptors from {} to {}", limit->soft, soft),
            number
        );
    }
    limit->soft = soft;
    return limit;
}

}  // namespace stator::inline base
