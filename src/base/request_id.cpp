#include "stator/base/request_id.hpp"

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/base/text.hpp"

namespace stator::inline base {

namespace {

constexpr std::string_view digits = "0123456789abcdef";
constexpr std::array<bool, RequestId::text_size> make_dashes() {
    std::array<bool, RequestId::text_size> dashes{};
    for (const std::size_t at : std::array<std::size_t, 4>{8, 13, 18, 23}) dashes[at] = true;
    return dashes;
}
constexpr auto is_dash = make_dashes();

constexpr int digit_value(char letter) noexcept {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
    return -1;
}

}  // namespace

RequestId RequestId::random() {
    auto& random = thread_random();
    constexpr std::uint64_t version_4 = 0x4000;
    constexpr std::uint64_t variant_1 = std::uint64_t{2} << 62U;
    const auto high = (random() & ~std::uint64_t{0xf000}) | version_4;
    const auto low = (random() >> 2U) | variant_1;
    return RequestId{high, low};
}

Result<RequestId> RequestId::parse(std::string_view text) {
    std::array<std::uint64_t, 2> halves{};
    bool good = text.size() == text_size;
    std::size_t seen = 0;
    for (std::size_t i = 0; good && i < text_size; ++i) {
        if (is_dash[i]) {
            good = text[i] == '-';
            continue;
        }
        const int value = digit_value(text[i]);
        good = value >= 0;
        auto& half = halves[seen++ / 16];
        half = (half << 4U) | static_cast<std::uint64_t>(value & 0xf);
    }
    if (good) return RequestId{halves[0], halves[1]};
    auto message = fmt::format("the request id {} is not a UUID", quoted_text(text));
    return fail(ErrorCode::invalid_request, "request_id.invalid", std::move(message));
}

void RequestId::write(std::span<char, text_size> out) const noexcept {
    std::size_t nibble = 0;
    for (std::size_t i = 0; i < text_size; ++i) {
        if (is_dash[i]) {
            out[i] = '-';
            continue;
        }
        const auto half = nibble < 16 ? high_ : low_;
        out[i] = digits[(half >> (60U - 4U * (nibble % 16))) & 0xfU];
        ++nibble;
    }
}

std::string RequestId::to_string() const {
    std::string text(text_size, '-');
    write(std::span<char, text_size>{text.data(), text_size});
    return text;
}

}  // namespace stator::inline base
