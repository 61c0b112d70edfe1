#include "store/jetstream/reader.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "store/jetstream/subject.hpp"

namespace stator::store::jetstream {

namespace {

constexpr int status_control = 100;
/// So many signs of life may be missed; a server that is only slow has its time in any case.
constexpr int patience = 4;
constexpr Duration least_silence = std::chrono::seconds{3};

Error lost(std::string_view why) {
    return Error{
        ErrorCode::unavailable, "store.watch_lost", fmt::format("reading the bucket: {}", why)
    };
}

}  // namespace

Reader::Reader(std::shared_ptr<Bucket> bucket, std::string prefix, Duration heartbeat)
    : bucket_{std::move(bucket)}, prefix_{std::move(prefix)}, heartbeat_{heartbeat} {}

Task<std::unique_ptr<Reader>> Reader::open(
    std::shared_ptr<Bucket> bucket, std::string prefix, Duration heartbeat
) {
    std::unique_ptr<Reader> reader{new Reader{std::move(bucket), std::move(prefix), heartbeat}};
    const auto& in = *reader->bucket_;
    const auto inbox = nats::Client::new_inbox();
    // First the place where they go, then what sends them.
    reader->messages_ =
        co_await in.server().client().subscribe({.subjects = {inbox}, .tell_losses = true});
    const auto made = co_await in.server().create_consumer(
        in.stream(),
        {.filter = pattern_of(in.name(), reader->prefix_),
         .last_per_subject = true,
         .deliver_to = inbox,
         .heartbeat = heartbeat},
        in.deadline()
    );
    reader->consumer_ = made.name;
    reader->expected_ = made.pending;
    reader->complete_ = made.pending == 0;
    co_return reader;
}

Task<std::optional<Record>> Reader::next() {
    const auto silence = std::max<Duration>(heartbeat_ * patience, least_silence);
    auto message = co_await as_result(with_deadline(Deadline::in(silence), messages_.next()));
    if (!message) {
        if (message.error().code() != ErrorCode::deadline_exceeded) throw message.error();
        throw lost("the server gives no sign of life");
    }
    const auto& come = *message;
    if (!come) throw lost("the connection is closed");
    co_return handle(*come);
}

std::optional<Record> Reader::handle(const nats::Message& message) {
    if (message.status != 0) {
        handle_status(message);
        return std::nullopt;
    }
    const auto delivery = nats::delivery_of(message.reply);
    if (!delivery || delivery->consumer_sequence != received_ + 1)
        throw lost("a message is missing");
    ++received_;
    // What was there may have been written over meanwhile, and comes later then: or have run out.
    if (delivery->pending == 0 || received_ >= expected_) complete_ = true;
    auto record = record_of(bucket_->name(), message);
    if (!record || !record->entry.key.starts_with(prefix_)) return std::nullopt;
    record->came_as(delivery->sequence);
    return record;
}

/// The server's own messages: that it waits until we have got so far, or that there is no news.
void Reader::handle_status(const nats::Message& message) {
    if (message.status == nats::connection_lost) throw lost("the connection was lost");
    if (message.status != status_control)
        throw lost(fmt::format("the server ended it with status {}", message.status));
    const auto& client = bucket_->server().client();
    const auto* const stalled = message.header("Nats-Consumer-Stalled");
    const auto& waits_for = stalled != nullptr ? *stalled : message.reply;
    if (!waits_for.empty()) (void)client.publish({.subject = waits_for});
    const auto* const last = message.header("Nats-Last-Consumer");
    if (last == nullptr) return;
    if (*last != std::to_string(received_)) throw lost("a message is missing");
    // It is sent when there is nothing else to send.
    if (stalled == nullptr) complete_ = true;
}

Task<> Reader::close() {
    messages_.close();
    if (consumer_.empty()) co_return;
    (void)co_await as_result(
        bucket_->server().delete_consumer(bucket_->stream(), consumer_, bucket_->deadline())
    );
}

}  // namespace stator::store::jetstream
