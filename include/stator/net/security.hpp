// Whether connections are plain or TLS: the one place where they are dialled and accepted.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "stator/net/stream.hpp"
#include "stator/settings/settings.hpp"

namespace stator::net {

/// What a process's TLS settings come to. A cheap copyable handle over immutable state, usable on
/// any loop; a default one is plain on both sides. docs/tls.md says what is verified.
class Security {
public:
    Security() = default;
    /// Reads the files once. Blocks on them. Errors: `invalid_request` "net.tls_settings" naming
    /// the setting and the file: half a configuration, an unreadable file, no PEM in it, a key
    /// that is not the certificate's or needs a password.
    static Result<Security> load(const settings::TlsSettings& settings);

    /// Whether what listens here speaks TLS.
    bool serves_tls() const noexcept;
    /// Whether whoever is accepted has shown a certificate.
    bool verifies_clients() const noexcept;
    /// Whether what is dialled must speak TLS.
    bool dials_tls() const noexcept;
    /// Whether a peer that publishes `address`, as TLS or not, may be dialled: `dials_tls` must be
    /// the same. Nobody is asked for secrets in clear text because a record says so.
    /// Errors: `unavailable` "net.tls_no_authority", "net.tls_not_offered".
    Result<void> suits(std::string_view address, bool tls) const;

    /// Connects as net::dial does, then shakes hands if `dials_tls`. `protocol` is offered by ALPN
    /// for those who look at the traffic; nothing depends on it.
    /// Errors: as net::dial; `unavailable` "net.tls_..." for every way in which a handshake fails,
    /// also "net.tls_handshake_timeout". Cancel safety: as net::dial.
    Task<std::unique_ptr<Stream>> dial(Address address, std::string_view protocol = {}) const;
    /// As net::start_dial. The handshake goes on in whatever waits for the stream; its errors are
    /// those of `dial`, reported by the first operation that meets them and by all later ones.
    Result<std::unique_ptr<Stream>> start_dial(const Address& address) const;
    /// For what is said in one write, without a loop; nothing where TLS must be spoken, for that
    /// takes more. Errors: as start_dial.
    std::optional<Result<Outgoing>> open_outgoing(const Address& address) const;

    /// The connection that `accepted` is, on the current loop: handshake done if `serves_tls`.
    /// Errors: `disconnected`; `protocol` "net.plain_on_tls_port", "net.tls_failed",
    /// "net.tls_handshake_timeout"; `unauthenticated` "net.tls_no_client_certificate",
    /// "net.tls_untrusted", "net.tls_expired". Cancel safety: throws `cancelled`; the connection is
    /// closed.
    Task<std::unique_ptr<Stream>> accept(Accepted accepted) const;
    /// The same without waiting: what is read from the result, and the stream that it becomes, are
    /// what is inside TLS. Its users bound how long that takes.
    Accepted secure(Accepted accepted) const;

private:
    struct State;
    explicit Security(std::shared_ptr<const State> state) noexcept : state_{std::move(state)} {}
    std::shared_ptr<const State> state_;
};

}  // namespace stator::net
