// Sha256: the digest of what comes piece by piece.
#pragma once

#include <memory>
#include <span>
#include <string>

namespace stator::nats {

/// OpenSSL's. Movable, one owner. Throws Error (internal) where it has none, or no memory.
class Sha256 {
public:
    Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    ~Sha256();

    void add(std::span<const std::byte> piece);
    /// The 32 bytes; once, at the end.
    std::string finish();

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

}  // namespace stator::nats
