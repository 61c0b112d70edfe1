#include "component/policy.hpp"

#include <algorithm>
#include <cmath>

namespace stator::inline component::policy {

bool cpu_has_room(DeviceGroup cpus, DeviceGroup accelerators, std::uint64_t weight) noexcept {
    if (cpus.instances == 0 || accelerators.instances == 0) return accelerators.instances == 0;
    const auto most = accelerators.calls * cpus.instances /
                      (std::max<std::uint64_t>(weight, 1) * accelerators.instances);
    return cpus.calls < most;
}

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept {
    // The finaliser of MurmurHash3.
    auto mix = a ^ (b * 0x9e3779b97f4a7c15U);
    mix ^= mix >> 33U;
    mix *= 0xff51afd7ed558ccdU;
    mix ^= mix >> 33U;
    mix *= 0xc4ceb9fe1a85ec53U;
    return mix ^ (mix >> 33U);
}

double PeakEwma::value(TimePoint now, Duration decay) const noexcept {
    if (cost_ == 0) return 0;
    const auto age = std::chrono::duration<double>(std::max(now - when_, Duration::zero()));
    const auto whole = std::chrono::duration<double>(std::max(decay, Duration{1}));
    const auto left = cost_ * std::exp(-age.count() / whole.count());
    return left < 1 ? 0 : left;
}

void PeakEwma::observe(Duration latency, TimePoint now, Duration decay) noexcept {
    const auto seen = std::max(static_cast<double>(latency.count()), 1.0);
    const auto before = value(now, decay);
    if (seen >= before || cost_ == 0) {
        cost_ = seen;
    } else {
        // `before / cost_` is what the time since has left of the old value: its weight.
        const auto weight = before / cost_;
        cost_ = cost_ * weight + seen * (1 - weight);
    }
    when_ = now;
}

double peak_ewma_score(double latency_ns, std::uint32_t outstanding) noexcept {
    // More than any latency: a second call waits for what the first one tells.
    constexpr double unknown = 1e15;
    if (latency_ns == 0) return outstanding == 0 ? 0 : unknown + outstanding;
    return latency_ns * (outstanding + 1.0);
}

void HedgeBudget::call() noexcept { saved_ = std::min(saved_ + budget_, most); }

bool HedgeBudget::take() noexcept {
    if (saved_ < 1) return false;
    saved_ -= 1;
    return true;
}

}  // namespace stator::inline component::policy
