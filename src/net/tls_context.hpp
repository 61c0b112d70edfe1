// OpenSSL's contexts, made of the settings.
#pragma once

#include <memory>

#include <openssl/ssl.h>

#include "stator/base/error.hpp"
#include "stator/settings/settings.hpp"

namespace stator::net {

struct FreeContext {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeContext>;

/// Errors: `invalid_request` "net.tls_settings" for settings that need others that are not set.
Result<void> check_tls_settings(const settings::TlsSettings& settings);
/// For what listens; null where nothing is set. Errors: see Security::load.
Result<TlsContext> make_server_context(const settings::TlsSettings& settings);
/// For what dials; null where nothing is set. Errors: see Security::load.
Result<TlsContext> make_client_context(const settings::TlsSettings& settings);

}  // namespace stator::net
