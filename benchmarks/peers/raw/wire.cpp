#include "raw/wire.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench::raw {
namespace {

constexpr std::size_t receive_size = 256U << 10;

}  // namespace

Connection::Connection(int fd) : fd_{fd}, in_(receive_size) {
    const int on = 1;
    if (setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("TCP_NODELAY");
}

Connection::~Connection() { close(fd_); }

bool Connection::receive() {
    if (parsed_ != 0) {
        std::memmove(in_.data(), in_.data() + parsed_, filled_ - parsed_);
        filled_ -= parsed_;
        parsed_ = 0;
    }
    if (filled_ == in_.size()) in_.resize(in_.size() * 2);
    const auto received = recv(fd_, in_.data() + filled_, in_.size() - filled_, MSG_DONTWAIT);
    if (received > 0) filled_ += static_cast<std::size_t>(received);
    return received > 0 || (received < 0 && (errno == EAGAIN || errno == EINTR));
}

std::optional<Frame> Connection::next() {
    const auto available = filled_ - parsed_;
    Frame frame;
    if (available < sizeof frame.header) return std::nullopt;
    std::memcpy(&frame.header, in_.data() + parsed_, sizeof frame.header);
    if (available - sizeof frame.header < frame.header.length) return std::nullopt;
    frame.payload = std::span{in_}.subspan(parsed_ + sizeof frame.header, frame.header.length);
    parsed_ += sizeof frame.header + frame.header.length;
    return frame;
}

void Connection::append(const Header& header, std::span<const std::byte> payload) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&header);
    out_.insert(out_.end(), bytes, bytes + sizeof header);
    out_.insert(out_.end(), payload.begin(), payload.end());
}

bool Connection::flush() {
    if (unsent() == 0) return true;
    const auto sent = send(fd_, out_.data() + sent_, unsent(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    sent_ += static_cast<std::size_t>(sent);
    if (sent_ == out_.size()) {
        out_.clear();
        sent_ = 0;
    } else if (congested()) {
        // Drop what is sent while the buffer is large, or a slow reader would keep the sent part
        // growing.
        out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(sent_));
        sent_ = 0;
    }
    return true;
}

void fail(std::string_view what) {
    std::fprintf(
        stderr,
        "error: %.*s: %s\n",
        static_cast<int>(what.size()),
        what.data(),
        std::strerror(errno)
    );
    std::exit(1);
}

std::optional<timespec> wait_until(std::optional<TimePoint> due) {
    if (!due) return std::nullopt;
    const auto left = std::max(nanoseconds{0}, nanoseconds{*due - Clock::now()});
    const auto whole = std::chrono::floor<std::chrono::seconds>(left);
    return timespec{.tv_sec = whole.count(), .tv_nsec = (left - whole).count()};
}

}  // namespace bench::raw
