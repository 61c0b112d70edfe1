#include "cli/line_writer.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

constexpr std::size_t most_pending = 256U << 10U;
constexpr int patience = 50;  // ms between two looks at whether the rest was given up

std::string reason_of(int number) { return std::system_category().message(number); }

Task<> wait_for(Event* event) { co_await event->wait(); }

}  // namespace

LineWriter::LineWriter(BlockingPool& pool, int fd, CancellationToken producers)
    : pool_{pool}, fd_{fd}, producers_{std::move(producers)} {
    room_.set();
}

std::optional<Error> LineWriter::failure() const {
    if (!failed_) return std::nullopt;
    return output_error();
}

Error LineWriter::output_error() const {
    const std::lock_guard guard{lock_};
    const bool unread = error_number_ == 0;
    // A reader that has left has asked for the end, as Ctrl-C does.
    return Error{
        unread || error_number_ == EPIPE ? ErrorCode::cancelled : ErrorCode::internal,
        "cli.output",
        fmt::format(
            "cannot write to standard output: {}",
            unread ? "it was not read in time" : reason_of(error_number_)
        )
    };
}

Task<> LineWriter::put(std::string line) {
    line += '\n';
    if (failed_) throw output_error();
    {
        const std::lock_guard guard{lock_};
        pending_ += line;
        data_.set();
        if (pending_.size() < most_pending) co_return;
        room_.reset();
    }
    co_await room_.wait();
    if (failed_) throw output_error();
}

std::string LineWriter::take() {
    const std::lock_guard guard{lock_};
    if (!closed_) data_.reset();
    return std::exchange(pending_, {});
}

/// Blocks, on a thread that is there for that. A write to a pipe that poll calls writable takes
/// PIPE_BUF bytes without waiting, so giving up is noticed within `patience`.
LineWriter::Outcome LineWriter::write(const std::string& text) const {
    std::size_t at = 0;
    while (at < text.size()) {
        pollfd ready{fd_, POLLOUT, 0};
        const int polled = ::poll(&ready, 1, patience);
        if (abandoned_) return Outcome::failed;
        if (polled == 0 || (polled < 0 && errno == EINTR)) continue;
        const auto size = std::min<std::size_t>(text.size() - at, PIPE_BUF);
        const auto written = ::write(fd_, text.data() + at, size);
        if (written >= 0) {
            at += static_cast<std::size_t>(written);
        } else if (errno != EINTR && errno != EAGAIN) {
            const std::lock_guard guard{lock_};
            error_number_ = errno;
            return Outcome::failed;
        }
    }
    return Outcome::written;
}

void LineWriter::wrote(Outcome outcome) {
    const std::lock_guard guard{lock_};
    if (outcome == Outcome::failed) failed_ = true;
    if (failed_ || pending_.size() < most_pending) room_.set();
}

Task<> LineWriter::run() {
    while (!failed_) {
        co_await data_.wait();
        std::string batch = take();
        if (batch.empty()) break;  // finished
        auto* self = this;
        wrote(co_await offload(pool_, [self, text = std::move(batch)] { return self->write(text); })
        );
    }
    if (failed_) producers_.cancel();
    done_.set();
}

Task<> LineWriter::finish(Deadline deadline) {
    {
        const std::lock_guard guard{lock_};
        closed_ = true;
        data_.set();
    }
    const auto in_time = co_await as_result(shielded(with_deadline(deadline, wait_for(&done_))));
    if (!in_time) {
        abandoned_ = true;
        co_await shielded(wait_for(&done_));
    }
    if (failed_) throw output_error();
}

Result<void> print(const std::string& text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    if (written && std::fflush(stdout) == 0) return {};
    return fail(
        ErrorCode::unavailable,
        "cli.output",
        fmt::format("cannot write to standard output: {}", reason_of(errno))
    );
}

}  // namespace stator::cli
