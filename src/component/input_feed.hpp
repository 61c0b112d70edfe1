// InputFeed: brings the caller's stream of request items to the worker that takes the call.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/stream.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/client_call.hpp"

namespace stator::inline component {

/// Pulls an item of the source only when the call can send it at once, so the worker's credit is
/// the source's backpressure. While the call may still go to another worker, what was sent is kept,
/// and no more is pulled once 256 KiB are: any call that nobody has accepted can be sent again in
/// full.
///
/// Shared by the route and the task that pulls, which runs beside it: the answer is read by
/// somebody else, who may wait or leave at any time. That task is one of its scope's; it ends soon
/// after `close`, and is waited for by `closed` where the route can wait. Loop-affine. Cancelling
/// the scope fails the call with `cancelled`.
class InputFeed final : public transport::CallWriter,
                        public std::enable_shared_from_this<InputFeed> {
public:
    /// `resendable`: whether the call may be sent to a second worker.
    InputFeed(Stream<Bytes> source, bool resendable) noexcept
        : source_{std::move(source)}, holding_{resendable} {}

    /// From now on items go to `call`, which has been opened, from the first one on. The first time
    /// this starts the task that pulls.
    void attach(transport::ClientCall& call, TaskScope& scope);
    void detach() noexcept;
    /// The call stays where it is: nothing is kept any more.
    void accepted() noexcept;
    /// Nobody wants items any more. What the source waits for is cancelled.
    void close(CancelReason reason) noexcept;
    /// Closes, and waits until the source is gone. Never throws. Cancel safety: not interrupted;
    /// bounded by what the source does when it is cancelled.
    Task<> closed();

private:
    static constexpr std::size_t most_held = 256U << 10U;

    void on_writable() noexcept override { changed_.notify(); }
    void on_ended() noexcept override;
    static Task<> run(std::shared_ptr<InputFeed> feed);
    Task<> pull();
    Task<> take_next();
    bool may_go_on() const noexcept;
    void send_next();
    void drop_sent() noexcept;
    void fail(const Error& error);

    Stream<Bytes> source_;
    transport::ClientCall* call_ = nullptr;
    std::vector<Bytes> items_;   // kept for another worker, then the one that is to be sent
    std::size_t sent_ = 0;       // so many of them went to `call_`
    std::size_t held_size_ = 0;  // of items_, while holding
    std::optional<Error> failure_;
    CancellationToken token_;
    Signal changed_;
    Event over_;
    bool holding_;
    bool started_ = false;
    bool pulling_ = false;  // the source is at work
    bool source_ended_ = false;
    bool closing_ = false;
};

}  // namespace stator::inline component
