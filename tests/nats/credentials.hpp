// Keys and tokens as `nsc` makes them: an operator that signs an account, which signs a user.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

namespace stator::test {

/// An Ed25519 key in the text form of NATS: base32 of a byte that tells what it is of, the key and
/// a checksum.
class Nkey {
public:
    enum class Of : std::uint8_t { account = 0, operator_ = 14U << 3U, user = 20U << 3U };

    explicit Nkey(Of of) : of_{of} {
        EVP_PKEY* made = nullptr;
        const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context{
            EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr), &EVP_PKEY_CTX_free
        };
        if (EVP_PKEY_keygen_init(context.get()) != 1 || EVP_PKEY_keygen(context.get(), &made) != 1)
            std::abort();
        key_.reset(made);
    }

    std::string public_text() const {
        return text_of({static_cast<char>(of_)}, raw(&EVP_PKEY_get_raw_public_key));
    }
    std::string seed_text() const {
        constexpr unsigned seed = 18U << 3U;
        const auto of = static_cast<unsigned>(of_);
        const std::string head{
            static_cast<char>(seed | (of >> 5U)), static_cast<char>((of & 31U) << 3U)
        };
        return text_of(head, raw(&EVP_PKEY_get_raw_private_key));
    }
    std::string sign(std::string_view text) const {
        const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{
            EVP_MD_CTX_new(), &EVP_MD_CTX_free
        };
        std::array<unsigned char, 64> signature{};
        std::size_t size = signature.size();
        const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
        if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
            EVP_DigestSign(context.get(), signature.data(), &size, bytes, text.size()) != 1)
            std::abort();
        return {reinterpret_cast<const char*>(signature.data()), size};
    }

private:
    using Read = int (*)(const EVP_PKEY*, unsigned char*, std::size_t*);
    std::string raw(Read read) const {
        std::array<unsigned char, 32> bytes{};
        std::size_t size = bytes.size();
        if (read(key_.get(), bytes.data(), &size) != 1) std::abort();
        return {reinterpret_cast<const char*>(bytes.data()), size};
    }
    static std::string text_of(std::string head, const std::string& key) {
        head += key;
        std::uint16_t sum = 0;  // CRC-16 of XMODEM
        for (const char byte : head) {
            sum = static_cast<std::uint16_t>(sum ^ (static_cast<unsigned char>(byte) << 8U));
            for (int bit = 0; bit < 8; ++bit) {
                const unsigned folded = (sum & 0x8000U) != 0 ? 0x1021U : 0U;
                sum = static_cast<std::uint16_t>((static_cast<unsigned>(sum) << 1U) ^ folded);
            }
        }
        head += static_cast<char>(sum & 0xffU);
        head += static_cast<char>(sum >> 8U);
        constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        std::string text;
        unsigned held = 0;
        unsigned bits = 0;
        for (const char byte : head) {
            held = (held << 8U) | static_cast<unsigned char>(byte);
            for (bits += 8; bits >= 5; bits -= 5) text += letters[(held >> (bits - 5)) & 31U];
        }
        if (bits > 0) text += letters[(held << (5 - bits)) & 31U];
        return text;
    }

    Of of_;
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_{nullptr, &EVP_PKEY_free};
};

inline std::string base64url(const std::string& bytes) {
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    const auto size = EVP_EncodeBlock(
        reinterpret_cast<unsigned char*>(text.data()),
        reinterpret_cast<const unsigned char*>(bytes.data()),
        static_cast<int>(bytes.size())
    );
    text.resize(static_cast<std::size_t>(size));
    for (char& letter : text) letter = letter == '+' ? '-' : letter == '/' ? '_' : letter;
    text.erase(text.find_last_not_of('=') + 1);
    return text;
}

/// What `by` says of `of`.
inline std::string token_of(const Nkey& of, const Nkey& by, nlohmann::json claims) {
    claims["version"] = 2;
    const nlohmann::json head{{"typ", "JWT"}, {"alg", "ed25519-nkey"}};
    const nlohmann::json body{
        {"jti", "test"},
        {"iat", 1'700'000'000},
        {"iss", by.public_text()},
        {"name", "test"},
        {"sub", of.public_text()},
        {"nats", std::move(claims)},
    };
    const auto text = base64url(head.dump()) + "." + base64url(body.dump());
    return text + "." + base64url(by.sign(text));
}

/// Of one operator with one account.
struct Accounts {
    Nkey operator_{Nkey::Of::operator_};
    Nkey account{Nkey::Of::account};

    std::string configuration() const {
        const nlohmann::json limits{
            {"subs", -1},
            {"data", -1},
            {"payload", -1},
            {"imports", -1},
            {"exports", -1},
            {"wildcards", true},
            {"conn", -1},
            {"leaf", -1}
        };
        return "operator: \"" + token_of(operator_, operator_, {{"type", "operator"}}) +
               "\"\nresolver: MEMORY\nresolver_preload: { " + account.public_text() + ": \"" +
               token_of(account, operator_, {{"type", "account"}, {"limits", limits}}) + "\" }";
    }
    /// A file as `nsc generate creds` writes it, for a new user of the account.
    void write_user(const std::string& file) const {
        const Nkey user{Nkey::Of::user};
        const auto token = token_of(
            user, account, {{"type", "user"}, {"subs", -1}, {"data", -1}, {"payload", -1}}
        );
        std::ofstream{file} << "-----BEGIN NATS USER JWT-----\n"
                            << token
                            << "\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n"
                            << user.seed_text() << "\n------END USER NKEY SEED------\n";
    }
};

}  // namespace stator::test
