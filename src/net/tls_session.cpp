#include "net/tls_session.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "net/tls_error.hpp"
#include "stator/base/sink.hpp"

namespace stator::net {

namespace {

constexpr std::size_t record = SSL3_RT_MAX_PLAIN_LENGTH;
constexpr std::size_t records_at_once = 4;
constexpr unsigned char handshake_record = 0x16;
constexpr unsigned char alert_record = 0x15;

/// What the operation that runs on this thread has encrypted. Sent, or moved to the session's
/// `pending_`, before it ends.
std::vector<std::byte>& encrypted() {
    static thread_local std::vector<std::byte> bytes;
    return bytes;
}

}  // namespace

/// What is left to write of some parts.
class TlsSession::Parts {
public:
    explicit Parts(std::span<const iovec> parts) noexcept : parts_{parts} { skip_empty(); }
    bool empty() const noexcept { return parts_.empty(); }
    std::size_t taken() const noexcept { return taken_; }
    /// The rest of the first part that has one.
    std::span<const std::byte> front() const noexcept {
        return std::span{
            static_cast<const std::byte*>(parts_.front().iov_base), parts_.front().iov_len
        }
            .subspan(offset_);
    }
    void take(std::size_t size) noexcept {
        taken_ += size;
        offset_ += size;
        skip_empty();
    }

private:
    void skip_empty() noexcept {
        while (!parts_.empty() && offset_ == parts_.front().iov_len) {
            parts_ = parts_.subspan(1);
            offset_ = 0;
        }
    }
    std::span<const iovec> parts_;
    std::size_t offset_ = 0;
    std::size_t taken_ = 0;
};

TlsSession::TlsSession(SSL_CTX* context, int socket, Address peer)
    : ssl_{SSL_new(context)}, socket_{socket}, peer_{std::move(peer)} {
    BIO* const bio = ssl_ ? BIO_new(socket_method()) : nullptr;
    if (bio == nullptr) {
        ERR_clear_error();
        throw Error{ErrorCode::internal, "net.tls_failed", "OpenSSL has no memory"};
    }
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
}

TlsSession::~TlsSession() {
    // A connection that was merely cut says nothing against its ticket, but OpenSSL thinks so.
    if (tickets_ && established_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN);
}

std::unique_ptr<TlsSession> TlsSession::server(SSL_CTX* context, int socket, Address peer) {
    std::unique_ptr<TlsSession> session{new TlsSession{context, socket, std::move(peer)}};
    session->server_ = true;
    SSL_set_accept_state(session->ssl_.get());
    return session;
}

std::unique_ptr<TlsSession> TlsSession::client(
    SSL_CTX* context,
    int socket,
    Address peer,
    const std::string& name,
    std::string_view protocol,
    std::shared_ptr<TlsTickets> tickets
) {
    std::unique_ptr<TlsSession> session{new TlsSession{context, socket, std::move(peer)}};
    session->tickets_ = std::move(tickets);
    SSL* const ssl = session->ssl_.get();
    SSL_set_connect_state(ssl);
    if (Address{name, 0}.is_numeric()) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
    } else {
        SSL_set_hostflags(
            ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
        );
        SSL_set1_host(ssl, name.c_str());
        SSL_set_tlsext_host_name(ssl, name.c_str());
    }
    if (!protocol.empty()) {
        std::string offer(1, static_cast<char>(protocol.size()));
        offer += protocol;
        SSL_set_alpn_protos(
            ssl,
            reinterpret_cast<const unsigned char*>(offer.data()),
            static_cast<unsigned>(offer.size())
        );
    }
    session->use_ticket();
    return session;
}

void TlsSession::use_ticket() {
    if (const auto ticket = tickets_->take(peer_.to_string()))
        SSL_set_session(ssl_.get(), ticket.get());
}

void TlsSession::keep_tickets(SSL_CTX* context) noexcept {
    SSL_CTX_set_session_cache_mode(
        context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE
    );
    SSL_CTX_sess_set_new_cb(context, on_ticket);
}

/// 1: the reference is ours from here on.
int TlsSession::on_ticket(SSL* ssl, SSL_SESSION* ticket) noexcept {
    const auto* const self = static_cast<TlsSession*>(BIO_get_data(SSL_get_rbio(ssl)));
    self->tickets_->keep(self->peer_.to_string(), TlsTicket{ticket});
    return 1;
}

BIO_METHOD* TlsSession::socket_method() noexcept {
    static BIO_METHOD* const method = [] {
        auto* const made =
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stator socket");
        BIO_meth_set_write(made, on_write);
        BIO_meth_set_read(made, on_read);
        BIO_meth_set_ctrl(made, on_control);
        return made;
    }();
    return method;
}

int TlsSession::on_write(BIO*, const char* data, int size) noexcept {
    const auto bytes = std::as_bytes(std::span{data, static_cast<std::size_t>(size)});
    encrypted().insert(encrypted().end(), bytes.begin(), bytes.end());
    return size;
}

int TlsSession::on_read(BIO* bio, char* data, int size) noexcept {
    BIO_clear_retry_flags(bio);
    return static_cast<TlsSession*>(BIO_get_data(bio))->receive(bio, data, size);
}

long TlsSession::on_control(BIO* bio, int command, long, void*) noexcept {
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return static_cast<TlsSession*>(BIO_get_data(bio))->ended_ ? 1 : 0;
    return 0;
}

int TlsSession::receive(BIO* bio, char* data, int size) noexcept {
    ssize_t got = -1;
    errno = EAGAIN;
    if (!only_buffered_) {
        do {
            got = ::recv(socket_, data, static_cast<std::size_t>(size), MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
    }
    if (got > 0) {
        const auto first = static_cast<unsigned char>(*data);
        const bool tls = first == handshake_record || (!server_ && first == alert_record);
        foreign_ = !std::exchange(seen_any_, true) && !tls;
        return foreign_ ? -1 : static_cast<int>(got);
    }
    ended_ = got == 0;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        BIO_set_retry_read(bio);
    } else if (got < 0) {
        read_errno_ = errno;
    }
    return static_cast<int>(got);
}

/// What `result` of an SSL function means, if it is a failure; kept. What was written meanwhile, an
/// alert perhaps, is sent.
Error TlsSession::failed(int result) noexcept {
    if (!failure_) failure_ = why(result);
    ERR_clear_error();
    (void)flush();
    return *failure_;
}

Error TlsSession::not_tls() const {
    if (server_) {
        return Error{
            ErrorCode::protocol,
            "net.plain_on_tls_port",
            fmt::format("{} does not speak TLS to a port with TLS", peer_.to_string())
        };
    }
    return Error{
        ErrorCode::unavailable,
        "net.tls_not_spoken",
        fmt::format("{} does not answer in TLS", peer_.to_string())
    };
}

Error TlsSession::why(int result) const noexcept {
    if (foreign_) return not_tls();
    if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL && !ended_ && read_errno_ == 0)
        return tls_failure(ssl_.get(), peer_, server_, established_);
    if (read_errno_ != 0) {
        return lost_in_tls(
            peer_, server_, established_, std::system_category().message(read_errno_)
        );
    }
    return lost_in_tls(peer_, server_, established_, "the connection was cut");
}

Result<bool> TlsSession::shake_hands() noexcept {
    if (failure_) return std::unexpected{*failure_};
    if (established_) return true;
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1 && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ)
        return std::unexpected{failed(result)};
    established_ = result == 1;
    if (established_ && SSL_session_reused(ssl_.get()) == 1)
        sink().count(server_ ? "net_tls_accepted_again_total" : "net_tls_dialled_again_total", 1);
    if (established_ && finishing_) finish();
    if (auto flushed = flush(); !flushed) return flushed;
    return established_;
}

Result<std::optional<std::size_t>> TlsSession::read(std::span<const iovec> space) noexcept {
    const auto ready = shake_hands();
    if (!ready) return std::unexpected{ready.error()};
    if (!*ready) return std::nullopt;
    std::size_t done = 0;
    int result = 1;
    for (const auto& part : space) {
        done += decrypt(part, done > 0, result);
        if (result != 1) break;
    }
    only_buffered_ = false;
    // What else there is to say is said again.
    if (done > 0 || result == 1) return done;
    return nothing_read(result);
}

/// Fills what it can of `part`; `result` is that of the last SSL_read_ex, if there was one. One
/// call to the system is enough for one call of ours: none if `only_rest`.
std::size_t TlsSession::decrypt(const iovec& part, bool only_rest, int& result) noexcept {
    auto* const to = static_cast<std::byte*>(part.iov_base);
    std::size_t filled = 0;
    while (filled < part.iov_len && result == 1) {
        only_buffered_ = only_rest || filled > 0;
        if (only_buffered_ && SSL_has_pending(ssl_.get()) == 0) break;
        std::size_t got = 0;
        ERR_clear_error();
        result = SSL_read_ex(ssl_.get(), to + filled, part.iov_len - filled, &got);
        filled += got;
    }
    return filled;
}

Result<std::optional<std::size_t>> TlsSession::nothing_read(int result) noexcept {
    const int kind = SSL_get_error(ssl_.get(), result);
    if (kind == SSL_ERROR_ZERO_RETURN) return 0;
    if (kind != SSL_ERROR_WANT_READ) return std::unexpected{failed(result)};
    if (auto flushed = flush(); !flushed) return std::unexpected{flushed.error()};
    return std::nullopt;
}

/// Encrypts some records' worth: full ones as long as there is enough, without a copy where a part
/// is large.
bool TlsSession::encrypt(Parts& parts) noexcept {
    static thread_local std::array<std::byte, record> gathered;
    const auto end = parts.taken() + records_at_once * record;
    const auto put = [this](std::span<const std::byte> bytes) {
        std::size_t put = 0;
        return SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &put) == 1;
    };
    while (!parts.empty() && parts.taken() < end) {
        const auto front = parts.front();
        if (front.size() >= record) {
            const auto whole = std::min(front.size() / record, records_at_once) * record;
            if (!put(front.first(whole))) return false;
            parts.take(whole);
            continue;
        }
        std::size_t size = 0;
        while (!parts.empty() && size < record) {
            const auto next = parts.front().first(std::min(parts.front().size(), record - size));
            std::memcpy(gathered.data() + size, next.data(), next.size());
            size += next.size();
            parts.take(next.size());
        }
        if (!put(std::span{gathered}.first(size))) return false;
    }
    return true;
}

/// The socket takes whole records or parts of them, the caller wants to know of its own bytes. When
/// a record does not leave as a whole, its last byte is reported as not taken (`owed_`), so that
/// the caller comes back, with that byte first, and the rest of the record leaves then.
Result<std::size_t> TlsSession::write(std::span<const iovec> parts) noexcept {
    const auto ready = shake_hands();
    if (!ready) return std::unexpected{ready.error()};
    const auto flushed = flush();
    if (!flushed) return std::unexpected{flushed.error()};
    if (finishing_) return std::unexpected{closed()};
    if (!*ready || !*flushed) return 0;
    Parts left{parts};
    if (!left.empty()) left.take(std::exchange(owed_, 0));
    while (!left.empty()) {
        ERR_clear_error();
        if (!encrypt(left)) return std::unexpected{failed(-1)};
        const auto sent = flush();
        if (!sent) return std::unexpected{sent.error()};
        if (*sent) continue;
        owed_ = 1;
        return left.taken() - owed_;
    }
    return left.taken();
}

Result<bool> TlsSession::flush() noexcept {
    if (send_failure_) return std::unexpected{*send_failure_};
    auto& fresh = encrypted();
    if (!pending_.empty()) {
        pending_.insert(pending_.end(), fresh.begin(), fresh.end());
        fresh.clear();
        const auto bytes = std::exchange(pending_, {});
        return send(bytes);
    }
    auto sent = send(fresh);
    fresh.clear();
    return sent;
}

/// Keeps what the socket does not take.
Result<bool> TlsSession::send(std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
        const auto size = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(size));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) break;
        return std::unexpected{cannot_send(errno)};
    }
    pending_.assign(bytes.begin(), bytes.end());
    if (pending_.empty() && finished_) finish_sending();
    return pending_.empty();
}

/// Reading goes on: what came before the loss is there, and an alert that says why perhaps, too.
Error TlsSession::cannot_send(int code) noexcept {
    if (failure_) return *failure_;
    std::array<std::byte, 1> byte{};
    ERR_clear_error();
    const int result = SSL_peek(ssl_.get(), byte.data(), byte.size());
    if (result <= 0 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL && !ended_)
        failure_ = why(result);
    ERR_clear_error();
    send_failure_ = failure_.value_or(
        lost_in_tls(peer_, server_, established_, std::system_category().message(code))
    );
    encrypted().clear();
    return *send_failure_;
}

void TlsSession::finish() noexcept {
    finishing_ = true;
    if (!established_ || failure_ || std::exchange(finished_, true)) return;
    ERR_clear_error();
    (void)SSL_shutdown(ssl_.get());
    ERR_clear_error();
    (void)flush();
}

Error TlsSession::closed() const {
    return Error{
        ErrorCode::disconnected, "net.disconnected", fmt::format("{}: closed", peer_.to_string())
    };
}

void TlsSession::finish_sending() noexcept { (void)::shutdown(socket_, SHUT_WR); }

void TlsSession::close() noexcept {
    finish();
    if (!failure_) failure_ = closed();
    pending_.clear();
}

}  // namespace stator::net
