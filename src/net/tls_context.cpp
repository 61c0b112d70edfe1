#include "net/tls_context.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "net/tls_session.hpp"

namespace stator::net {

namespace {

/// A setting that names a file.
struct FileSetting {
    std::string_view name;
    const std::string& path;
};

Error bad_settings(std::string what) {
    return Error{ErrorCode::invalid_request, "net.tls_settings", std::move(what)};
}

std::string_view last_reason() noexcept {
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    return reason == nullptr ? "no reason given" : reason;
}

Error bad_file(const FileSetting& setting, std::string_view why) {
    return bad_settings(fmt::format("{}: {}: {}", setting.name, setting.path, why));
}

/// What OpenSSL says of a file that it could not take.
Error refused_file(const FileSetting& setting, std::string_view expected) {
    const auto why = fmt::format("{} ({})", expected, last_reason());
    ERR_clear_error();
    return bad_file(setting, why);
}

Result<void> readable_file(const FileSetting& setting) {
    std::FILE* const file = std::fopen(setting.path.c_str(), "re");
    if (file == nullptr)
        return std::unexpected{bad_file(setting, std::system_category().message(errno))};
    // A folder opens, too, but does not read.
    (void)std::fgetc(file);
    const int failure = std::ferror(file) != 0 ? errno : 0;
    (void)std::fclose(file);
    if (failure == 0) return {};
    return std::unexpected{bad_file(setting, std::system_category().message(failure))};
}

/// Nobody is there to type a password.
int no_password(char*, int, int, void*) noexcept { return -1; }

Result<TlsContext> make_context(const SSL_METHOD* method) {
    TlsContext context{SSL_CTX_new(method)};
    if (!context) return fail(ErrorCode::internal, "net.tls_failed", "OpenSSL has no memory");
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    // What is written may have moved between two attempts; what is idle keeps no buffers.
    SSL_CTX_set_mode(context.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    constexpr std::size_t read_ahead = 64U << 10U;
    SSL_CTX_set_read_ahead(context.get(), 1);
    SSL_CTX_set_default_read_buffer_len(context.get(), read_ahead);
    SSL_CTX_set_default_passwd_cb(context.get(), no_password);
    return context;
}

Result<void> use_identity(
    SSL_CTX* context, const FileSetting& certificate, const FileSetting& key
) {
    for (const auto& file : {certificate, key}) {
        if (auto readable = readable_file(file); !readable) return readable;
    }
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, certificate.path.c_str()) != 1)
        return std::unexpected{refused_file(certificate, "expected a PEM certificate")};
    if (SSL_CTX_use_PrivateKey_file(context, key.path.c_str(), SSL_FILETYPE_PEM) != 1) {
        if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH) {
            return std::unexpected{refused_file(
                key, fmt::format("not the key of the certificate in {}", certificate.path)
            )};
        }
        return std::unexpected{refused_file(key, "expected a PEM key without a password")};
    }
    if (SSL_CTX_check_private_key(context) == 1) return {};
    return std::unexpected{
        refused_file(key, fmt::format("not the key of the certificate in {}", certificate.path))
    };
}

Result<void> trust(SSL_CTX* context, const FileSetting& authorities) {
    if (auto readable = readable_file(authorities); !readable) return readable;
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context, authorities.path.c_str()) == 1) return {};
    return std::unexpected{refused_file(authorities, "expected PEM certificates")};
}

/// A peer that was verified is known by its ticket for so long, and not by those that it could get
/// for it: then it is verified again.
constexpr long ticket_seconds = 600;
/// Some clients take each ticket once.
constexpr std::size_t tickets_per_handshake = 4;

SSL_TICKET_RETURN
use_ticket(SSL*, SSL_SESSION* ticket, const unsigned char*, std::size_t, SSL_TICKET_STATUS status, void*) noexcept {
    switch (status) {
        case SSL_TICKET_SUCCESS:
        case SSL_TICKET_SUCCESS_RENEW:
            return certificate_expired(ticket) ? SSL_TICKET_RETURN_IGNORE_RENEW
                                               : SSL_TICKET_RETURN_USE;
        default:
            return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

Error half(std::string_view given, std::string_view path, std::string_view missing) {
    return bad_settings(fmt::format("{} ({}) is set, {} is not", given, path, missing));
}

constexpr std::string_view cert_name = "DYN_TCP_TLS_CERT_PATH";
constexpr std::string_view key_name = "DYN_TCP_TLS_KEY_PATH";
constexpr std::string_view client_authority_name = "DYN_TCP_TLS_CLIENT_CA_CERT_PATH";
constexpr std::string_view authority_name = "DYN_TCP_TLS_CA_CERT_PATH";
constexpr std::string_view client_cert_name = "DYN_TCP_TLS_CLIENT_CERT_PATH";
constexpr std::string_view client_key_name = "DYN_TCP_TLS_CLIENT_KEY_PATH";
constexpr std::string_view server_name_name = "DYN_TCP_TLS_SERVER_NAME";

bool dials_tls(const settings::TlsSettings& settings) noexcept {
    return settings.insecure || !settings.ca_cert_path.empty();
}

}  // namespace

Result<void> check_tls_settings(const settings::TlsSettings& settings) {
    struct Need {
        std::string_view name;
        const std::string& value;
        std::string_view needs;
        bool met;
    };
    const auto& s = settings;
    const std::array<Need, 7> needs{{
        {cert_name, s.cert_path, key_name, !s.key_path.empty()},
        {key_name, s.key_path, cert_name, !s.cert_path.empty()},
        {client_authority_name, s.client_ca_cert_path, cert_name, !s.cert_path.empty()},
        {client_cert_name, s.client_cert_path, client_key_name, !s.client_key_path.empty()},
        {client_key_name, s.client_key_path, client_cert_name, !s.client_cert_path.empty()},
        {client_cert_name, s.client_cert_path, authority_name, dials_tls(s)},
        {server_name_name, s.server_name, authority_name, dials_tls(s)},
    }};
    for (const auto& need : needs) {
        if (!need.value.empty() && !need.met)
            return std::unexpected{half(need.name, need.value, need.needs)};
    }
    return {};
}

Result<TlsContext> make_server_context(const settings::TlsSettings& settings) {
    if (settings.cert_path.empty()) return TlsContext{};
    auto context = make_context(TLS_server_method());
    if (!context) return context;
    auto* const made = context->get();
    const auto used =
        use_identity(made, {cert_name, settings.cert_path}, {key_name, settings.key_path});
    if (!used) return std::unexpected{used.error()};
    // Tickets hold the session, so nothing is kept here. They can be read by this context only, so
    // whoever comes with one was verified as this context asks.
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(made, ticket_seconds);
    SSL_CTX_set_num_tickets(made, tickets_per_handshake);
    SSL_CTX_set_session_ticket_cb(made, nullptr, use_ticket, nullptr);
    constexpr std::array<unsigned char, 6> scope{'s', 't', 'a', 't', 'o', 'r'};
    SSL_CTX_set_session_id_context(made, scope.data(), scope.size());
    if (settings.client_ca_cert_path.empty()) return context;
    const FileSetting authorities{client_authority_name, settings.client_ca_cert_path};
    if (auto trusted = trust(made, authorities); !trusted) return std::unexpected{trusted.error()};
    SSL_CTX_set_client_CA_list(made, SSL_load_client_CA_file(authorities.path.c_str()));
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    return context;
}

Result<TlsContext> make_client_context(const settings::TlsSettings& settings) {
    if (!dials_tls(settings)) return TlsContext{};
    auto context = make_context(TLS_client_method());
    if (!context) return context;
    auto* const made = context->get();
    if (!settings.client_cert_path.empty()) {
        const auto used = use_identity(
            made,
            {client_cert_name, settings.client_cert_path},
            {client_key_name, settings.client_key_path}
        );
        if (!used) return std::unexpected{used.error()};
    }
    if (!settings.ca_cert_path.empty()) {
        const auto trusted = trust(made, {authority_name, settings.ca_cert_path});
        if (!trusted) return std::unexpected{trusted.error()};
    }
    SSL_CTX_set_verify(made, settings.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
    TlsSession::keep_tickets(made);
    return context;
}

}  // namespace stator::net
