#include "nats/nkey.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <openssl/evp.h>

namespace stator::nats {

namespace {

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::size_t key_size = 32;
constexpr std::size_t seed_size = 2 + key_size + 2;  // types, seed, check sum
constexpr std::uint8_t seed_type = 18 << 3;

using Octets = std::vector<std::uint8_t>;

std::optional<Octets> from_base32(std::string_view text) {
    Octets octets;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char letter : text) {
        const auto value = letters.find(letter);
        if (value == letters.npos) return std::nullopt;
        bits = (bits << 5U) | static_cast<std::uint32_t>(value);
        count += 5;
        if (count < 8) continue;
        count -= 8;
        octets.push_back(static_cast<std::uint8_t>(bits >> count));
    }
    return octets;
}

std::string to_base32(const Octets& octets) {
    std::string text;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const auto octet : octets) {
        bits = (bits << 8U) | octet;
        count += 8;
        for (; count >= 5; count -= 5) text += letters[(bits >> (count - 5)) & 31U];
    }
    if (count > 0) text += letters[(bits << (5 - count)) & 31U];
    return text;
}

/// CRC-16/XMODEM.
std::uint16_t check_sum(const std::uint8_t* data, std::size_t size) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
        sum ^= static_cast<std::uint32_t>(data[i]) << 8U;
        for (int bit = 0; bit < 8; ++bit)
            sum = (sum & 0x8000U) != 0 ? (sum << 1U) ^ 0x1021U : sum << 1U;
        sum &= 0xffffU;
    }
    return static_cast<std::uint16_t>(sum);
}

std::optional<std::array<std::uint8_t, key_size>> public_half(const std::uint8_t* seed) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair{
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed, key_size), &EVP_PKEY_free
    };
    std::array<std::uint8_t, key_size> half{};
    std::size_t size = half.size();
    if (!pair || EVP_PKEY_get_raw_public_key(pair.get(), half.data(), &size) != 1)
        return std::nullopt;
    return half;
}

}  // namespace

std::optional<std::string> public_key_of(std::string_view seed) {
    const auto octets = from_base32(seed);
    if (!octets || octets->size() != seed_size) return std::nullopt;
    const auto& raw = *octets;
    const auto sum = static_cast<std::uint16_t>(raw[seed_size - 2] | (raw[seed_size - 1] << 8U));
    if (sum != check_sum(raw.data(), seed_size - 2)) return std::nullopt;
    if ((raw[0] & 0xf8U) != seed_type) return std::nullopt;
    const auto half = public_half(raw.data() + 2);
    if (!half) return std::nullopt;
    // The type's eight bits are spread over the first two octets.
    Octets key{static_cast<std::uint8_t>(((raw[0] & 7U) << 5U) | (raw[1] >> 3U))};
    key.insert(key.end(), half->begin(), half->end());
    const auto own_sum = check_sum(key.data(), key.size());
    key.push_back(static_cast<std::uint8_t>(own_sum & 0xffU));
    key.push_back(static_cast<std::uint8_t>(own_sum >> 8U));
    return to_base32(key);
}

}  // namespace stator::nats
