// Departures: ends the wait for workers that have left discovery.
#pragma once

#include <memory>

#include "stator/discovery/endpoint_watch.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/dynamo_call.hpp"

namespace stator::inline component {

/// Nothing on Dynamo's planes tells that a worker died between its acknowledgement and its call
/// home; that its record is gone does. One per client and loop, from the first such call on; its
/// task belongs to the scope and ends with `stop` or that. Loop-affine, apart from `stop`.
class Departures : public std::enable_shared_from_this<Departures> {
public:
    struct WaitingTag {};
    /// One call that waits, for as long as this lives: it is told once.
    class Waiting : runtime::detail::ListLink<WaitingTag> {
    public:
        Waiting(Departures& departures, transport::DynamoCall& call, InstanceId instance);
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
        ~Waiting();

    private:
        friend class Departures;
        friend class runtime::detail::IntrusiveList<Waiting, WaitingTag>;
        transport::DynamoCall& call_;
        InstanceId instance_;
    };

    static std::shared_ptr<Departures> start(
        std::shared_ptr<discovery::EndpointWatch> watch, TaskScope& scope
    );
    /// Thread-safe.
    void stop() noexcept { token_.cancel(); }

private:
    explicit Departures(CancellationToken token) noexcept : token_{std::move(token)} {}
    static Task<> follow(
        std::shared_ptr<Departures> self, std::shared_ptr<discovery::EndpointWatch> watch
    );
    void tell(const discovery::InstanceSet& set);

    CancellationToken token_;
    runtime::detail::IntrusiveList<Waiting, WaitingTag> waiting_;
};

}  // namespace stator::inline component
