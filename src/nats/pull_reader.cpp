#include "nats/pull_reader.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

using namespace std::chrono_literals;

namespace {

constexpr int status_control = 100;
constexpr Duration attempt_time = 2s;
constexpr BackoffPolicy between_attempts{.initial = 20ms, .max = 500ms, .factor = 2.0};

Error lost(std::string_view why) {
    return Error{
        ErrorCode::unavailable, "nats.reader_lost", fmt::format("reading a stream: {}", why)
    };
}

}  // namespace

PullReader::PullReader(JetStream server, Options options)
    : server_{std::move(server)}, options_{std::move(options)} {}

PullReader::~PullReader() { leave(); }

void PullReader::leave() {
    open_ = false;
    messages_ = {};
    if (consumer_.empty()) return;
    // Nobody waits for the answer: it ends by itself, too.
    (void)server_.client().publish(
        {.subject = fmt::format(
             "$JS.API.CONSUMER.DELETE.{}.{}", options_.stream, std::exchange(consumer_, {})
         ),
         .reply = Client::new_inbox()}
    );
}

Task<std::optional<Message>> PullReader::next() {
    const auto until = Deadline::in(options_.call_timeout);
    Backoff backoff{between_attempts};
    for (;;) {
        auto message = co_await as_result(step(earliest(until, Deadline::in(attempt_time))));
        if (message) co_return std::move(*message);
        if (!may_pass(message.error()) || until.passed()) throw message.error();
        leave();
        co_await sleep_until(earliest(until, Deadline::in(backoff.next())));
    }
}

Task<> PullReader::open(Deadline until) {
    inbox_ = Client::new_inbox();
    messages_ = co_await with_deadline(
        until, server_.client().subscribe({.subjects = {inbox_}, .tell_losses = true})
    );
    const auto made = co_await server_.create_consumer(
        options_.stream, {.filter = options_.filter, .from_sequence = next_sequence_}, until
    );
    consumer_ = made.name;
    pending_ = made.pending;
    received_ = asked_ = 0;
    open_ = true;
}

/// Once half of what was asked has come, so that some is always on its way.
void PullReader::ask_for_more() {
    if (asked_ > options_.batch / 2) return;
    const auto count = std::min(options_.batch, pending_) - asked_;
    if (count == 0) return;
    const auto asked = server_.client().publish(
        {.subject = fmt::format("$JS.API.CONSUMER.MSG.NEXT.{}.{}", options_.stream, consumer_),
         .payload = Bytes::copy_of(fmt::format(R"({{"batch":{},"no_wait":true}})", count)),
         .reply = inbox_}
    );
    if (!asked) throw asked.error();
    asked_ += count;
}

/// False for what is none. Throws when something is missing before it, or it has gone meanwhile:
/// then a new consumer knows what there still is.
bool PullReader::is_next(const Message& message) {
    if (message.status == status_control) return false;
    if (message.status != 0) throw lost(fmt::format("it ended with status {}", message.status));
    const auto delivery = delivery_of(message.reply);
    if (!delivery || delivery->consumer_sequence != received_ + 1)
        throw lost("a message is missing");
    ++received_;
    asked_ -= std::min<std::uint64_t>(asked_, 1);
    pending_ = delivery->pending;
    next_sequence_ = delivery->sequence + 1;
    return true;
}

Task<std::optional<Message>> PullReader::step(Deadline until) {
    if (!open_) co_await open(until);
    for (;;) {
        if (pending_ == 0) co_return std::nullopt;
        ask_for_more();
        auto message = co_await with_deadline(until, messages_.next());
        if (!message) throw lost("the connection is closed");
        if (is_next(*message)) co_return message;
    }
}

}  // namespace stator::nats
