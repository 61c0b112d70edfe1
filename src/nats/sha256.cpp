#include "nats/sha256.hpp"

#include <openssl/evp.h>

#include "stator/base/error.hpp"

namespace stator::nats {

namespace {

void expect(int done) {
    if (done != 1) throw Error{ErrorCode::internal, "nats.sha256", "OpenSSL has no SHA-256"};
}

}  // namespace

struct Sha256::Context {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash{
        EVP_MD_CTX_new(), &EVP_MD_CTX_free
    };
};

Sha256::Sha256() : context_{std::make_unique<Context>()} {
    expect(context_->hash != nullptr ? 1 : 0);
    expect(EVP_DigestInit_ex(context_->hash.get(), EVP_sha256(), nullptr));
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::add(std::span<const std::byte> piece) {
    expect(EVP_DigestUpdate(context_->hash.get(), piece.data(), piece.size()));
}

std::string Sha256::finish() {
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned int size = 0;
    auto* const place = reinterpret_cast<unsigned char*>(digest.data());
    expect(EVP_DigestFinal_ex(context_->hash.get(), place, &size));
    digest.resize(size);
    return digest;
}

}  // namespace stator::nats
