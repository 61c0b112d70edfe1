// What this process serves, and the requests that run on it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "stator/base/names.hpp"
#include "stator/component/handler.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/detail/intrusive_list.hpp"
#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/per_loop.hpp"
#include "stator/transport/server_call.hpp"

namespace stator::inline component {

struct RequestTag {};
class Served;

/// What is counted for one served endpoint; the names and labels are the original's.
struct EndpointMetrics {
    explicit EndpointMetrics(const EndpointId& id);
    /// The counter of requests that ended in that error.
    const observe::Counter& errors(ErrorCode code) const noexcept {
        return errors_[static_cast<std::size_t>(code)];
    }

    observe::Counter requests;
    observe::UpDownCounter inflight;
    observe::Histogram duration;  ///< seconds, from admission to the end
    observe::Counter request_bytes;
    observe::Counter response_bytes;

private:
    std::array<observe::Counter, 16> errors_;  // by error class
};

/// One request being served; lives in the frame of the task that serves it. Its caller's stop and
/// kill come in here.
class RunningRequest : public runtime::detail::ListLink<RequestTag>,
                       public transport::CallObserver {
public:
    RunningRequest(std::shared_ptr<Served> served, transport::ServerCall& call, Context context);
    RunningRequest(const RunningRequest&) = delete;
    RunningRequest& operator=(const RunningRequest&) = delete;
    ~RunningRequest() override;

    const Context& context() const noexcept { return context_; }

private:
    void on_stop(CancelReason reason) noexcept override;
    void on_kill(CancelReason reason) noexcept override;

    std::shared_ptr<Served> served_;
    transport::ServerCall& call_;
    Context context_;
    std::size_t loop_index_;
    TimePoint begin_;
};

/// One endpoint of one instance in this process. Shared by the table, its owner and its requests.
/// Thread-safe.
class Served : public std::enable_shared_from_this<Served> {
public:
    Served(
        EndpointId id,
        InstanceId instance,
        Handler handler,
        std::uint32_t max_inflight,
        std::size_t loops
    );

    const EndpointId& id() const noexcept { return id_; }
    InstanceId instance() const noexcept { return instance_; }
    const Handler& handler() const noexcept { return handler_; }
    const EndpointMetrics& metrics() const noexcept { return metrics_; }

    /// Errors: invalid_request "component.wrong_shape" when a caller with that shape and the
    /// handler disagree on whether the request is one message or a stream.
    Result<void> check_shape(transport::CallShape shape) const;
    /// Counts the request in; the error with which it is refused otherwise.
    Result<void> admit();
    /// From now on requests are refused with `draining`.
    void refuse_new() noexcept;
    bool refusing() const noexcept { return refusing_.load(std::memory_order_relaxed); }
    std::size_t inflight() const noexcept { return inflight_.load(std::memory_order_relaxed); }
    /// Set when no request is left after `refuse_new`.
    Event& idle() noexcept { return idle_; }

    /// Asks every running request to stop, or kills it; returns how many it reached.
    std::size_t stop_all(CancelReason reason);
    std::size_t kill_all(CancelReason reason);
    /// One line for each running request.
    std::vector<std::string> running() const;

private:
    friend class RunningRequest;
    /// The requests of one loop; the lock is taken by that loop for each request and by others
    /// hardly ever.
    struct Room {
        mutable runtime::detail::SpinLock lock;
        runtime::detail::IntrusiveList<RunningRequest, RequestTag> requests;
    };
    void left() noexcept;
    std::vector<Context> contexts() const;

    const EndpointId id_;
    const InstanceId instance_;
    const Handler handler_;
    const std::uint32_t max_inflight_;
    const EndpointMetrics metrics_;
    std::atomic<std::size_t> inflight_{0};
    std::atomic<bool> refusing_{false};
    Event idle_;
    mutable PerLoop<Room> rooms_;
};

/// Full identity keys everything: a path and, below it, the instance. Immutable; replaced as a
/// whole.
class ServedTable {
public:
    /// The endpoint that a call names; `instance` none: any. Errors: `not_found` saying which of
    /// the two is missing.
    Result<std::shared_ptr<Served>> find(std::string_view path, InstanceId instance) const;
    const std::vector<std::shared_ptr<Served>>& all() const noexcept { return all_; }

    ServedTable() = default;
    explicit ServedTable(std::vector<std::shared_ptr<Served>> all);

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };
    std::vector<std::shared_ptr<Served>> all_;
    std::unordered_map<std::string, std::vector<std::shared_ptr<Served>>, TextHash, std::equal_to<>>
        by_path_;
};

}  // namespace stator::inline component
