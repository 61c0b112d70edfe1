// Route: one call on its way to an instance that accepts it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>

#include "component/client_state.hpp"
#include "component/input_feed.hpp"
#include "component/selection.hpp"
#include "stator/component/router.hpp"
#include "stator/pipeline/failed_instances.hpp"
#include "stator/transport/dynamo_call.hpp"

namespace stator::inline component {

struct RouteCore::State {
    State(Client client_, RouterOptions options)
        : client{std::move(client_)}, shared{client.state_}, selector{std::move(options)} {}
    const Client client;
    const std::shared_ptr<ClientState> shared;
    Selector selector;

    /// The answer to `input`, Bytes or Stream<Bytes>.
    template <class Input>
    static Stream<Bytes> route(
        std::shared_ptr<State> self,
        Context context,
        Input input,
        CallOptions options,
        transport::CallShape shape
    );
};

/// Instances that have been asked for one request, by one call or by two at a time.
class Tried {
public:
    void add(InstanceId id) noexcept {
        if (count_ < ids_.size()) ids_[count_++] = id;
    }
    std::span<const InstanceId> ids() const noexcept { return std::span{ids_}.first(count_); }

private:
    std::array<InstanceId, 8> ids_{};
    std::size_t count_ = 0;
};

/// What a call by Dynamo's planes needs.
struct DynamoWay {
    std::shared_ptr<transport::RequestCarrier> carrier;
    std::shared_ptr<transport::CallHomeServer> home;
};

/// Chooses, connects, sends, and does it again while that is allowed. One owner, on one loop.
struct Route {
    static constexpr std::size_t max_attempts = 3;

    std::shared_ptr<ClientState> client;
    Selector* selector;  // kept by `client`
    Context context;
    CallOptions options;
    transport::CallShape shape;
    Deadline deadline;
    Tried* shared_tried = nullptr;       // with a second call of the same request; null: its own
    std::shared_ptr<InputFeed> input{};  // none: the request is one message
    Tried own_tried{};
    std::size_t attempts = 0;
    std::optional<Error> last_error{};
    Plane plane = Plane::any;  // of the instance that was chosen last
    /// With the other attempts at the request; null: there is but this one.
    std::shared_ptr<FailedInstances> failed = FailedInstances::of(context);

    Tried& tried() noexcept { return shared_tried == nullptr ? own_tried : *shared_tried; }

    Chosen choose();
    /// Whom not to ask: those that have been, and those that failed the request before.
    std::vector<InstanceId> passed_over() const;
    /// An instance that had accepted the request has not brought it to its end.
    void note_failure(const transport::ClientCall& call, InstanceId instance) const;
    Task<std::shared_ptr<transport::MuxConnection>> connect(InstancePtr instance);
    Task<DynamoWay> connect_dynamo(InstancePtr instance);
    /// The way there; empty when that failed and the call may go elsewhere.
    Task<std::shared_ptr<transport::MuxConnection>> reach(InstancePtr instance);
    Task<std::optional<DynamoWay>> reach_dynamo(InstancePtr instance);
    /// Sends the call and waits until it is accepted; false when it may go elsewhere.
    Task<bool> place(
        transport::ClientCall* call,
        InstancePtr instance,
        Bytes request,
        Reservation* reservation,
        CallTimes* times
    );
    Task<bool> place_dynamo(
        transport::DynamoCall* call,
        InstancePtr instance,
        Bytes request,
        Reservation* reservation,
        CallTimes* times
    );
    bool may_be_sent_again() const noexcept;
    void learn_from_failure(
        const transport::ClientCall& call, InstanceId instance, Reservation& reservation
    ) const;
    void learn_from_dynamo(const Error& error, transport::CallFate fate, InstanceId instance) const;
    Result<void> open(
        transport::ClientCall& call, const discovery::Instance& instance, const Bytes& request
    ) const;
    Task<Result<void>> wait_and_open(
        transport::ClientCall* call, InstancePtr instance, Bytes request
    ) const;
    /// Throws `error` unless the call may be sent to another instance.
    void go_elsewhere_or_throw(const Error& error, bool maybe_begun);
};

/// The items of the answer. `request` is empty when the route has an input.
Stream<Bytes> through(std::unique_ptr<Route> route, Bytes request);

/// As `through`, with a second call of the request when the first one is slow.
Stream<Bytes> hedged(std::unique_ptr<Route> route, Bytes request);

}  // namespace stator::inline component
