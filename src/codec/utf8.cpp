#include "stator/codec/utf8.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stator::inline codec {

namespace {

using Block = std::array<std::uint64_t, 4>;
constexpr std::uint64_t high_bits = 0x8080808080808080U;

/// What may follow a lead byte: how many bytes in all, and the bounds of the second one. The others
/// are 80 to bf.
struct Lead {
    std::size_t size;  ///< 0: no character starts like this
    unsigned char low;
    unsigned char high;
};

constexpr Lead lead_of(unsigned char byte) noexcept {
    if (byte < 0xc2 || byte > 0xf4) return {.size = 0, .low = 0, .high = 0};
    if (byte <= 0xdf) return {.size = 2, .low = 0x80, .high = 0xbf};
    if (byte == 0xe0) return {.size = 3, .low = 0xa0, .high = 0xbf};  // shorter forms exist below
    if (byte == 0xed) return {.size = 3, .low = 0x80, .high = 0x9f};  // surrogates above
    if (byte <= 0xef) return {.size = 3, .low = 0x80, .high = 0xbf};
    if (byte == 0xf0) return {.size = 4, .low = 0x90, .high = 0xbf};  // shorter forms exist below
    if (byte == 0xf4) return {.size = 4, .low = 0x80, .high = 0x8f};  // beyond U+10FFFF above
    return {.size = 4, .low = 0x80, .high = 0xbf};
}

/// Bytes of the well-formed character at `at`, which is not ASCII; 0 if it is not well-formed.
std::size_t character_size(const unsigned char* at, std::size_t left) noexcept {
    const auto lead = lead_of(at[0]);
    if (lead.size == 0 || lead.size > left || at[1] < lead.low || at[1] > lead.high) return 0;
    for (std::size_t i = 2; i < lead.size; ++i) {
        if ((at[i] & 0xc0U) != 0x80U) return 0;
    }
    return lead.size;
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
