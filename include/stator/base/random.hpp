// Random numbers: for ids, jitter and random routing. Not for secrets.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

namespace stator::inline base {

/// 64 bits from the operating system. Throws Error (internal) if it has none to give.
std::uint64_t os_random();

/// A small, fast generator (xoshiro256++); satisfies std::uniform_random_bit_generator. A value:
/// one thread at a time.
class Random {
public:
    using result_type = std::uint64_t;

    /// Reproducible: equal seeds give equal sequences.
    explicit Random(std::uint64_t seed) noexcept;
    /// Seeded with 256 bits from the operating system. Throws as os_random does.
    static Random from_os();

    std::uint64_t operator()() noexcept {
        const auto result = rotate(state_[0] + state_[3], 23) + state_[0];
        const auto shifted = state_[1] << 17U;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotate(state_[3], 45);
        return result;
    }

    /// Uniform in [0, bound); 0 for a bound of 0. The bias is below bound / 2^64.
    std::uint64_t below(std::uint64_t bound) noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((Wide{(*this)()} * bound) >> 64U);
    }

    /// Uniform in [0, 1).
    double unit() noexcept { return static_cast<double>((*this)() >> 11U) * 0x1.0p-53; }

    static constexpr result_type min() noexcept { return 0; }
    static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }

private:
    Random() noexcept = default;
    static constexpr std::uint64_t rotate(std::uint64_t value, unsigned by) noexcept {
        return (value << by) | (value >> (64U - by));
    }
    std::array<std::uint64_t, 4> state_{};
};

/// This thread's generator, seeded from the operating system at first use and again in a forked
/// child.
Random& thread_random();

}  // namespace stator::inline base
