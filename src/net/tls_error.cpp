#include "net/tls_error.hpp"

#include <string>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

namespace stator::net {

namespace {

struct Kind {
    std::string detail;
    std::string why;
    bool certificates = false;
};

Kind of_certificate(const SSL* ssl) {
    const long result = SSL_get_verify_result(ssl);
    const std::string why =
        fmt::format("its certificate is not accepted: {}", X509_verify_cert_error_string(result));
    switch (result) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return {"net.tls_expired", why, true};
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            return {"net.tls_wrong_name", why, true};
        default:
            return {"net.tls_untrusted", why, true};
    }
}

Kind kind_of(const SSL* ssl, unsigned long code) {
    const int reason = ERR_GET_REASON(code);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) return of_certificate(ssl);
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return {"net.tls_no_client_certificate", "it shows no certificate", true};
    const char* const known = ERR_reason_error_string(code);
    const std::string text = known == nullptr ? "no reason given" : known;
    if (reason > SSL_AD_REASON_OFFSET) return {"net.tls_refused", "it refuses: " + text};
    return {"net.tls_failed", text};
}

}  // namespace

Error tls_failure(const SSL* ssl, const Address& peer, bool server, bool established) {
    auto kind = kind_of(ssl, ERR_peek_error());
    auto code = server ? ErrorCode::protocol : ErrorCode::unavailable;
    if (server && kind.certificates) code = ErrorCode::unauthenticated;
    // In TLS 1.3 the dialler may be done before its certificate is looked at.
    if (established && kind.detail != "net.tls_refused") code = ErrorCode::disconnected;
    return Error{
        code, std::move(kind.detail), fmt::format("no TLS with {}: {}", peer.to_string(), kind.why)
    };
}

Error lost_in_tls(const Address& peer, bool server, bool established, std::string_view how) {
    if (established) {
        return Error{
            ErrorCode::disconnected,
            "net.tls_cut",
            fmt::format("{}: {}, without TLS's farewell", peer.to_string(), how)
        };
    }
    return Error{
        server ? ErrorCode::disconnected : ErrorCode::unavailable,
        "net.tls_handshake_cut",
        fmt::format("{}: {} during the TLS handshake", peer.to_string(), how)
    };
}

}  // namespace stator::net
