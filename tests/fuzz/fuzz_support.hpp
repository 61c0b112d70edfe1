// What the fuzzers share: an input that is a list of decisions, and checks that end the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::fuzz {

inline void require(bool holds) {
    if (!holds) std::abort();
}

/// What is in `value`, which must not be empty.
template <class T>
T& got(std::optional<T>& value) {
    if (!value) std::abort();
    return *value;
}
template <class T>
const T& got(const std::optional<T>& value) {
    if (!value) std::abort();
    return *value;
}

inline void require_named(const Error& error, std::string_view detail) {
    require(error.detail() == detail && !error.message().empty());
}

/// Zeros when it is used up.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : data_{data}, size_{size} {}
    bool empty() const { return size_ == 0; }
    unsigned byte() {
        if (size_ == 0) return 0;
        --size_;
        return *data_++;
    }
    unsigned pair() {
        const auto low = byte();
        return low | byte() << 8U;
    }
    std::string bytes(std::size_t count) {
        std::string out;
        while (count-- > 0 && !empty()) out.push_back(static_cast<char>(byte()));
        return out;
    }

private:
    const std::uint8_t* data_;
    std::size_t size_;
};

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

}  // namespace stator::fuzz
