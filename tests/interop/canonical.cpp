#include "tests/interop/canonical.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

namespace stator::interop {

namespace {

void expect(int result) {
    if (result != 1) throw std::runtime_error{"SHA-256 failed"};
}

void append_text(std::string& out, std::string_view text) {
    fmt::format_to(std::back_inserter(out), "s{}:{}", text.size(), text);
}

void append(std::string& out, const Document& value);

void append_map(std::string& out, const Document& value) {
    std::map<std::string_view, const Document*> sorted;
    for (const auto& [key, one] : value.items()) sorted.emplace(key, &one);
    out += '{';
    for (const auto& [key, one] : sorted) {
        append_text(out, key);
        append(out, *one);
    }
    out += '}';
}

void append(std::string& out, const Document& value) {
    using Type = Document::value_t;
    switch (value.type()) {
        case Type::null:
            out += 'n';
            return;
        case Type::boolean:
            out += value.get<bool>() ? 't' : 'f';
            return;
        case Type::number_integer:
            fmt::format_to(std::back_inserter(out), "i{};", value.get<std::int64_t>());
            return;
        case Type::number_unsigned:
            fmt::format_to(std::back_inserter(out), "i{};", value.get<std::uint64_t>());
            return;
        case Type::number_float:
            fmt::format_to(
                std::back_inserter(out),
                "d{:016x}",
                std::bit_cast<std::uint64_t>(value.get<double>())
            );
            return;
        case Type::string:
            append_text(out, value.get_ref<const std::string&>());
            return;
        case Type::array:
            out += '[';
            for (const auto& one : value) append(out, one);
            out += ']';
            return;
        case Type::object:
            append_map(out, value);
            return;
        case Type::binary:
        case Type::discarded:
            break;
    }
    throw std::invalid_argument{"not a value of both codecs"};
}

}  // namespace

std::string canonical(const Document& value) {
    std::string text;
    append(text, value);
    return text;
}

std::string digest(const Document& value) {
    ItemDigest hash;
    hash.add(value);
    return hash.hex();
}

ItemDigest::ItemDigest() : hash_{EVP_MD_CTX_new()} {
    if (!hash_) throw std::bad_alloc{};
    expect(EVP_DigestInit_ex(hash_.get(), EVP_sha256(), nullptr));
}

void ItemDigest::Free::operator()(evp_md_ctx_st* hash) const noexcept { EVP_MD_CTX_free(hash); }

void ItemDigest::add(const Document& item) {
    const auto text = canonical(item);
    expect(EVP_DigestUpdate(hash_.get(), text.data(), text.size()));
}

std::string ItemDigest::hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    expect(EVP_DigestFinal_ex(hash_.get(), bytes.data(), &size));
    std::string text;
    for (const auto byte : std::span{bytes}.first(size)) {
        fmt::format_to(std::back_inserter(text), "{:02x}", byte);
    }
    return text;
}

}  // namespace stator::interop
