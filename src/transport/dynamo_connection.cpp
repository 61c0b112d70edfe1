#include "transport/dynamo_connection.hpp"

#include <utility>

#include <fmt/format.h>

#include "transport/dynamo_error.hpp"
#include "transport/dynamo_plane.hpp"
#include "transport/dynamo_writer.hpp"

namespace stator::transport {
namespace {

/// A frame that grows by so much in the time for one is coming in.
constexpr std::size_t least_progress = 64U << 10U;

}  // namespace

DynamoConnection::FrameTimer::FrameTimer(DynamoConnection& connection_) noexcept
    : Timer{[](Timer& timer) noexcept {
          static_cast<FrameTimer&>(timer).connection.on_frame_time();
      }},
      connection{connection_} {}

DynamoConnection::DynamoConnection(DynamoPlane& plane, net::Address peer)
    : plane_{plane},
      loop_{*Loop::current()},
      peer_{std::move(peer)},
      reader_{plane.config().max_request, plane.config().process},
      link_{*this, plane.config().most_unwritten, plane.config().process.get()} {}

DynamoConnection::~DynamoConnection() { loop_.remove_timer(timer_); }

Task<> DynamoConnection::run(std::unique_ptr<net::Stream> stream, Bytes sniffed) {
    reader_.feed(sniffed.span());
    take_frames();
    co_await link_.run(std::move(stream));
}

void DynamoConnection::received(std::size_t size) {
    reader_.received(size);
    take_frames();
}

void DynamoConnection::take_frames() {
    while (!link_.full()) {
        auto read = reader_.next();
        if (!read) return refuse(read.error());
        auto& frame = *read;
        if (!frame) {
            link_.resume();
            return watch_frame();
        }
        ++frames_;
        dynamo::put_ack(link_.output(), plane_.accept(std::move(*frame), peer_));
        link_.touch();
    }
    link_.pause();
    link_.expect_reader(plane_.config().close_timeout);
}

/// The stream of frames is of no more use.
void DynamoConnection::refuse(const Error& error) {
    plane_.violated(peer_, error);
    dynamo::put_ack(link_.output(), dynamo::read_error_text(error));
    link_.close_when_written(plane_.config().close_timeout);
}

void DynamoConnection::peer_finished() noexcept {
    link_.close_when_written(plane_.config().close_timeout);
}

void DynamoConnection::writable() noexcept { take_frames(); }

void DynamoConnection::lost(const Error& why) noexcept {
    if (why.detail() == "dynamo.unread") plane_.violated(peer_, why);
    loop_.remove_timer(timer_);
}

void DynamoConnection::watch_frame() noexcept {
    if (reader_.begun() == 0 || timer_.waiting()) return;
    frames_then_ = frames_;
    begun_then_ = reader_.begun();
    timer_.when = loop_.now() + plane_.config().frame_timeout;
    loop_.add_timer(timer_);
}

void DynamoConnection::on_frame_time() noexcept {
    const auto begun = reader_.begun();
    if (begun == 0 || link_.paused()) return;
    if (frames_ != frames_then_ || begun >= begun_then_ + least_progress) return watch_frame();
    plane_.violated(
        peer_,
        Error{
            ErrorCode::protocol,
            "dynamo.half_frame",
            fmt::format("{} bytes of a request and not the rest in time", begun)
        }
    );
    link_.close();
}

}  // namespace stator::transport
