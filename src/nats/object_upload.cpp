#include "nats/object_upload.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "nats/repeated.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::nats {

namespace {

/// What is on its way, in bytes, if chunks are no larger; and in chunks.
constexpr std::size_t window_bytes = std::size_t{2} << 20U;
constexpr std::size_t least_window = 2;
constexpr std::size_t most_window = 64;

std::size_t window_of(std::size_t chunk_size) {
    return std::clamp(window_bytes / chunk_size, least_window, most_window);
}

}  // namespace

ObjectUpload::ObjectUpload(JetStream server, Options options, const ObjectSource* source)
    : server_{std::move(server)},
      options_{std::move(options)},
      source_{source},
      window_{window_of(options_.chunk_size)} {}

Task<> ObjectUpload::run() {
    const auto sent = co_await as_result(send_all());
    // What is on its way is waited for, or it would arrive after the rest was removed.
    co_await shielded(sending_.join());
    if (sent && !failure_ && !std::ranges::is_sorted(sequences_))
        failure_ = Error{ErrorCode::internal, "nats.object_order", "chunks changed their order"};
    if (sent && !failure_) co_return;
    if (!sequences_.empty())
        co_await shielded(
            remove_chunks(server_, options_.stream, options_.subject, options_.call_timeout)
        );
    throw failure_ ? *failure_ : sent.error();
}

bool ObjectUpload::may_be_repeated() const noexcept {
    return failure_ && may_pass(*failure_) && failure_->detail() != "nats.jetstream";
}

/// Full, but for the last one: whatever pieces the source has.
Task<Bytes> ObjectUpload::next_chunk() {
    auto piece = co_await (*source_)(size_, options_.chunk_size);
    if (piece.size() > options_.chunk_size)
        throw Error{
            ErrorCode::internal, "nats.object_source", "a source gave more than it was asked for"
        };
    size_ += piece.size();
    co_return piece;
}

Task<> ObjectUpload::send_all() {
    const auto token = co_await current_token();
    for (;;) {
        auto place = co_await window_.acquire();
        if (failure_) co_return;
        auto chunk = co_await next_chunk();
        // Nothing else notices it where the source and the server have always been faster.
        if (token.cancelled()) runtime::detail::throw_cancelled(token);
        const bool last = chunk.size() < options_.chunk_size;
        sha256_.add(chunk.span());
        if (!chunk.empty()) {
            sequences_.push_back(0);
            sending_.spawn(send(std::move(chunk), sequences_.size() - 1, std::move(place)));
        }
        if (last) co_return;
    }
}

// Tasks that were spawned begin in their order, and so do their messages.
Task<> ObjectUpload::send(Bytes chunk, std::size_t number, Permit /*place*/) {
    if (failure_) co_return;
    const auto stored = co_await as_result(server_.publish(
        {.subject = options_.subject, .payload = std::move(chunk)},
        Deadline::in(options_.call_timeout)
    ));
    if (stored) {
        sequences_[number] = stored->sequence;
    } else if (!failure_) {
        failure_ = stored.error();
    }
}

Task<> remove_chunks(JetStream server, std::string stream, std::string subject, Duration time) {
    const auto removed = co_await as_result(repeated<std::uint64_t>(
        [&](Deadline attempt) { return server.purge(stream, subject, attempt); }, Deadline::in(time)
    ));
    if (removed || removed.error().detail() == "nats.no_stream") co_return;
    sink().count("nats_object_chunks_left_total", 1);
    sink().report(
        Severity::warn,
        "stator::nats",
        fmt::format("chunks stay at {} in {}: {}", subject, stream, removed.error().what())
    );
}

}  // namespace stator::nats
