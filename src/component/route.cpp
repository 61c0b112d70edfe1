#include "component/route.hpp"

#include <algorithm>
#include <variant>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/component/overload.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/transport/local_call.hpp"
#include "stator/transport/mux_call.hpp"

namespace stator::inline component {

using discovery::Instance;
using discovery::LinkEvent;
using transport::CallFate;
using transport::ClientCall;
using transport::DynamoCall;
using transport::LocalCall;
using transport::MuxCall;

std::string_view to_string(RouterMode mode) noexcept {
    switch (mode) {
        case RouterMode::round_robin:
            return "round_robin";
        case RouterMode::random:
            return "random";
        case RouterMode::direct:
            return "direct";
        case RouterMode::power_of_two:
            return "p2c";
        case RouterMode::least_loaded:
            return "least_loaded";
        case RouterMode::peak_ewma:
            return "peak_ewma";
        case RouterMode::device_aware:
            return "device_aware";
        case RouterMode::session:
            return "session";
        case RouterMode::custom:
            return "custom";
    }
    return "unknown";
}

std::string_view to_string(Plane plane) noexcept {
    switch (plane) {
        case Plane::any:
            return "any";
        case Plane::mux:
            return "mux";
        case Plane::dynamo:
            return "dynamo";
        case Plane::in_process:
            return "in_process";
    }
    return "unknown";
}

namespace {

/// Whether an error before acceptance speaks about the worker, not about the request.
bool is_about_the_worker(ErrorCode code) noexcept {
    return code == ErrorCode::overloaded || code == ErrorCode::unavailable ||
           code == ErrorCode::draining || code == ErrorCode::disconnected ||
           code == ErrorCode::not_found;
}

/// Passes the end of the caller's side on to the worker: the deadline, and the stop and kill of a
/// context that somebody else holds, too. Lives beside the call; loop-affine.
class CallControl : runtime::detail::Timer {
public:
    CallControl(ClientCall& call, const Context& context, Deadline deadline)
        : Timer{&CallControl::on_deadline},
          call_{call},
          context_{context},
          stop_{*this, &CallControl::on_stop},
          kill_{*this, &CallControl::on_kill} {
        when = deadline.when();
        if (!deadline.is_never()) Loop::current()->add_timer(*this);
        if (context.unique() && !context.stopped()) return;  // nobody can, nobody did
        if (!context.stop_token().arm(stop_)) on_stop(stop_);
        if (!context.kill_token().arm(kill_)) on_kill(kill_);
    }
    CallControl(const CallControl&) = delete;
    CallControl& operator=(const CallControl&) = delete;
    ~CallControl() {
        Loop::current()->remove_timer(*this);
        CancellationToken::disarm(stop_);
        CancellationToken::disarm(kill_);
    }

private:
    struct Hook : runtime::detail::CancelHook {
        Hook(CallControl& control_, runtime::detail::CancelHook::Fire fire) noexcept
            : CancelHook{fire}, control{control_} {}
        CallControl& control;
    };
    static void on_deadline(Timer& timer) noexcept {
        static_cast<CallControl&>(timer).call_.abort(
            CancelReason::deadline,
            Error{ErrorCode::deadline_exceeded, "component.deadline", "the call's deadline passed"}
        );
    }
    static void on_stop(runtime::detail::CancelHook& hook) noexcept {
        auto& control = static_cast<Hook&>(hook).control;
        control.call_.stop(control.context_.reason());
    }
    static void on_kill(runtime::detail::CancelHook& hook) noexcept {
        auto& control = static_cast<Hook&>(hook).control;
        control.call_.abort(
            control.context_.reason(),
            Error{ErrorCode::cancelled, "component.killed", "the request was killed"}
        );
    }

    ClientCall& call_;
    const Context& context_;
    Hook stop_;
    Hook kill_;
};

}  // namespace

Chosen Route::choose() {
    Tried& known = tried();
    std::vector<InstanceId> with_failed;
    if (failed) with_failed = passed_over();
    const Wanted wanted{
        context, options, failed ? std::span<const InstanceId>{with_failed} : known.ids()
    };
    const auto& endpoint = client->watch->endpoint();
    try {
        auto chosen = component::choose(*selector, client->view(), client->book, endpoint, wanted);
        known.add(chosen.instance->id);
        ++attempts;
        plane = chosen.plane;
        return chosen;
    } catch (const Error& nobody) {
        // What was wrong with the last one says more than that there is no other.
        if (!last_error) throw;
    }
    throw *last_error;
}

std::vector<InstanceId> Route::passed_over() const {
    auto ids = failed->ids();
    const auto own = (shared_tried == nullptr ? own_tried : *shared_tried).ids();
    ids.insert(ids.end(), own.begin(), own.end());
    return ids;
}

void Route::note_failure(const ClientCall& call, InstanceId instance) const {
    if (!failed || call.fate() != CallFate::accepted || !call.error()) return;
    if (is_about_the_worker(call.error()->code())) failed->add(instance);
}

Task<std::shared_ptr<transport::MuxConnection>> Route::connect(InstancePtr instance) {
    auto& pool = client->cluster->pool();
    if (auto connection = pool.established(instance->mux->address)) co_return connection;
    const auto& mux = *instance->mux;
    if (const auto suits = client->cluster->security().suits(mux.address, mux.tls); !suits)
        throw suits.error();
    co_return co_await with_deadline(deadline, pool.connect(instance->mux->address));
}

Task<DynamoWay> Route::connect_dynamo(InstancePtr instance) {
    auto& cluster = *client->cluster;
    DynamoWay way;
    way.home = cluster.known_call_home();
    if (!way.home) way.home = co_await with_deadline(deadline, cluster.call_home());
    if (instance->transport.kind == discovery::TransportKind::nats_tcp) {
        way.carrier = co_await with_deadline(deadline, cluster.nats_carrier());
        co_return way;
    }
    const std::string address{instance->transport.host_port()};
    way.carrier = cluster.dynamo_pool().established(address);
    if (!way.carrier) {
        way.carrier = co_await with_deadline(deadline, cluster.dynamo_pool().connect(address));
    }
    co_return way;
}

Result<void> Route::open(ClientCall& call, const Instance& instance, const Bytes& request) const {
    std::vector<transport::HeaderField> headers;
    headers.reserve(context.headers().size());
    for (const auto& [key, value] : context.headers()) headers.push_back({key, value});
    transport::CallHead head;
    head.path = client->path;
    head.instance = instance.id;
    head.request = context.id();
    if (!deadline.is_never()) {
        const auto left = std::chrono::ceil<std::chrono::microseconds>(deadline.remaining());
        head.remaining = std::max(left, std::chrono::microseconds{1});
    }
    head.shape = shape;
    head.codec = static_cast<std::uint8_t>(options.codec);
    head.headers = headers;
    if (const auto& trace = context.trace()) {
        head.trace =
            transport::TraceContext{trace->trace_id, trace->span_id, trace->flags, trace->state};
    }
    return input ? call.open(head, *input) : call.open(head, request);
}

bool Route::may_be_sent_again() const noexcept {
    return selector->options.mode != RouterMode::direct && !options.at_most_once;
}

void Route::go_elsewhere_or_throw(const Error& error, bool maybe_begun) {
    const bool allowed = may_be_sent_again() && attempts < max_attempts &&
                         is_about_the_worker(error.code()) && !deadline.passed();
    if (!allowed) throw error;
    sink().count(
        maybe_begun ? "component_calls_resent_unaccepted_total" : "component_calls_resent_total", 1
    );
    last_error = error;
}

Task<std::shared_ptr<transport::MuxConnection>> Route::reach(InstancePtr instance) {
    auto connection = co_await as_result(connect(std::move(instance)));
    if (connection) co_return std::move(*connection);
    go_elsewhere_or_throw(connection.error(), false);
    co_return nullptr;
}

Task<std::optional<DynamoWay>> Route::reach_dynamo(InstancePtr instance) {
    auto way = co_await as_result(connect_dynamo(std::move(instance)));
    if (way) co_return std::move(*way);
    go_elsewhere_or_throw(way.error(), false);
    co_return std::nullopt;
}

/// One that refuses, or leaves requests lying, is left alone for a while, as the original does.
void Route::learn_from_dynamo(const Error& error, CallFate fate, InstanceId instance) const {
    const auto code = error.code();
    if (fate == CallFate::refused && code == ErrorCode::overloaded) {
        client->watch->report(instance, LinkEvent::full);
    } else if (code == ErrorCode::unavailable && error.detail() != "dynamo.prologue") {
        client->watch->report(instance, LinkEvent::refusing);
    }
}

/// A worker that ends or is another one than its record says leaves routing at once.
void Route::learn_from_failure(
    const ClientCall& call, InstanceId instance, Reservation& reservation
) const {
    if (plane == Plane::dynamo) learn_from_dynamo(*call.error(), call.fate(), instance);
    if (call.fate() != CallFate::refused) return;
    if (call.error()->code() == ErrorCode::draining)
        client->watch->report(instance, LinkEvent::draining);
    if (call.error()->code() == ErrorCode::not_found)
        client->watch->report(instance, LinkEvent::gone);
    // Busy, not dead: others are preferred for a moment.
    if (call.error()->code() == ErrorCode::overloaded && plane != Plane::dynamo)
        reservation.full(Clock::current().now() + retry_after(*call.error()));
}

namespace {

bool is_congestion(const Result<void>& opened) {
    if (opened || opened.error().code() != ErrorCode::overloaded) return false;
    const auto& detail = opened.error().detail();
    return detail == "mux.congested" || detail == "dynamo.congested";
}

}  // namespace

/// As `open`, when the connection has more to write than it should. The call's deadline or kill
/// ends the wait.
Task<Result<void>> Route::wait_and_open(ClientCall* call, InstancePtr instance, Bytes request)
    const {
    for (;;) {
        co_await call->openable();
        auto opened = open(*call, *instance, request);
        if (!is_congestion(opened)) co_return opened;
    }
}

Task<bool> Route::place(
    ClientCall* call,
    InstancePtr instance,
    Bytes request,
    Reservation* reservation,
    CallTimes* times
) {
    times->sent();
    auto opened = open(*call, *instance, request);
    if (is_congestion(opened)) opened = co_await wait_and_open(call, instance, request);
    if (!opened) {
        go_elsewhere_or_throw(opened.error(), false);
        co_return false;
    }
    if (input) input->attach(*call, client->cluster->feeds());
    if (!co_await call->accepted()) {
        // Ended from here: by its deadline, a kill, or its input.
        if (call->fate() == CallFate::accepted) throw *call->error();
        learn_from_failure(*call, instance->id, *reservation);
        reservation->failed(Clock::current().now());
        go_elsewhere_or_throw(*call->error(), call->fate() == CallFate::not_accepted);
        co_return false;
    }
    times->accepted();
    if (options.on_accepted) options.on_accepted(instance->id);
    co_return true;
}

Task<bool> Route::place_dynamo(
    DynamoCall* call,
    InstancePtr instance,
    Bytes request,
    Reservation* reservation,
    CallTimes* times
) {
    const Departures::Waiting waiting{client->departures(), *call, instance->id};
    if (client->current().find(instance->id) == nullptr) {
        // It left while the connection was made: nobody would tell.
        go_elsewhere_or_throw(
            Error{
                ErrorCode::unavailable,
                "component.no_such_instance",
                fmt::format("instance {} has just left", instance->id.to_string())
            },
            false
        );
        co_return false;
    }
    co_return co_await place(call, std::move(instance), std::move(request), reservation, times);
}

namespace {

/// Ends the input with the stream of the answer, wherever that ends.
class FeedOwner {
public:
    FeedOwner(InputFeed& feed, CancellationToken caller) noexcept
        : feed_{feed}, caller_{std::move(caller)} {}
    FeedOwner(const FeedOwner&) = delete;
    FeedOwner& operator=(const FeedOwner&) = delete;
    ~FeedOwner() {
        const auto reason = caller_.cause();
        feed_.close(reason == CancelReason::none ? CancelReason::parent : reason);
    }

private:
    InputFeed& feed_;
    CancellationToken caller_;
};

/// Where the request is a stream: no item goes to a call that is gone.
class Attachment {
public:
    explicit Attachment(InputFeed* feed) noexcept : feed_{feed} {}
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;
    ~Attachment() {
        if (feed_ != nullptr) feed_->detach();
    }

private:
    InputFeed* feed_;
};

/// Notes an instance that does not bring its call to the end, wherever that is seen.
class FailureNote {
public:
    FailureNote(const Route& route, const ClientCall& call, InstanceId instance) noexcept
        : route_{route}, call_{call}, instance_{instance} {}
    FailureNote(const FailureNote&) = delete;
    FailureNote& operator=(const FailureNote&) = delete;
    ~FailureNote() { route_.note_failure(call_, instance_); }

private:
    const Route& route_;
    const ClientCall& call_;
    InstanceId instance_;
};

/// The call of the chosen instance in `room`; null when that failed and it may go elsewhere.
using Room = std::variant<std::monostate, MuxCall, DynamoCall, LocalCall>;
Task<ClientCall*> make_call(Route* route, InstancePtr instance, Room* room) {
    if (route->plane == Plane::in_process) {
        auto& cluster = *route->client->cluster;
        co_return &room->emplace<LocalCall>(LocalCall::Options{
            .dispatcher = &cluster,
            .tasks = &cluster.local_calls(),
            .window = cluster.config().mux.most_stream_window,
            .max_message = cluster.config().mux.max_message_size,
        });
    }
    if (route->plane == Plane::mux) {
        auto connection = co_await route->reach(instance);
        if (!connection) co_return nullptr;
        co_return &room->emplace<MuxCall>(std::move(connection));
    }
    auto way = co_await route->reach_dynamo(instance);
    if (!way) co_return nullptr;
    auto& call = room->emplace<DynamoCall>(
        std::move(way->carrier),
        std::move(way->home),
        instance->transport.target(),
        instance->codec()
    );
    if (route->options.annotated) call.expect_annotated();
    co_return &call;
}

/// Sends the call in `room` by its plane; false when it may go elsewhere.
Task<bool> place(
    Route* route,
    Room* room,
    InstancePtr instance,
    Bytes request,
    Reservation* reservation,
    CallTimes* times
) {
    if (auto* dynamo = std::get_if<DynamoCall>(room)) {
        return route->place_dynamo(
            dynamo, std::move(instance), std::move(request), reservation, times
        );
    }
    ClientCall* call = std::get_if<MuxCall>(room);
    if (call == nullptr) call = std::get_if<LocalCall>(room);
    return route->place(call, std::move(instance), std::move(request), reservation, times);
}

}  // namespace

Stream<Bytes> through(std::unique_ptr<Route> route, Bytes request) {
    const auto token = co_await current_token();
    CallTimes times{route->client->metrics};
    for (;;) {
        auto chosen = route->choose();
        times.begin(route->plane != Plane::in_process);
        const auto instance = std::move(chosen.instance);
        auto reservation = std::move(chosen.reservation);
        Room room;
        ClientCall* const call = co_await make_call(route.get(), instance, &room);
        if (call == nullptr) {
            reservation.failed(Clock::current().now());
            continue;
        }
        call->set_drop_reason_from(token);
        const CallControl control{*call, route->context, route->deadline};
        const Attachment attachment{route->input.get()};
        const FailureNote note{*route, *call, instance->id};
        if (!co_await place(route.get(), &room, instance, request, &reservation, &times)) continue;
        request = {};  // nobody else will need it
        if (route->input) route->input->accepted();
        for (;;) {
            auto item = call->try_next();
            if (!item) item = co_await call->next();
            if (reservation.timed()) reservation.answered(Clock::current().now());
            if (!item) co_return;
            times.item();
            co_yield std::move(*item);
        }
    }
}

namespace {

/// The answer; and when that is over, or fails, nothing of the input runs any more.
Stream<Bytes> run_to_the_end_of_input(std::unique_ptr<Route> route) {
    const auto input = route->input;
    const FeedOwner owner{*input, co_await current_token()};
    auto items = through(std::move(route), Bytes{});
    std::exception_ptr failure;
    try {
        while (auto item = co_await items.next()) co_yield std::move(*item);
    } catch (...) {
        failure = std::current_exception();
    }
    co_await input->closed();
    if (failure) std::rethrow_exception(failure);
}

Stream<Bytes> routed(std::unique_ptr<Route> route, Stream<Bytes> input) {
    route->input = std::make_shared<InputFeed>(std::move(input), route->may_be_sent_again());
    return run_to_the_end_of_input(std::move(route));
}

Stream<Bytes> routed(std::unique_ptr<Route> route, Bytes request) {
    if (route->selector->options.hedge && route->may_be_sent_again())
        return hedged(std::move(route), std::move(request));
    return through(std::move(route), std::move(request));
}

Task<Bytes> only_item(Stream<Bytes> items) {
    auto item = co_await items.next();
    if (!item)
        throw Error{
            ErrorCode::protocol, "component.no_reply", "the call ended without its one reply"
        };
    co_return std::move(*item);
}

/// As `only_item`, and waits for the end of the input.
Task<Bytes> item_and_end(Stream<Bytes> items) {
    auto item = co_await items.next();
    if (!item)
        throw Error{
            ErrorCode::protocol, "component.no_reply", "the call ended without its one reply"
        };
    (void)co_await items.next();
    co_return std::move(*item);
}

}  // namespace

RouteCore::RouteCore(Client client, RouterMode mode)
    : RouteCore{std::move(client), RouterOptions{.mode = mode}} {}

RouteCore::RouteCore(Client client, RouterOptions options)
    : state_{std::make_shared<State>(std::move(client), std::move(options))} {}

const Client& RouteCore::client() const noexcept { return state_->client; }

template <class Input>
Stream<Bytes> RouteCore::State::route(
    std::shared_ptr<State> self,
    Context context,
    Input input,
    CallOptions options,
    transport::CallShape shape
) {
    const auto deadline = earliest(context.deadline(), options.deadline);
    auto* selector = &self->selector;
    auto* client = self->shared.get();
    // Owns the whole state: a stream may outlive its router.
    return routed(
        std::make_unique<Route>(Route{
            .client = {std::move(self), client},
            .selector = selector,
            .context = std::move(context),
            .options = std::move(options),
            .shape = shape,
            .deadline = deadline,
        }),
        std::move(input)
    );
}

Stream<Bytes> RouteCore::generate(Context context, Bytes request, CallOptions options) const {
    constexpr auto shape = transport::CallShape::server_streaming;
    return State::route(state_, std::move(context), std::move(request), std::move(options), shape);
}

Task<Bytes> RouteCore::ask(Context context, Bytes request, CallOptions options) const {
    constexpr auto shape = transport::CallShape::unary;
    return only_item(
        State::route(state_, std::move(context), std::move(request), std::move(options), shape)
    );
}

Stream<Bytes> RouteCore::generate(Context context, Stream<Bytes> input, CallOptions options) const {
    constexpr auto shape = transport::CallShape::bidirectional;
    return State::route(state_, std::move(context), std::move(input), std::move(options), shape);
}

Task<Bytes> RouteCore::ask(Context context, Stream<Bytes> input, CallOptions options) const {
    constexpr auto shape = transport::CallShape::client_streaming;
    return item_and_end(
        State::route(state_, std::move(context), std::move(input), std::move(options), shape)
    );
}

}  // namespace stator::inline component
