#include "nats/base64.hpp"

#include <algorithm>

#include <openssl/evp.h>

namespace stator::nats {

namespace {

constexpr std::size_t group = 3;    // bytes that are written with
constexpr std::size_t letters = 4;  // so many letters
/// What OpenSSL counts with an int; far above any message.
constexpr std::size_t longest_text = std::size_t{1} << 30U;

const unsigned char* octets(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::string to_base64url(std::string_view bytes) {
    std::string text((bytes.size() + group - 1) / group * letters + 1, '\0');  // it adds a zero
    const auto size = EVP_EncodeBlock(
        reinterpret_cast<unsigned char*>(text.data()), octets(bytes), static_cast<int>(bytes.size())
    );
    text.resize(static_cast<std::size_t>(size));
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.size() % letters != 0 || text.size() > longest_text) return std::nullopt;
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    // OpenSSL reads it as zeros wherever it is.
    if (text.find('=') < text.size() - padding) return std::nullopt;
    std::string bytes(text.size() / letters * group, '\0');
    const auto size = EVP_DecodeBlock(
        reinterpret_cast<unsigned char*>(bytes.data()), octets(text), static_cast<int>(text.size())
    );
    if (size < 0 || static_cast<std::size_t>(size) < padding) return std::nullopt;
    bytes.resize(static_cast<std::size_t>(size) - padding);
    return bytes;
}

}  // namespace stator::nats
