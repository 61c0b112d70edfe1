#include "stator/codec/utf8.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stator::inline codec {

namespace {

using Block = std::array<std::uint64_t, 4>;
constexpr std::uint64_t high_bits = 0x8080808080808080U;

/// Bytes of the well-formed character at `at`, which is not ASCII; 0 if it is not well-formed.
std::size_t character_size(const unsigned char* at, std::size_t left) noexcept {
    const auto lead = at[0];
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return i < left && at[i] >= low && at[i] <= high;
    };
    if (lead >= 0xc2 && lead <= 0xdf) return follows(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;   // shorter forms exist below
        const unsigned high = lead == 0xed ? 0x9f : 0xbf;  // surrogates above
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

/// Bytes at the start that are surely ASCII: whole blocks, which compilers turn into vector code.
std::size_t ascii_prefix(const unsigned char* at, std::size_t left) noexcept {
    std::size_t done = 0;
    while (left - done >= sizeof(Block)) {
        Block block;
        std::memcpy(block.data(), at + done, sizeof block);
        if (((block[0] | block[1] | block[2] | block[3]) & high_bits) != 0) break;
        done += sizeof block;
    }
    return done;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
    const auto* data = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t i = 0;
    while (i < text.size()) {
        i += ascii_prefix(data + i, text.size() - i);
        if (i == text.size()) break;
        if (data[i] < 0x80) {
            ++i;
            continue;
        }
        const auto size = character_size(data + i, text.size() - i);
        if (size == 0) return false;
        i += size;
    }
    return true;
}

}  // namespace stator::inline codec
