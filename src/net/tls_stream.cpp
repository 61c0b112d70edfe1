#include "net/tls_stream.hpp"

namespace stator::net {

Task<> TlsStream::reads_again() {
    return session_->reads_after_write() ? socket_->writable() : socket_->readable();
}

Task<> TlsStream::shake_hands() {
    for (;;) {
        const auto done = session_->shake_hands();
        if (!done) throw done.error();
        if (*done) co_return;
        co_await reads_again();
    }
}

Task<std::size_t> TlsStream::read_some(std::span<const iovec> space) {
    auto read = co_await receive(space);
    if (!read) throw read.error();
    co_return *read;
}

Task<Result<std::size_t>> TlsStream::receive(std::span<const iovec> space) {
    for (;;) {
        const auto read = session_->read(space);
        if (!read) co_return std::unexpected{read.error()};
        const auto& size = *read;
        if (size) co_return *size;
        const auto again = co_await as_result(reads_again());
        if (again) continue;
        if (again.error().code() == ErrorCode::cancelled) throw again.error();
        co_return std::unexpected{again.error()};
    }
}

Result<std::size_t> TlsStream::try_write(std::span<const iovec> parts) noexcept {
    return session_->write(parts);
}

Task<> TlsStream::writable() {
    // Also when somebody else reads meanwhile: whoever is woken first goes on with the handshake.
    co_await shake_hands();
    for (;;) {
        const auto flushed = session_->flush();
        if (!flushed) throw flushed.error();
        if (*flushed) co_return;
        co_await socket_->writable();
    }
}

void TlsStream::shutdown_write() noexcept { session_->finish(); }

void TlsStream::close() noexcept {
    session_->close();
    socket_->close();
}

}  // namespace stator::net
