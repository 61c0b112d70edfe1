// Session: what the handles of one client share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "nats/alarm.hpp"
#include "nats/mailbox.hpp"
#include "nats/module_loader.hpp"
#include "nats/wire.hpp"
#include "stator/nats/client.hpp"
#include "stator/runtime/event.hpp"

namespace stator::nats {

/// One thread, started by `open`, makes every call of the wire, each of which may block; what tasks
/// want of it waits in a queue. What comes in is put into mailboxes by the threads of nats.c, and
/// into the requests that wait. A state and a queue under one lock; nobody holds it for long.
///
/// Shared by handles, its thread, and the wire. Thread-safe. Ends by `close`; when the last handle
/// goes, too, but nobody waits then.
class Session final : public WireEvents, public std::enable_shared_from_this<Session> {
public:
    Session(Loop& loop, ClientOptions options);
    ~Session() override;

    /// Starts the thread and waits for the first connection. Once.
    Task<> open(Make make);
    Task<> close(Deadline deadline);
    /// As `close`, without waiting.
    void abandon() noexcept;

    Result<void> publish(Publication message);
    Result<void> queue(Publication message);
    void send_queued() noexcept { wanted_.ring(); }
    Task<Message> request(Publication message, Deadline deadline);
    Task<Subscription> subscribe(SubscribeOptions options);
    Task<> flush(Deadline deadline);
    void unsubscribe(const std::shared_ptr<Mailbox>& mailbox) noexcept;
    void drain(const std::shared_ptr<Mailbox>& mailbox) noexcept;

    ConnectionState state() const;
    ClientCounts counts() const;
    std::size_t max_payload() const;
    std::string server() const;
    Loop& loop() const noexcept { return loop_; }
    const ClientOptions& options() const noexcept { return options_; }

private:
    /// A request that waits. The lock is held while its task is woken, and taken once more by that
    /// task: a thread of nats.c, which nobody joins, is done with the loop before the loop may go.
    struct Pending {
        explicit Pending(std::string subject_) : subject{std::move(subject_)} {}
        const std::string subject;
        std::mutex lock;
        Event answered;
        std::optional<Result<Message>> answer;
        void finish(Result<Message> with);
    };
    using PendingMap = std::unordered_map<std::uint64_t, std::shared_ptr<Pending>>;
    struct Subscribe {
        std::uint64_t id;
        Topic topic;
    };
    struct Unsubscribe {
        std::uint64_t id;
    };
    struct Drain {
        std::uint64_t id;
    };
    struct ConnectAgain {};
    using Command = std::variant<Publication, Subscribe, Unsubscribe, Drain, ConnectAgain>;
    struct Subscribed {
        std::shared_ptr<Mailbox> mailbox;
        Topic topic;
        bool tell_losses = false;
        bool draining = false;
    };

    // Of the thread.
    static void run(std::shared_ptr<Session> self, Make make);
    bool connect_first(Wire& wire);
    bool pause(Duration duration);
    /// What the thread does before it writes.
    struct Batch {
        std::vector<Command> commands;
        std::uint64_t losses = 0;  // of the connection that they are for
    };
    std::optional<Batch> next_batch();
    void work(Wire& wire);
    void perform(Wire& wire, const Command& command, std::uint64_t losses);
    void subscribe_on(Wire& wire, const Subscribe& wanted);
    void connect_again(Wire& wire);
    void send(Wire& wire, const Publication& message, std::uint64_t losses);
    void finish();

    // Of the wire.
    void on_message(std::uint64_t subscription, const Incoming& incoming) noexcept override;
    void on_connected(std::size_t max_payload, std::string server) noexcept override;
    void on_disconnected(std::string why) noexcept override;
    void on_given_up() noexcept override;
    void on_drained(std::uint64_t subscription) noexcept override;
    void on_problem(std::string what) noexcept override;

    static constexpr std::uint64_t inbox_subscription = 1;
    static Error closed();
    Error disconnected() const;
    Result<void> enqueue_locked(Publication message);
    Result<void> may_send_locked(const Publication& message) const;
    void drop_unsent_locked();
    void end_locked(std::uint64_t subscription);
    static void fail_all(const PendingMap& pending, const Error& why);
    void answer(Message message);
    Task<> wait_until_over();
    void begin_to_close(TimePoint last_word) noexcept;
    static Task<Message> wait_for(std::shared_ptr<Pending> pending);
    /// To ourselves: by way of the server, to see that it has got everything before it.
    enum class To : std::uint8_t { others, ourselves };
    Task<Message> ask(Publication message, To whom, Deadline deadline);
    void forget(std::uint64_t token) noexcept;

    Loop& loop_;
    const ClientOptions options_;
    const std::string inbox_;  // requests are answered below it

    mutable std::mutex lock_;
    std::condition_variable ended_early_;  // closing_: who pauses between attempts goes on
    Alarm wanted_;                         // there is a command, or closing_
    std::deque<Command> commands_;
    std::size_t unsent_ = 0;  // bytes of the publications in `commands_`
    ConnectionState state_ = ConnectionState::reconnecting;
    std::string problem_ = "not connected yet";
    std::string server_;
    std::size_t max_payload_ = 0;
    bool closing_ = false;
    bool ended_ = false;
    TimePoint last_word_ = TimePoint::max();  // when closing, what waits is written until then
    std::uint64_t next_token_ = 1;
    std::uint64_t next_subscription_ = 2;  // 1 is the inbox
    PendingMap pending_;
    std::unordered_map<std::uint64_t, Subscribed> subscribed_;
    std::optional<Error> start_failure_;

    Event settled_;       // connected, or never will be
    Event over_;          // the thread is about to end
    std::thread thread_;  // under lock_

    std::atomic<std::uint64_t> in_messages_{0};
    std::atomic<std::uint64_t> in_bytes_{0};
    std::atomic<std::uint64_t> out_messages_{0};
    std::atomic<std::uint64_t> out_bytes_{0};
    std::atomic<std::uint64_t> connects_{0};
    std::atomic<std::uint64_t> lost_{0};    // messages
    std::atomic<std::uint64_t> losses_{0};  // of the connection
};

}  // namespace stator::nats
