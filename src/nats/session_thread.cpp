// The thread of a session, which makes every call of the wire.
#include <pthread.h>

#include <chrono>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "nats/session.hpp"
#include "stator/base/backoff.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

using namespace std::chrono_literals;

namespace {

constexpr BackoffPolicy between_attempts{.initial = 50ms, .max = 2s, .factor = 2.0};
/// What is written at a time, at most: while it is, what comes in waits.
constexpr std::size_t batch_commands = 256;
constexpr std::size_t batch_bytes = 64 << 10;

/// Threads that are started while it lives leave all signals to others.
class NoSignals {
public:
    NoSignals() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
            sigdelset(&all, fault);
        ::pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    NoSignals(const NoSignals&) = delete;
    NoSignals& operator=(const NoSignals&) = delete;
    ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

std::int64_t milliseconds(Duration time) {
    return std::chrono::ceil<std::chrono::milliseconds>(time).count();
}

WireOptions wire_options(const ClientOptions& options) {
    WireOptions wire;
    wire.server = options.server;
    wire.name = options.name;
    wire.username = options.username;
    wire.password = options.password;
    wire.token = options.token;
    wire.nkey = options.nkey;
    wire.credentials_file = options.credentials_file;
    const bool nobody = options.username.empty() && options.token.empty() && options.nkey.empty() &&
                        options.credentials_file.empty();
    if (nobody) wire.username = wire.password = "user";
    wire.tls = options.wants_tls();
    wire.ca_file = options.ca_file;
    wire.client_cert_file = options.client_cert_file;
    wire.client_key_file = options.client_key_file;
    wire.tls_insecure = options.tls_insecure;
    wire.connect_timeout = milliseconds(options.connect_timeout);
    wire.write_timeout = milliseconds(options.write_timeout);
    wire.ping_interval = milliseconds(options.ping_interval);
    return wire;
}

/// What no further attempt will cure.
std::optional<Error> final_error(const WireStatus& status) {
    switch (status.error) {
        case WireError::authentication:
            return Error{ErrorCode::unauthenticated, "nats.authentication", status.message};
        case WireError::tls:
            return Error{ErrorCode::unavailable, "nats.tls", status.message};
        case WireError::invalid:
            return Error{ErrorCode::invalid_request, "nats.options", status.message};
        default:
            return std::nullopt;
    }
}

}  // namespace

Task<> Session::open(Make make) {
    const auto self = shared_from_this();
    {
        const NoSignals quiet;
        const std::lock_guard guard{lock_};
        thread_ = std::thread{&Session::run, self, std::move(make)};
    }
    auto wait = [](std::shared_ptr<Session> of) -> Task<> { co_await of->settled_.wait(); };
    const auto settled =
        co_await as_result(with_deadline(Deadline::in(options_.startup_timeout), wait(self)));
    std::optional<Error> failure;
    {
        const std::lock_guard guard{lock_};
        failure = start_failure_;
        if (!settled && settled.error().code() == ErrorCode::deadline_exceeded) {
            failure = Error{
                ErrorCode::unavailable,
                "nats.unreachable",
                fmt::format("no NATS server answers at {}: {}", options_.server, problem_)
            };
        } else if (!settled) {
            failure = settled.error();
        }
    }
    if (!failure) co_return;
    co_await shielded(close(Deadline::in(options_.connect_timeout)));
    throw *failure;
}

void Session::begin_to_close(TimePoint last_word) noexcept {
    const std::lock_guard guard{lock_};
    if (!closing_ || last_word < last_word_) last_word_ = last_word;
    closing_ = true;
    ended_early_.notify_all();
    wanted_.ring();
}

Task<> Session::wait_until_over() { co_await over_.wait(); }

Task<> Session::close(Deadline deadline) {
    const auto self = shared_from_this();
    begin_to_close(deadline.when());
    const auto ended = co_await as_result(with_deadline(deadline, wait_until_over()));
    std::thread thread;
    {
        const std::lock_guard guard{lock_};
        thread = std::move(thread_);
    }
    if (thread.joinable() && over_.is_set()) {
        thread.join();  // it has nothing more to do
    } else if (thread.joinable()) {
        thread.detach();
        sink().report(
            Severity::warn,
            "stator::nats",
            fmt::format("the connection to {} could not be ended in time", server())
        );
    }
    if (!ended && ended.error().code() == ErrorCode::cancelled) throw ended.error();
}

void Session::abandon() noexcept {
    begin_to_close(TimePoint::min());
    const std::lock_guard guard{lock_};
    if (thread_.joinable()) thread_.detach();
}

// ---- what the thread does

void Session::run(std::shared_ptr<Session> self, Make make) {
    {
        const auto wire = make(wire_options(self->options_), self);
        if (self->connect_first(*wire)) self->work(*wire);
        wire->close();
    }
    self->finish();
}

bool Session::connect_first(Wire& wire) {
    Backoff backoff{between_attempts};
    for (;;) {
        auto status = wire.connect();
        if (status.ok()) status = wire.subscribe(inbox_subscription, {.pattern = inbox_ + ".*"});
        if (status.ok()) break;
        {
            const std::lock_guard guard{lock_};
            problem_ = status.message;
            start_failure_ = final_error(status);
            if (start_failure_) return false;
        }
        if (!pause(backoff.next())) return false;
    }
    settled_.set();
    return true;
}

/// False once it is to be closed.
bool Session::pause(Duration duration) {
    std::unique_lock guard{lock_};
    return !ended_early_.wait_for(guard, duration, [this] { return closing_; });
}

/// What there is to do by now, perhaps nothing; no value once the end has come.
std::optional<Session::Batch> Session::next_batch() {
    Batch batch;
    std::size_t bytes = 0;
    const std::lock_guard guard{lock_};
    const bool too_late = std::chrono::steady_clock::now() >= last_word_;
    const bool sends = state_ == ConnectionState::connected && !too_late;
    if (closing_ && (commands_.empty() || !sends)) return std::nullopt;
    batch.losses = losses_.load(std::memory_order_relaxed);
    while (!commands_.empty() && batch.commands.size() < batch_commands && bytes < batch_bytes) {
        auto& next = commands_.front();
        const bool anew = std::holds_alternative<ConnectAgain>(next);
        // It subscribes to everything: what is left here is then done or not needed.
        if (anew && !batch.commands.empty()) break;
        if (const auto* const message = std::get_if<Publication>(&next)) bytes += message->size();
        batch.commands.push_back(std::move(next));
        commands_.pop_front();
        if (anew) break;
    }
    unsent_ -= bytes;
    return batch;
}

void Session::work(Wire& wire) {
    while (const auto batch = next_batch()) {
        for (const auto& command : batch->commands) perform(wire, command, batch->losses);
        wire.flush();
        if (!batch->commands.empty()) continue;
        wire.wait(wanted_.descriptor());
        wanted_.quiet();
    }
}

void Session::perform(Wire& wire, const Command& command, std::uint64_t losses) {
    if (const auto* const message = std::get_if<Publication>(&command)) {
        send(wire, *message, losses);
    } else if (const auto* const wanted = std::get_if<Subscribe>(&command)) {
        subscribe_on(wire, *wanted);
    } else if (const auto* const gone = std::get_if<Unsubscribe>(&command)) {
        wire.unsubscribe(gone->id);
    } else if (const auto* const ending = std::get_if<Drain>(&command)) {
        wire.drain(ending->id);
    } else {
        connect_again(wire);
    }
}

void Session::subscribe_on(Wire& wire, const Subscribe& wanted) {
    const auto status = wire.subscribe(wanted.id, wanted.topic);
    if (status.ok()) return;
    on_problem(fmt::format("subscribing to {}: {}", wanted.topic.pattern, status.message));
    const std::lock_guard guard{lock_};
    if (const auto found = subscribed_.find(wanted.id); found != subscribed_.end())
        found->second.mailbox->close();
}

/// The server has refused us, perhaps while it is being set up anew: it is asked on.
void Session::connect_again(Wire& wire) {
    Backoff backoff{between_attempts};
    std::string told;
    for (;;) {
        const auto status = wire.connect();
        if (status.ok()) break;
        if (std::exchange(told, status.message) != status.message) on_problem(status.message);
        if (!pause(backoff.next())) return;
    }
    std::vector<Subscribe> all{{inbox_subscription, {.pattern = inbox_ + ".*"}}};
    {
        const std::lock_guard guard{lock_};
        for (const auto& [id, each] : subscribed_) all.push_back({id, each.topic});
        // Those that have not been made yet are among them.
        std::erase_if(commands_, [](const Command& command) {
            return std::holds_alternative<Subscribe>(command);
        });
    }
    for (const auto& each : all) subscribe_on(wire, each);
}

void Session::send(Wire& wire, const Publication& message, std::uint64_t losses) {
    std::vector<HeaderView> headers;
    headers.reserve(message.headers.size());
    for (const auto& [key, value] : message.headers) headers.push_back({key, value});
    // What was to be sent by a connection that was lost meanwhile is not sent by the next.
    const bool still = losses_.load(std::memory_order_acquire) == losses;
    const bool sent = still && wire.publish(Outgoing{
                                                .subject = message.subject.c_str(),
                                                .reply = message.reply.c_str(),
                                                .payload = message.payload.view(),
                                                .headers = headers,
                                            })
                                   .ok();
    if (sent) {
        out_messages_.fetch_add(1, std::memory_order_relaxed);
        out_bytes_.fetch_add(message.size(), std::memory_order_relaxed);
        return;
    }
    lost_.fetch_add(1, std::memory_order_relaxed);
    sink().count("nats_messages_unsent_total", 1);
}

void Session::finish() {
    PendingMap pending;
    {
        const std::lock_guard guard{lock_};
        state_ = ConnectionState::closed;
        closing_ = ended_ = true;
        drop_unsent_locked();
        pending.swap(pending_);
        for (const auto& [id, each] : subscribed_) {
            each.mailbox->close();
            each.mailbox->subscriptions.clear();
        }
        subscribed_.clear();
    }
    fail_all(pending, closed());
    settled_.set();
    over_.set();
}

}  // namespace stator::nats
