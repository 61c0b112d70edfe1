// Router: gives each request to an instance, and goes elsewhere while nobody has accepted it.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "stator/component/client.hpp"
#include "stator/component/handler.hpp"
#include "stator/component/routing.hpp"
#include "stator/pipeline/annotated.hpp"
#include "stator/pipeline/context.hpp"
#include "stator/pipeline/engine.hpp"
#include "stator/runtime/stream.hpp"

namespace stator::inline component {

/// By which request plane a worker is asked.
enum class Plane : std::uint8_t {
    any,         ///< the best one that both sides speak: in process, else the mux, else Dynamo's
    mux,         ///< the mux only
    dynamo,      ///< Dynamo's TCP plane only
    in_process,  ///< only what this process serves itself, without a socket
};

std::string_view to_string(Plane plane) noexcept;

struct CallOptions {
    Deadline deadline{};  ///< of the whole call; never later than the context's
    PayloadCodec codec = PayloadCodec::msgpack;
    InstanceId instance{};      ///< whom to ask; required in direct mode, used in it only
    bool at_most_once = false;  ///< never sent a second time, not even unaccepted
    Plane plane = Plane::any;
    std::string session{};  ///< of mode session: calls of one session go to one instance
    /// The items are Annotated: over Dynamo's planes, what is said beside a value is kept, and an
    /// item may be without one. A Router knows by itself.
    bool annotated = false;
    /// Told which instance accepted the call.
    std::function<void(InstanceId)> on_accepted{};
};

/// The untyped router. Thread-safe; each loop has its own connections.
///
/// For each attempt it filters the instances (those that discovery or the transport speak against,
/// those without a common plane, those tried before, those that are busy), chooses by its mode, and
/// counts the call against the chosen one, in one step on one snapshot; the count goes down when
/// that attempt is over. When nobody is left, the error says which filter kept which instances out.
///
/// A call is *accepted* once its worker has said so, or its first item or error came. Until then it
/// is sent elsewhere when its worker refuses it, drains, or is lost: within the deadline, to at
/// most 3 instances, never in direct mode and not `at_most_once` calls. (A worker that was killed
/// may have begun it.) Instances that speak no plane of ours are passed over; if all do, the error
/// is `unavailable` (component.no_common_plane). Afterwards the loss of the worker ends it with
/// `disconnected`.
class RouteCore {
public:
    RouteCore(Client client, RouterMode mode);
    RouteCore(Client client, RouterOptions options);
    /// The items of the answer. Errors come out of `next`: the worker's own, `unavailable` (nobody
    /// there), `overloaded`, `draining`, `deadline_exceeded`, `disconnected`, `not_found` (direct
    /// mode), `cancelled`. Dropping the stream kills the call. Stop and kill of `context` are
    /// passed on. All items are taken on the loop on which the first one was: its connections are
    /// that loop's.
    Stream<Bytes> generate(Context context, Bytes request, CallOptions options) const;
    /// The single answer of a unary call.
    Task<Bytes> ask(Context context, Bytes request, CallOptions options) const;

    /// A bidirectional call: the request is the stream `input`, closed at the worker when it ends.
    ///
    /// `input` runs on the loop of the call, beside whoever reads the answer: an item is pulled
    /// only when it can be sent, whether or not the answer is being read. What it throws kills the
    /// call and comes out of the answer. Once the call has ended it is cancelled where it waits;
    /// before `next` says so of the answer (end or error), it is gone. Dropping the answer waits
    /// for nothing: what `input` refers to must live until it has unwound, a turn of the loop
    /// later, so it should hold what it needs by value.
    ///
    /// An unaccepted call is sent elsewhere with all items again: they are kept until it is
    /// accepted, and no more is pulled meanwhile once 256 KiB are. Errors: also `invalid_request`
    /// (component.wrong_shape) of a worker that takes one message.
    Stream<Bytes> generate(Context context, Stream<Bytes> input, CallOptions options) const;
    /// A client streaming call: many items, one answer, `input` as above. It is over when this
    /// returns or throws.
    Task<Bytes> ask(Context context, Stream<Bytes> input, CallOptions options) const;
    const Client& client() const noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;
};

/// The typed one: In must be Encodable, Out Decodable. A cheap copyable handle; thread-safe.
template <class In, class Out>
class Router {
public:
    explicit Router(Client client, RouterMode mode = RouterMode::round_robin)
        : core_{std::move(client), mode} {}
    Router(Client client, RouterOptions options) : core_{std::move(client), std::move(options)} {}

    /// A call of its own, or on behalf of `context`: its deadline holds, its stop and kill reach
    /// the worker. Errors and dropping: as RouteCore::generate.
    Stream<Out> generate(In input, CallOptions options = {}) const {
        return generate(Context{}, std::move(input), std::move(options));
    }
    Stream<Out> generate(Context context, In input, CallOptions options = {}) const {
        const auto codec = options.codec;
        return decode_items(
            core_.generate(
                std::move(context),
                detail::encoded(std::move(input), codec),
                own(std::move(options))
            ),
            codec
        );
    }

    /// The answer of a handler that gives exactly one; of others, the first item.
    Task<Out> ask(In input, CallOptions options = {}) const {
        return ask(Context{}, std::move(input), std::move(options));
    }
    Task<Out> ask(Context context, In input, CallOptions options = {}) const {
        const auto codec = options.codec;
        return decode_one(
            core_.ask(
                std::move(context),
                detail::encoded(std::move(input), codec),
                own(std::move(options))
            ),
            codec
        );
    }

    /// A bidirectional call: a stream of requests, a stream of items. How `input` runs and ends: as
    /// RouteCore::generate says.
    Stream<Out> generate(Stream<In> input, CallOptions options = {}) const {
        return generate(Context{}, std::move(input), std::move(options));
    }
    Stream<Out> generate(Context context, Stream<In> input, CallOptions options = {}) const {
        const auto codec = options.codec;
        return decode_items(
            core_.generate(
                std::move(context),
                detail::encoded_items(std::move(input), codec),
                own(std::move(options))
            ),
            codec
        );
    }

    /// A client streaming call: a stream of requests, one answer.
    Task<Out> ask(Stream<In> input, CallOptions options = {}) const {
        return ask(Context{}, std::move(input), std::move(options));
    }
    Task<Out> ask(Context context, Stream<In> input, CallOptions options = {}) const {
        const auto codec = options.codec;
        return decode_one(
            core_.ask(
                std::move(context),
                detail::encoded_items(std::move(input), codec),
                own(std::move(options))
            ),
            codec
        );
    }

    const Client& client() const noexcept { return core_.client(); }

private:
    static CallOptions own(CallOptions options) {
        options.annotated = is_annotated<Out>;
        return options;
    }
    static Stream<Out> decode_items(Stream<Bytes> items, PayloadCodec codec) {
        while (auto item = co_await items.next()) co_yield detail::decoded<Out>(*item, codec);
    }
    static Task<Out> decode_one(Task<Bytes> reply, PayloadCodec codec) {
        co_return detail::decoded<Out>(co_await std::move(reply), codec);
    }
    RouteCore core_;
};

namespace detail {

/// A router at the end of a pipeline, in whatever shape the pipeline asks.
template <class In, class Out>
class RoutedEngine {
public:
    RoutedEngine(Router<In, Out> router, CallOptions options)
        : router_{std::move(router)}, options_{std::move(options)} {}
    Stream<Out> generate(Context context, In request) const {
        return router_.generate(std::move(context), std::move(request), options_);
    }
    Stream<Out> generate(Context context, Stream<In> requests) const {
        return router_.generate(std::move(context), std::move(requests), options_);
    }

private:
    Router<In, Out> router_;
    CallOptions options_;
};

template <class In, class Out>
class AskedEngine {
public:
    AskedEngine(Router<In, Out> router, CallOptions options)
        : router_{std::move(router)}, options_{std::move(options)} {}
    Task<Out> generate(Context context, In request) const {
        return router_.ask(std::move(context), std::move(request), options_);
    }
    Task<Out> generate(Context context, Stream<In> requests) const {
        return router_.ask(std::move(context), std::move(requests), options_);
    }

private:
    Router<In, Out> router_;
    CallOptions options_;
};

}  // namespace detail

/// The end of a pipeline: asks the instances of an endpoint for a stream of items, with one request
/// or a stream of them.
template <class In, class Out>
auto route_to(Router<In, Out> router, CallOptions options = {}) {
    return detail::RoutedEngine<In, Out>{std::move(router), std::move(options)};
}
/// The same for a single answer: the pipeline answers with Task<Out>.
template <class In, class Out>
auto ask_of(Router<In, Out> router, CallOptions options = {}) {
    return detail::AskedEngine<In, Out>{std::move(router), std::move(options)};
}

/// A pipeline as what an endpoint serves: `endpoint.serve(handler_of(pipeline))`.
template <class In, class Out>
auto handler_of(Engine<In, Out> engine) {
    return [engine = std::move(engine)](Context context, In request) -> Reply<Out> {
        return engine.generate(std::move(context), std::move(request));
    };
}

}  // namespace stator::inline component
