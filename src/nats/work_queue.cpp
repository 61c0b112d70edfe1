#include "stator/nats/work_queue.hpp"

#include <algorithm>
#include <deque>
#include <utility>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

using namespace std::chrono_literals;

namespace {

constexpr auto consumer_name = "worker-group";
constexpr Duration duplicate_window = 2min;
/// The longest that the server is asked to wait for an item.
constexpr Duration longest_pull = 30s;
/// A pull of which nothing is heard for so long after its end is lost.
constexpr Duration pull_slack = 1s;
constexpr Duration attempt_time = 2s;
/// Of a queue that is closed, to a server that may be away.
constexpr Duration last_words = 1s;
constexpr std::string_view repeated_header = "X-Stator-Repeated";
constexpr int status_control = 100;
constexpr BackoffPolicy between_attempts{.initial = 20ms, .max = 500ms, .factor = 2.0};

std::string stream_name(std::string name) {
    std::ranges::replace(name, '/', '_');
    std::ranges::replace(name, '\\', '_');
    if (is_stream_name(name)) return name;
    throw Error{
        ErrorCode::invalid_request,
        "nats.queue",
        "the name of a queue is 1 to 200 letters, digits, -, _, / and \\"
    };
}

bool may_be_tried_again(const Error& error) {
    return may_pass(error) || error.detail() == "nats.no_stream" ||
           error.detail() == "nats.no_consumer";
}

/// It may be stored, and even done: then a server that was killed meanwhile does not know its id
/// any more, and stores it again.
void mark_repeated(Publication& message, const Error& error) {
    const bool unsent = error.detail() == "nats.disconnected";
    if (!unsent && message.headers.size() == 1)
        message.headers.push_back({std::string{repeated_header}, "1"});
}

Error closed_error() { return {ErrorCode::unavailable, "nats.closed", "the queue is closed"}; }

Task<> until_set(Event* event) { co_await event->wait(); }

}  // namespace

// ---- WorkItem

WorkItem::WorkItem(
    Terms terms, Message message, Delivery delivery, TimePoint received, bool doubtful
)
    : terms_{std::move(terms)},
      message_{std::move(message)},
      delivery_{delivery},
      due_{Deadline::at(received + terms_.ack_wait)},
      doubtful_{doubtful} {}

/// Again and again while there is no connection: it means the same each time.
Task<> WorkItem::tell(std::string what) const {
    const auto client = terms_.client;
    const auto subject = message_.reply;
    const auto until = Deadline::in(terms_.call_timeout);
    Backoff backoff{between_attempts};
    for (;;) {
        const auto told = co_await as_result(client.request(
            {.subject = subject, .payload = Bytes::copy_of(what)},
            earliest(until, Deadline::in(attempt_time))
        ));
        if (told) co_return;
        if (!may_be_tried_again(told.error()) || until.passed()) throw told.error();
        co_await sleep_until(earliest(until, Deadline::in(backoff.next())));
    }
}

Task<> WorkItem::acknowledge() { return tell("+ACK"); }
Task<> WorkItem::discard() { return tell("+TERM"); }

Task<> WorkItem::give_back(Duration delay) {
    return tell(
        delay == Duration::zero() ? "-NAK" : fmt::format(R"(-NAK {{"delay": {}}})", delay.count())
    );
}

Task<> WorkItem::in_progress() {
    const auto asked = Clock::current().now();
    co_await tell("+WPI");
    due_ = Deadline::at(asked + terms_.ack_wait);
}

// ---- WorkQueue

struct WorkQueue::State {
    State(Client client, WorkQueueOptions options_)
        : server{std::move(client)},
          options{std::move(options_)},
          stream{stream_name(options.name)} {}

    Task<> ensure(Deadline deadline);
    Task<std::optional<WorkItem>> take(Deadline deadline);
    void gather();
    Task<> settle(Deadline deadline);
    std::optional<WorkItem> left_over();
    Task<std::optional<Message>> answer(Deadline deadline);
    std::optional<WorkItem> understood(Message message);
    Result<void> pull(Deadline deadline);
    std::optional<WorkItem> item_of(Message message, TimePoint received) const;
    Task<> recover(Deadline deadline);
    Task<> give_back_all();
    WorkItem::Terms terms() const {
        return {server.client(), options.ack_wait, options.call_timeout};
    }

    const JetStream server;
    const WorkQueueOptions options;
    const std::string stream;
    std::string inbox;
    Subscription messages;
    Semaphore turn{1};
    Event closed;

    // Of whoever has the turn. The server has been asked for one item, and has not answered yet.
    bool pulling = false;
    TimePoint pulled_at{};
    Deadline pull_ends;
    /// What was enqueued up to here may have been given to somebody, and the server forgot.
    std::uint64_t doubtful_until = 0;
    bool in_doubt = false;
    /// What came while nobody waited, and when at the earliest.
    struct LeftOver {
        Message message;
        TimePoint came_after;
    };
    std::deque<LeftOver> left;
    TimePoint last_empty{};  // the mailbox was
    Backoff backoff{between_attempts};
};

Task<> WorkQueue::State::ensure(Deadline deadline) {
    co_await server.create_stream(
        {.name = stream,
         .subjects = {stream + ".*"},
         .work_queue = true,
         .max_age = options.max_age,
         .duplicate_window = options.max_age == Duration::zero()
                                 ? duplicate_window
                                 : std::min(duplicate_window, options.max_age),
         .replicas = options.replicas},
        deadline
    );
    co_await server.create_consumer(
        stream,
        {.durable = consumer_name,
         .ack_wait = options.ack_wait,
         .most_deliveries = options.most_deliveries,
         .most_unacknowledged = options.most_in_work},
        deadline
    );
}

Task<WorkQueue> WorkQueue::open(Client client, WorkQueueOptions options) {
    auto state = std::make_shared<State>(std::move(client), std::move(options));
    const auto until = Deadline::in(state->options.call_timeout);
    co_await state->ensure(until);
    state->inbox = Client::new_inbox();
    state->messages =
        co_await state->server.client().subscribe({.subjects = {state->inbox}, .tell_losses = true}
        );
    co_return WorkQueue{std::move(state)};
}

Task<std::uint64_t> WorkQueue::enqueue(Bytes payload, std::string id) const {
    const auto state = state_;
    const auto until = Deadline::in(state->options.call_timeout);
    if (id.empty()) id = fmt::format("{:016x}{:016x}", thread_random()(), thread_random()());
    Publication message{
        .subject = state->stream + ".queue",
        .payload = std::move(payload),
        .headers = {{std::string{message_id_header}, std::move(id)}}
    };
    Backoff backoff{between_attempts};
    for (;;) {
        const auto attempt = earliest(until, Deadline::in(attempt_time));
        const auto stored = co_await as_result(state->server.publish(message, attempt));
        if (stored) co_return stored->sequence;
        if (!may_pass(stored.error()) || until.passed()) throw stored.error();
        if (stored.error().detail() == "nats.no_responders") {
            co_await state->ensure(until);  // it was wiped
            continue;
        }
        mark_repeated(message, stored.error());
        co_await sleep_until(earliest(until, Deadline::in(backoff.next())));
    }
}

Task<std::optional<WorkItem>> WorkQueue::dequeue(Deadline deadline) const {
    const auto state = state_;
    auto turn =
        co_await as_result(with_deadline(deadline, [](std::shared_ptr<State> of) -> Task<Permit> {
            co_return co_await of->turn.acquire();
        }(state)));
    if (!turn && turn.error().code() == ErrorCode::deadline_exceeded) co_return std::nullopt;
    if (!turn) throw turn.error();
    co_return co_await state->take(deadline);
}

/// Asks the server for one item.
Result<void> WorkQueue::State::pull(Deadline deadline) {
    const auto now = Clock::current().now();
    const auto time = std::clamp<Duration>(deadline.remaining(), 1ms, longest_pull);
    auto asked = server.client().publish(
        {.subject = fmt::format("$JS.API.CONSUMER.MSG.NEXT.{}.{}", stream, consumer_name),
         .payload = Bytes::copy_of(fmt::format(R"({{"batch":1,"expires":{}}})", time.count())),
         .reply = inbox}
    );
    if (!asked) return asked;
    pulling = true;
    pulled_at = now;
    pull_ends = Deadline::at(now + time + pull_slack);
    return {};
}

/// Nothing if it is no item.
std::optional<WorkItem> WorkQueue::State::item_of(Message message, TimePoint received) const {
    const auto delivery = message.status == 0 ? delivery_of(message.reply) : std::nullopt;
    if (!delivery) return std::nullopt;
    const bool doubtful =
        delivery->sequence <= doubtful_until || message.header(repeated_header) != nullptr;
    return WorkItem{terms(), std::move(message), *delivery, received, doubtful};
}

/// The connection was lost, or what was asked is not there: waits, and sees to it that it is.
Task<> WorkQueue::State::recover(Deadline deadline) {
    pulling = false;
    // Whoever has little time uses half of it for the attempt, or would never get to one.
    const auto pause = std::min<Duration>(backoff.next(), deadline.remaining() / 2);
    co_await sleep_until(Deadline::in(pause));
    const auto attempt = earliest(deadline, Deadline::in(attempt_time));
    co_await ensure(attempt);
    const auto state = co_await server.stream(stream, attempt);
    if (!state) throw Error{ErrorCode::not_found, "nats.no_stream", "the queue was deleted"};
    doubtful_until = std::max(doubtful_until, state->last_sequence);
    in_doubt = false;
    backoff.reset();
}

/// Takes what came while nobody waited: for a call that was cancelled, or because the client has
/// sent what was asked of the last connection to the next one.
void WorkQueue::State::gather() {
    while (auto message = messages.try_next()) {
        if (message->status == connection_lost) in_doubt = true;
        if (message->status == status_control) continue;
        pulling = false;
        if (message->status == 0)
            left.push_back({std::move(*message), std::max(pulled_at, last_empty)});
    }
    last_empty = Clock::current().now();
}

/// Returns when nothing is in doubt and the mailbox is empty. Before that no item may be given to
/// anybody: whether it has to be marked is not known.
Task<> WorkQueue::State::settle(Deadline deadline) {
    for (gather(); in_doubt; gather()) {
        // A server that is away may be so for as long as the caller waits, the end does not.
        const auto settled = co_await as_result(when_any(recover(deadline), until_set(&closed)));
        if (closed.is_set()) throw closed_error();
        if (settled) continue;
        if (!may_be_tried_again(settled.error()) || deadline.passed()) throw settled.error();
    }
}

/// How long ago it came is not known, only how long at most; one that may have gone to somebody
/// else by now comes again by itself.
std::optional<WorkItem> WorkQueue::State::left_over() {
    while (!left.empty()) {
        auto [message, came_after] = std::move(left.front());
        left.pop_front();
        const bool fresh = Clock::current().now() - came_after < options.ack_wait / 2;
        auto item = item_of(std::move(message), came_after);
        if (item && fresh) return item;
    }
    return std::nullopt;
}

/// What the server says; nothing once it is too late to wait.
Task<std::optional<Message>> WorkQueue::State::answer(Deadline deadline) {
    const auto until = earliest(deadline, pull_ends);
    auto outcome = co_await as_result(with_deadline(until, messages.next()));
    if (!outcome && outcome.error().code() == ErrorCode::deadline_exceeded) {
        if (pull_ends.passed()) pulling = false;
        co_return std::nullopt;
    }
    if (!outcome) throw outcome.error();
    if (*outcome) co_return std::move(*outcome);
    throw closed_error();
}

/// The item, if it is one. Otherwise nothing came in time; or there is no such consumer, or nobody
/// answers any more.
std::optional<WorkItem> WorkQueue::State::understood(Message message) {
    constexpr int no_messages = 404;
    constexpr int timed_out = 408;
    const int status = message.status;
    if (status == status_control) return std::nullopt;
    pulling = false;
    auto item = item_of(std::move(message), Clock::current().now());
    if (item) {
        backoff.reset();
    } else if (status != no_messages && status != timed_out) {
        in_doubt = true;
    }
    return item;
}

Task<std::optional<WorkItem>> WorkQueue::State::take(Deadline deadline) {
    do {
        co_await settle(deadline);
        if (auto item = left_over()) co_return item;
        if (const auto asked = pulling ? Result<void>{} : pull(deadline); !asked) {
            if (!may_be_tried_again(asked.error())) throw asked.error();
            in_doubt = true;
            continue;
        }
        auto message = co_await answer(deadline);
        if (!message) continue;
        if (auto item = understood(std::move(*message))) co_return item;
    } while (!deadline.passed());
    co_return std::nullopt;
}

Task<QueueSize> WorkQueue::size() const {
    const auto state = state_;
    const auto now = co_await state->server.consumer(
        state->stream, consumer_name, Deadline::in(state->options.call_timeout)
    );
    co_return QueueSize{now.pending, now.unacknowledged};
}

Task<> WorkQueue::close() const {
    const auto state = state_;
    // Whoever waits with the turn in its hands ends.
    state->closed.set();
    state->messages.close();
    const auto turn = co_await state->turn.acquire();
    state->gather();
    (void)co_await as_result(with_deadline(Deadline::in(last_words), state->give_back_all()));
}

Task<> WorkQueue::State::give_back_all() {
    for (auto& [message, came_after] : std::exchange(left, {})) {
        if (auto item = item_of(std::move(message), came_after))
            (void)co_await as_result(item->give_back());
    }
}

}  // namespace stator::nats
