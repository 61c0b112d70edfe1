// The command line, as values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "cli/bench_load.hpp"
#include "cli/event_options.hpp"
#include "cli/nats_options.hpp"
#include "cli/store_options.hpp"
#include "stator/base/clock.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/base/names.hpp"
#include "stator/component/control.hpp"
#include "stator/component/endpoint.hpp"
#include "stator/component/router.hpp"
#include "stator/transport/call_shape.hpp"

namespace stator::cli {

/// stator serve: the diagnostic endpoint.
struct ServeArguments {
    EndpointId endpoint;
    std::uint32_t instances = 1;
    std::uint32_t max_inflight = 0;  ///< of each instance; 0: no limit
    QueueOptions queue{};            ///< of each instance; none by default
    transport::CallShape shape = transport::CallShape::server_streaming;
    std::string openai_model{};  ///< a language model of that name instead; empty: none
};

/// stator call
struct CallArguments {
    EndpointId endpoint;
    std::string request;  ///< JSON text as given; "-": it is on stdin
    std::string input;    ///< a file whose lines are the request's items; "-": stdin; empty: none
    RouterMode mode = RouterMode::round_robin;
    InstanceId instance{};  ///< of mode direct
    Plane plane = Plane::any;
    Duration timeout = std::chrono::minutes{1};  ///< of each request as a whole
    std::uint64_t count = 1;
    std::uint32_t concurrency = 1;
    bool summary = false;  ///< --count was given
};

/// stator bench
struct BenchArguments {
    EndpointId endpoint;
    RouterMode mode = RouterMode::round_robin;
    InstanceId instance{};  ///< of mode direct
    Plane plane = Plane::any;
    Duration timeout = std::chrono::minutes{1};  ///< of each request as a whole
    BenchLoad load;
    bool json = false;
};

/// stator ls
struct ListArguments {
    bool json = false;
    bool models = false;  ///< instead of instances
};

/// stator watch
struct WatchArguments {
    std::string prefix;  ///< of "ns.component.endpoint", at a dot; empty: everything
};

/// stator drain, stator resume
struct ControlArguments {
    ControlRequest::Action action = ControlRequest::Action::drain;
    std::optional<EndpointId> endpoint;  ///< nothing: all that `process` serves
    InstanceId instance{};               ///< of the endpoint; none: each
    InstanceId process{};                ///< the id of anything that it serves
};

/// stator config
struct ConfigArguments {
    bool json = false;
};

/// stator doctor
struct DoctorArguments {
    std::optional<EndpointId> endpoint;  ///< nothing: every instance
    bool json = false;
};

/// --help, --version: the answer is known at once.
struct Text {
    std::string text;
};

using Arguments = std::variant<
    ServeArguments,
    CallArguments,
    BenchArguments,
    ListArguments,
    WatchArguments,
    ConfigArguments,
    ControlArguments,
    DoctorArguments,
    KvArguments,
    LockArguments,
    BarrierArguments,
    NatsInfoArguments,
    ObjectArguments,
    EventArguments,
    Text>;

/// Errors: invalid_request "cli.usage", and "name.path" or "name.invalid" for an endpoint path;
/// unimplemented "cli.not_yet" for what a later version will have, naming what exists.
Result<Arguments> parse_arguments(int argc, const char* const* argv);

}  // namespace stator::cli
