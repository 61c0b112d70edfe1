#include "stator/transport/mux_config.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_head.hpp"

namespace stator::transport {
namespace {

struct Bound {
    std::string_view name;
    std::uint64_t value;
    std::uint64_t least;
    std::uint64_t most;
};

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t most_u32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t most_memory = static_cast<std::uint64_t>(mux::max_balance) / 4;

Result<void> check_sizes(const MuxConfig& c) {
    const std::array<Bound, 12> bounds = {{
        {"max_frame", c.max_frame, 16 * kib, kib * kib * kib},
        {"max_message", c.max_message, 16 * kib, most_u32 - mux::message_overhead},
        {"request_credit", c.request_credit, mux::least_stream_credit, kib * kib * kib},
        {"max_head", c.max_head, kib, std::min<std::uint64_t>(mux::max_head_size, c.max_frame)},
        {"window", c.window, 256 * kib, most_memory},
        {"memory_limit", c.memory_limit, c.window, most_memory},
        {"large_budget", c.large_budget, c.max_message + mux::message_overhead, most_memory},
        {"least_window", c.least_window, 16 * kib, c.window / 8},
        {"most_window", c.most_window, c.least_window, c.window},
        {"output_limit", c.output_limit, 16 * kib, most_memory},
        {"fragment", c.fragment, 16 * kib, kib * kib * kib},
        {"receive_block", c.receive_block, 16 * kib, 16 * kib * kib},
    }};
    for (const auto& bound : bounds) {
        if (bound.value >= bound.least && bound.value <= bound.most) continue;
        return fail(
            ErrorCode::invalid_request,
            "mux.bad_config",
            fmt::format(
                "{} is {}, not in [{}, {}]", bound.name, bound.value, bound.least, bound.most
            )
        );
    }
    return {};
}

}  // namespace

Result<void> MuxConfig::check() const {
    const auto refuse = [](std::string_view why) {
        return fail(ErrorCode::invalid_request, "mux.bad_config", std::string{why});
    };
    if (auto sizes = check_sizes(*this); !sizes) return sizes;
    if ((first_stream & 1U) == 0) return refuse("first_stream is even");
    if (ping_after <= Duration::zero() || handshake_timeout <= Duration::zero() ||
        write_stall <= Duration::zero()) {
        return refuse("ping_after, handshake_timeout and write_stall must be positive");
    }
    if (process && process->half() < max_message + mux::message_overhead) {
        return refuse("half of the process's budget is less than max_message");
    }
    if (suspect_after <= ping_after || lost_after <= suspect_after) {
        return refuse("ping_after < suspect_after < lost_after does not hold");
    }
    return {};
}

}  // namespace stator::transport
