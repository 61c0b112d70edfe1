#include "nats/session.hpp"

#include <charconv>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

namespace {

Message loss() {
    Message message;
    message.status = connection_lost;
    return message;
}

Message copied(const Incoming& incoming) {
    Message message{
        .subject = std::string{incoming.subject},
        .reply = std::string{incoming.reply},
        .payload = Bytes::copy_of(incoming.payload),
        .headers = {},
        .status = incoming.status,
    };
    message.headers.reserve(incoming.headers.size());
    for (const auto& [key, value] : incoming.headers)
        message.headers.push_back({std::string{key}, std::string{value}});
    return message;
}

}  // namespace

Error Session::closed() {
    return Error{ErrorCode::unavailable, "nats.closed", "the NATS client is closed"};
}

Session::Session(Loop& loop, ClientOptions options)
    : loop_{loop}, options_{std::move(options)}, inbox_{Client::new_inbox()} {}

Session::~Session() = default;

void Session::on_message(std::uint64_t subscription, const Incoming& incoming) noexcept {
    auto message = copied(incoming);
    in_messages_.fetch_add(1, std::memory_order_relaxed);
    in_bytes_.fetch_add(message.size(), std::memory_order_relaxed);
    if (subscription == inbox_subscription) return answer(std::move(message));
    std::shared_ptr<Mailbox> mailbox;
    {
        const std::lock_guard guard{lock_};
        if (const auto found = subscribed_.find(subscription); found != subscribed_.end())
            mailbox = found->second.mailbox;
    }
    if (mailbox) mailbox->put(std::move(message));
}

void Session::answer(Message message) {
    std::string_view digits{message.subject};
    if (digits.size() <= inbox_.size()) return;
    digits.remove_prefix(inbox_.size() + 1);
    std::uint64_t token = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), token);
    std::shared_ptr<Pending> pending;
    {
        const std::lock_guard guard{lock_};
        auto found = pending_.extract(token);
        if (found.empty()) return;  // nobody waits any more
        pending = std::move(found.mapped());
    }
    if (message.status == no_responders && message.payload.empty()) {
        return pending->finish(fail(
            ErrorCode::unavailable,
            "nats.no_responders",
            fmt::format("nobody answers at {}", quoted_text(pending->subject))
        ));
    }
    pending->finish(std::move(message));
}

void Session::Pending::finish(Result<Message> with) {
    const std::lock_guard guard{lock};
    if (answer) return;
    answer.emplace(std::move(with));
    answered.set();
}

void Session::fail_all(const PendingMap& pending, const Error& why) {
    for (const auto& [token, each] : pending) each->finish(std::unexpected{why});
}

void Session::on_connected(std::size_t max_payload, std::string server) noexcept {
    const bool again = connects_.fetch_add(1, std::memory_order_relaxed) > 0;
    {
        const std::lock_guard guard{lock_};
        if (ended_) return;
        state_ = ConnectionState::connected;
        max_payload_ = max_payload;
        server_ = server;
    }
    if (!again) return;
    sink().report(Severity::info, "stator::nats", fmt::format("connected to {} again", server));
}

void Session::on_disconnected(std::string why) noexcept {
    PendingMap pending;
    {
        const std::lock_guard guard{lock_};
        if (closing_ || state_ != ConnectionState::connected) return;
        state_ = ConnectionState::reconnecting;
        problem_ = why;
        losses_.fetch_add(1, std::memory_order_release);
        drop_unsent_locked();
        pending.swap(pending_);
        std::vector<std::uint64_t> over;
        for (const auto& [id, each] : subscribed_) {
            if (each.tell_losses) each.mailbox->put(loss());
            if (each.draining) over.push_back(id);
        }
        for (const auto id : over) end_locked(id);
    }
    sink().count("nats_disconnects_total", 1);
    sink().report(
        Severity::warn,
        "stator::nats",
        fmt::format("the connection to {} is lost: {}; connecting again", server(), why)
    );
    fail_all(
        pending,
        Error{
            ErrorCode::disconnected,
            "nats.connection_lost",
            "the connection to the NATS server was lost before the answer came"
        }
    );
}

void Session::on_given_up() noexcept {
    const std::lock_guard guard{lock_};
    if (closing_) return;
    state_ = ConnectionState::reconnecting;
    commands_.emplace_front(ConnectAgain{});
    wanted_.ring();
}

void Session::on_problem(std::string what) noexcept {
    sink().count("nats_problems_total", 1);
    sink().report(Severity::warn, "stator::nats", fmt::format("{}: {}", server(), what));
}

// ---- what tasks want

Error Session::disconnected() const {
    return Error{
        ErrorCode::unavailable,
        "nats.disconnected",
        fmt::format("there is no connection to {}: {}", options_.server, problem_)
    };
}

Result<void> Session::may_send_locked(const Publication& message) const {
    if (closing_) return std::unexpected{closed()};
    if (state_ != ConnectionState::connected) return std::unexpected{disconnected()};
    const auto size = message.size();
    if (size > max_payload_) {
        return fail(
            ErrorCode::payload_too_large,
            "nats.too_large",
            fmt::format("a message of {} bytes, the server takes {}", size, max_payload_)
        );
    }
    if (unsent_ > 0 && unsent_ + size > options_.most_unsent) {
        return fail(
            ErrorCode::overloaded,
            "nats.congested",
            fmt::format("{} bytes are waiting to be sent to {}", unsent_, server_)
        );
    }
    return {};
}

Result<void> Session::enqueue_locked(Publication message) {
    if (auto may = may_send_locked(message); !may) return may;
    unsent_ += message.size();
    commands_.emplace_back(std::move(message));
    return {};
}

void Session::drop_unsent_locked() {
    const auto dropped = std::erase_if(commands_, [](const Command& command) {
        return std::holds_alternative<Publication>(command);
    });
    unsent_ = 0;
    lost_.fetch_add(dropped, std::memory_order_relaxed);
    if (dropped > 0) sink().count("nats_messages_unsent_total", dropped);
}

Result<void> Session::queue(Publication message) {
    if (auto good = message.check(); !good) return good;
    const std::lock_guard guard{lock_};
    return enqueue_locked(std::move(message));
}

Result<void> Session::publish(Publication message) {
    auto queued = queue(std::move(message));
    if (queued) send_queued();
    return queued;
}

void Session::forget(std::uint64_t token) noexcept {
    const std::lock_guard guard{lock_};
    pending_.erase(token);
}

Task<Message> Session::wait_for(std::shared_ptr<Pending> pending) {
    co_await pending->answered.wait();
    const std::lock_guard guard{pending->lock};
    auto answer = std::move(pending->answer).value_or(std::unexpected{closed()});
    if (!answer) throw answer.error();
    co_return std::move(*answer);
}

Task<Message> Session::ask(Publication message, To whom, Deadline deadline) {
    const auto self = shared_from_this();
    const auto pending = std::make_shared<Pending>(message.subject);
    std::uint64_t token = 0;
    {
        const std::lock_guard guard{lock_};
        token = next_token_++;
        (whom == To::ourselves ? message.subject : message.reply) =
            fmt::format("{}.{}", inbox_, token);
        if (const auto sent = enqueue_locked(std::move(message)); !sent) throw sent.error();
        pending_.emplace(token, pending);
    }
    wanted_.ring();
    const auto answer = co_await as_result(with_deadline(deadline, wait_for(pending)));
    forget(token);
    if (answer) co_return std::move(*answer);
    if (answer.error().code() != ErrorCode::deadline_exceeded) throw answer.error();
    throw Error{
        ErrorCode::deadline_exceeded,
        "nats.no_reply",
        whom == To::ourselves
            ? std::string{"the NATS server did not answer in time"}
            : fmt::format("no answer came from {} in time", quoted_text(pending->subject))
    };
}

Task<Message> Session::request(Publication message, Deadline deadline) {
    if (const auto good = message.check(); !good) throw good.error();
    co_return co_await ask(std::move(message), To::others, deadline);
}

Task<> Session::flush(Deadline deadline) { co_await ask(Publication{}, To::ourselves, deadline); }

Task<Subscription> Session::subscribe(SubscribeOptions options) {
    const auto self = shared_from_this();
    for (const auto& pattern : options.subjects) {
        const bool good_queue = options.queue.empty() || is_subject(options.queue);
        if (is_pattern(pattern) && good_queue) continue;
        throw Error{
            ErrorCode::invalid_request,
            "nats.subject",
            fmt::format(
                "{} in group {} cannot be subscribed to",
                quoted_text(pattern),
                quoted_text(options.queue)
            )
        };
    }
    auto mailbox =
        std::make_shared<Mailbox>(options.most_messages, options.most_bytes, options.overflow);
    {
        const std::lock_guard guard{lock_};
        if (closing_) throw closed();
        if (state_ != ConnectionState::connected) throw disconnected();
        for (auto& pattern : options.subjects) {
            const auto id = next_subscription_++;
            mailbox->subscriptions.push_back(id);
            const Topic topic{std::move(pattern), options.queue, options.without_statuses};
            subscribed_.emplace(id, Subscribed{mailbox, topic, options.tell_losses});
            commands_.emplace_back(Subscribe{id, topic});
        }
    }
    // Dropped if the server does not get to know of it.
    Subscription subscription{self, std::move(mailbox)};
    co_await flush(Deadline::in(options_.request_timeout));
    co_return subscription;
}

void Session::unsubscribe(const std::shared_ptr<Mailbox>& mailbox) noexcept {
    mailbox->close();
    const std::lock_guard guard{lock_};
    for (const auto id : std::exchange(mailbox->subscriptions, {})) {
        subscribed_.erase(id);
        if (!closing_) commands_.emplace_back(Unsubscribe{id});
    }
    wanted_.ring();
}

void Session::drain(const std::shared_ptr<Mailbox>& mailbox) noexcept {
    const std::lock_guard guard{lock_};
    if (state_ != ConnectionState::connected || closing_) {
        for (const auto id : std::vector{mailbox->subscriptions}) end_locked(id);
        return;
    }
    for (const auto id : mailbox->subscriptions) {
        auto& each = subscribed_.at(id);
        if (!std::exchange(each.draining, true)) commands_.emplace_back(Drain{id});
    }
    wanted_.ring();
}

void Session::on_drained(std::uint64_t subscription) noexcept {
    const std::lock_guard guard{lock_};
    const auto found = subscribed_.find(subscription);
    if (found != subscribed_.end() && found->second.draining) end_locked(subscription);
}

/// The mailbox is closed with the last of its subscriptions.
void Session::end_locked(std::uint64_t subscription) {
    const auto mailbox = std::move(subscribed_.at(subscription).mailbox);
    subscribed_.erase(subscription);
    std::erase(mailbox->subscriptions, subscription);
    if (mailbox->subscriptions.empty()) mailbox->close();
    if (!closing_) commands_.emplace_back(Unsubscribe{subscription});
    wanted_.ring();
}

ConnectionState Session::state() const {
    const std::lock_guard guard{lock_};
    return closing_ ? ConnectionState::closed : state_;
}

std::size_t Session::max_payload() const {
    const std::lock_guard guard{lock_};
    return max_payload_;
}

std::string Session::server() const {
    const std::lock_guard guard{lock_};
    return server_.empty() ? options_.server : server_;
}

ClientCounts Session::counts() const {
    return {
        .in_messages = in_messages_.load(std::memory_order_relaxed),
        .in_bytes = in_bytes_.load(std::memory_order_relaxed),
        .out_messages = out_messages_.load(std::memory_order_relaxed),
        .out_bytes = out_bytes_.load(std::memory_order_relaxed),
        .connects = connects_.load(std::memory_order_relaxed),
        .unsent = lost_.load(std::memory_order_relaxed),
    };
}

}  // namespace stator::nats
