#include "stator/runtime/readiness.hpp"

#include <unistd.h>

#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <fmt/format.h>

#include "stator/runtime/asio.hpp"

namespace stator::inline runtime {

namespace {

using Stream = boost::asio::posix::stream_descriptor;

[[noreturn]] void throw_fd_error(std::string_view doing, const boost::system::error_code& code) {
    throw Error{ErrorCode::internal, "runtime.fd", fmt::format("{}: {}", doing, code.message())};
}

Task<> wait_for(Stream* stream, Stream::wait_type what) {
    const auto token = co_await current_token();
    if (token.cancelled()) detail::throw_cancelled(token);
    const auto code = co_await stream->async_wait(what, use_task);
    if (!code) co_return;
    if (code == boost::asio::error::operation_aborted && token.cancelled())
        detail::throw_cancelled(token);
    throw_fd_error("waiting for a descriptor", code);
}

/// Gives the descriptor back to its owner instead of closing it.
class Borrowed {
public:
    Borrowed(Loop& loop, int fd) : stream_{reactor_of(loop)} {
        boost::system::error_code code;
        stream_.assign(fd, code);
        if (code) throw_fd_error("registering a descriptor", code);
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    ~Borrowed() { stream_.release(); }
    Stream& stream() noexcept { return stream_; }

private:
    Stream stream_;
};

Task<> wait_for_borrowed(int fd, Stream::wait_type what) {
    const Env& env = co_await current_env();
    Borrowed descriptor{*env.loop, fd};
    co_await wait_for(&descriptor.stream(), what);
}

}  // namespace

struct Descriptor::State {
    State(Loop& loop, int fd) : stream{reactor_of(loop)} {
        boost::system::error_code code;
        stream.assign(fd, code);
        if (!code) return;
        if (fd >= 0) ::close(fd);
        throw_fd_error("registering a descriptor", code);
    }
    Stream stream;
};

Descriptor::Descriptor(Loop& loop, int fd) : state_{std::make_unique<State>(loop, fd)} {}
Descriptor::Descriptor(Descriptor&&) noexcept = default;
Descriptor& Descriptor::operator=(Descriptor&&) noexcept = default;
Descriptor::~Descriptor() = default;

int Descriptor::fd() const noexcept { return state_->stream.native_handle(); }

Task<> Descriptor::readable() { return wait_for(&state_->stream, Stream::wait_read); }
Task<> Descriptor::writable() { return wait_for(&state_->stream, Stream::wait_write); }

Task<> readable(int fd) { return wait_for_borrowed(fd, Stream::wait_read); }
Task<> writable(int fd) { return wait_for_borrowed(fd, Stream::wait_write); }

}  // namespace stator::inline runtime
