// What the two sides of the upload agree on.
#pragma once

#include <cstdint>
#include <string>

#include <stator/codec/payload.hpp>

/// What the server answers when it has seen the last piece.
struct Receipt {
    std::uint64_t bytes = 0;
    std::uint64_t pieces = 0;
    std::string digest;  // FNV-1a, 64 bits, hex
};

/// FNV-1a, piece by piece.
class Digest {
public:
    void add(const stator::Bytes& piece) noexcept {
        for (const auto byte : piece.span()) {
            state_ ^= static_cast<std::uint8_t>(byte);
            state_ *= 0x100000001b3U;
        }
    }
    std::uint64_t value() const noexcept { return state_; }

private:
    std::uint64_t state_ = 0xcbf29ce484222325U;
};

template <>
struct stator::PayloadValue<Receipt> {
    static void write(ValueWriter& out, const Receipt& receipt) {
        out.begin_array(3);
        out.unsigned_integer(receipt.bytes);
        out.unsigned_integer(receipt.pieces);
        out.string(receipt.digest);
        out.end_array();
    }
    static Result<Receipt> read(ValueReader& in) {
        Receipt receipt;
        if (auto array = in.begin_array(); !array) return std::unexpected{array.error()};
        for (auto* number : {&receipt.bytes, &receipt.pieces}) {
            if (auto more = in.next_item(); !more || !*more) return bad(in);
            auto value = in.unsigned_integer();
            if (!value) return std::unexpected{value.error()};
            *number = *value;
        }
        if (auto more = in.next_item(); !more || !*more) return bad(in);
        auto digest = in.string();
        if (!digest) return std::unexpected{digest.error()};
        receipt.digest = std::move(*digest);
        if (auto more = in.next_item(); !more || *more) return bad(in);
        return receipt;
    }

private:
    static Result<Receipt> bad(const ValueReader& in) {
        return std::unexpected{in.error("type", "a receipt has three parts")};
    }
};
