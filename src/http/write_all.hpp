// Writing a text to a stream, however slowly it takes it.
#pragma once

#include <string>

#include "stator/net/stream.hpp"

namespace stator::http {

/// Errors: `disconnected`. Cancel safety: throws `cancelled`; a part may have been written.
inline Task<> write_all(net::Stream* stream, std::string text) {
    std::size_t sent = 0;
    while (sent < text.size()) {
        const iovec part{text.data() + sent, text.size() - sent};
        const auto written = stream->try_write({&part, 1});
        if (!written) throw written.error();
        sent += *written;
        if (*written == 0) co_await stream->writable();
    }
    // TLS may hold the last part back.
    co_await stream->writable();
}

}  // namespace stator::http
